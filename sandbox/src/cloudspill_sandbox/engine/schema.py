# SPDX-License-Identifier: GPL-3.0-or-later
"""The schemas of a discovery document without their prose."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True, slots=True, eq=False)
class Schema:
    """What a value must be.

    Attributes:
        type: `string`, `integer`, `number`, `boolean`, `object`, `array` or `any`.
        format: `int64`, `byte`, …; None when the type says all.
        reference: name of the schema that this one stands for; the rest is then unset.
        enum: values that a string may have, None for any.
        properties: fields of an object.
        additional: schema of the values of a map, None for an object with fixed fields.
        items: schema of the elements of an array.
    """

    type: str
    format: str | None = None
    reference: str | None = None
    enum: frozenset[str] | None = None
    properties: Mapping[str, Schema] = field(default_factory=dict)
    additional: Schema | None = None
    items: Schema | None = None


class SchemaReader:
    """Turns schema descriptions into Schemas; equal leaves share one object."""

    def __init__(self) -> None:
        self._leaves: dict[tuple[str, str | None, str | None, frozenset[str] | None], Schema] = {}

    def read(self, text: Mapping[str, Any]) -> Schema:
        """Return the schema of one description."""
        if text.get("type") not in ("object", "array"):
            return self._leaf(text)
        return Schema(
            type=text["type"],
            format=text.get("format"),
            properties={
                name: self.read(inner) for name, inner in text.get("properties", {}).items()
            },
            additional=self.read(text["additionalProperties"])
            if "additionalProperties" in text
            else None,
            items=self.read(text["items"]) if "items" in text else None,
        )

    def _leaf(self, text: Mapping[str, Any]) -> Schema:
        enum = frozenset(text["enum"]) if "enum" in text else None
        key = (text.get("type", "object"), text.get("format"), text.get("$ref"), enum)
        if key not in self._leaves:
            self._leaves[key] = Schema(*key)
        return self._leaves[key]
