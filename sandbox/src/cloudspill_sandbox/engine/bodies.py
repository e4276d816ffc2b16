# SPDX-License-Identifier: GPL-3.0-or-later
"""A request body beside its schema: what fits in one canonical form, what does not by name."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from typing import Any

from cloudspill_sandbox.engine.call import Document
from cloudspill_sandbox.engine.discovery import Api
from cloudspill_sandbox.engine.errors import Violation
from cloudspill_sandbox.engine.leniency import UNKNOWN_FIELDS
from cloudspill_sandbox.engine.scalars import BadScalarError, convert, type_name
from cloudspill_sandbox.engine.schema import Schema

UNKNOWN_NAME = 'Invalid JSON payload received. Unknown name "{}"'
MOST_VIOLATIONS = 100
"""Faults of a body that are named; no more are looked for."""

_IGNORED_FIELDS = frozenset((entry.schema, entry.field) for entry in UNKNOWN_FIELDS)


class TooManyViolationsError(Exception):
    """A body has more faults than are named."""


class BodyChecker:
    """Walks a body beside its schema, collecting violations.

    Args:
        merge_patch: whether null means "remove" (RFC 7396) and is kept, not "not set".
    """

    def __init__(self, api: Api, *, merge_patch: bool = False) -> None:
        self._api = api
        self._merge_patch = merge_patch
        self.violations: list[Violation] = []

    def message(self, schema: Schema, value: Mapping[str, Any], path: str, name: str) -> Document:
        """Return the canonical form of an object with fixed fields.

        Raises:
            TooManyViolationsError: there are MOST_VIOLATIONS.
        """
        body: Document = {}
        for key, inner in value.items():
            field = schema.properties.get(key)
            if field is None:
                if (name, key) not in _IGNORED_FIELDS:
                    self._unknown(key, path, "Cannot find field.")
            elif inner is None:
                if self._merge_patch:
                    body[key] = None
            else:
                where = f"{path}.{snake_case(key)}" if path else snake_case(key)
                body[key] = self._value(field, inner, (path, key, where))
        return body

    def _value(self, schema: Schema, value: Any, at: tuple[str, str, str]) -> Any:
        """Check one value; `at` is (path of its message, its key, its own path)."""
        name = schema.reference or ""
        if name:
            schema = self._api.schemas[name]
        parent, key, path = at
        if schema.type in ("any", "array"):
            return self._list(schema, value, at) if schema.type == "array" else value
        if isinstance(value, list):
            self._unknown(key, parent, "Proto field is not repeating, cannot start list.")
            return None
        if schema.type == "object":
            return self._object(schema, value, path, name)
        if isinstance(value, dict):
            self._invalid(path, f"({snake_case(key)}), Starting an object on a scalar field")
            return None
        return self._scalar(schema, value, path)

    def _list(self, schema: Schema, value: Any, at: tuple[str, str, str]) -> Any:
        parent, key, path = at
        items = schema.items or Schema("any")
        # One value stands for a list of one, as in Google's parser.
        elements = value if isinstance(value, list) else [value]
        return [
            self._value(items, element, (parent, key, f"{path}[{index}]"))
            for index, element in enumerate(elements)
        ]

    def _object(self, schema: Schema, value: Any, path: str, name: str) -> Any:
        if not isinstance(value, dict):
            kind = (
                f"type.googleapis.com/google.cloud.{self._api.name}.{self._api.version}.{name}"
                if name
                else "Map"
            )
            self._invalid(path, f"({kind})", f", {_json(value)}")
            return None
        if schema.additional is None:
            return self.message(schema, value, path, name)
        return {
            key: None
            if inner is None and self._merge_patch
            else self._value(schema.additional, inner, (path, key, f"{path}[{index}].value"))
            for index, (key, inner) in enumerate(value.items())
        }

    def _scalar(self, schema: Schema, value: Any, path: str) -> Any:
        try:
            return convert(schema, value)
        except BadScalarError as error:
            kind = "TYPE_ENUM" if schema.enum is not None else type_name(schema)
            self._invalid(path, f"({kind})", f", {error.args[0] or _json(value)}")
            return None

    def _unknown(self, key: str, path: str, why: str) -> None:
        where = f" at '{path}'" if path else ""
        self._add(Violation(path, f"{UNKNOWN_NAME.format(key)}{where}: {why}"))

    def _invalid(self, path: str, why: str, quoted: str = "") -> None:
        self._add(Violation(path, f"Invalid value at '{path}' {why}", quoted))

    def _add(self, violation: Violation) -> None:
        self.violations.append(violation)
        if len(self.violations) >= MOST_VIOLATIONS:
            raise TooManyViolationsError


def snake_case(name: str) -> str:
    """Return a field's name as Google's sentences have it."""
    return re.sub(r"(?<=[a-z0-9])([A-Z])", lambda match: "_" + match[1].lower(), name)


def _json(value: Any) -> str:
    text = json.dumps(value, ensure_ascii=False)
    return text if len(text) <= 200 else text[:200] + "…"
