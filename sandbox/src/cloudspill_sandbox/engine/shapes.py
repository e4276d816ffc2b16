# SPDX-License-Identifier: GPL-3.0-or-later
"""What can be at a place of an answer, by the discovery document: what `filter` and `fields` name.

instances = Shape.of_answer(api, "compute.instances.list").field("items")
instances.element().field("scheduling").field("preemptible").is_scalar
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from cloudspill_sandbox.engine.discovery import Api
from cloudspill_sandbox.engine.schema import Schema


@dataclass(frozen=True, slots=True, eq=False)
class Shape:
    """One place of an answer.

    Attributes:
        schema: what a value there is; never a reference.
        schemas: what references lead to, by name.
    """

    schema: Schema
    schemas: Mapping[str, Schema]

    @classmethod
    def of_answer(cls, api: Api | None, method: str) -> Shape:
        """Return the shape of a method's answer; ANYTHING where no document describes it."""
        answer = api.methods[method].response if api else None
        return cls(api.schemas[answer], api.schemas) if api and answer else ANYTHING

    @property
    def is_scalar(self) -> bool:
        """Whether nothing is below it."""
        return self.schema.type not in ("object", "array")

    @property
    def is_map(self) -> bool:
        """Whether it has a value for any key."""
        return self.schema.additional is not None

    def field(self, name: str) -> Shape | None:
        """Return what a field or the value of a map's key is; None where there can be none."""
        if self.schema.type == "any":
            return self
        below = self.schema.properties.get(name) or self.schema.additional
        return self._at(below) if below else None

    def fields(self) -> Iterator[Shape]:
        """Yield what each field is, and the values of a map."""
        yield from map(self._at, self.schema.properties.values())
        if self.schema.additional:
            yield self._at(self.schema.additional)

    def element(self) -> Shape:
        """Return what an array's elements are; itself where it is none."""
        return self._at(self.schema.items) if self.schema.items else self

    def _at(self, schema: Schema) -> Shape:
        return Shape(self.schemas[schema.reference] if schema.reference else schema, self.schemas)


ANYTHING = Shape(Schema("any"), {})
"""Of a value that no document describes."""
