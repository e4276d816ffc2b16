# SPDX-License-Identifier: GPL-3.0-or-later
"""Partial responses: the `fields` parameter.

Grammar: https://cloud.google.com/compute/docs/api/performance-tips#partial-response

    selection := field ("," field)*
    field     := name ("/" name)* [ "(" selection ")" ]
    name      := a key, or `*` for every key

A list is looked through: `items/name` selects the name of each item. A name that the answer cannot
have is refused, as the page says.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from cloudspill_sandbox.engine.errors import ApiError, invalid_parameter
from cloudspill_sandbox.engine.shapes import Shape

Mask = Mapping[str, "Mask"]
"""Selected keys; an empty mask selects the whole value."""

_TOKEN = re.compile(r"\s*([,/()]|[^\s,/()]+)")
_DEPTH = 50
_REFUSAL = "Invalid field selection"
_EVERY = "*"


def parse_fields(text: str) -> Mask:
    """Return the mask that a `fields` value describes.

    Raises:
        ApiError: 400, the value does not follow the grammar.
    """
    parser = _Parser(text)
    mask = parser.selection(_DEPTH)
    if parser.next is not None:
        raise parser.refusal()
    return mask


def check_mask(mask: Mask, answer: Shape) -> None:
    """Return when an answer can have all that a mask names; a map can have any key.

    Raises:
        ApiError: 400 that names the first that it cannot have, as Google words it
            (https://github.com/googleapis/java-storage-nio/issues/1646).
    """
    unknown = _unknown(mask, answer)
    if unknown is not None:
        raise invalid_parameter("fields", f"{_REFUSAL} {unknown}", logged=_REFUSAL)


def _unknown(mask: Mask, shape: Shape) -> str | None:
    """Return the first name of a mask that is nothing of a shape."""
    shape = shape.element()
    if shape.is_scalar:
        return None
    for name, inner in mask.items():
        below = list(shape.fields()) if name == _EVERY else [shape.field(name)]
        faults = [_unknown(inner, place) if place else name for place in below]
        if faults and None not in faults:
            return faults[0]
    return None


def select(mask: Mask, value: Any) -> Any:
    """Return the parts of a document that a mask selects; the document is left alone."""
    if not mask:
        return value
    if isinstance(value, list):
        return [select(mask, element) for element in value]
    if not isinstance(value, dict):
        return value
    every = mask.get(_EVERY)
    selected = {}
    for key, inner in value.items():
        chosen = mask.get(key, every)
        if chosen is not None:
            selected[key] = select(chosen, inner)
    return selected


class _Parser:
    """Recursive descent over the tokens of one selection; `next` is the token ahead."""

    def __init__(self, text: str) -> None:
        self._text = text
        self._tokens = iter(_TOKEN.findall(text))
        self.next: str | None = None
        self._advance()

    def refusal(self) -> ApiError:
        """Return Google's 400 for the selection."""
        return invalid_parameter("fields", f"{_REFUSAL} {self._text}", logged=_REFUSAL)

    def selection(self, depth: int) -> Mask:
        if depth == 0:
            raise self.refusal()
        mask: dict[str, Mask] = {}
        while True:
            name, inner = self._field(depth)
            mask[name] = _union(mask[name], inner) if name in mask else inner
            if self.next != ",":
                return mask
            self._advance()

    def _field(self, depth: int) -> tuple[str, Mask]:
        path = [self._name()]
        while self.next == "/":
            self._advance()
            path.append(self._name())
        if len(path) > depth:
            raise self.refusal()
        inner: Mask = {}
        if self.next == "(":
            self._advance()
            inner = self.selection(depth - len(path))
            if self.next != ")":
                raise self.refusal()
            self._advance()
        for name in reversed(path[1:]):
            inner = {name: inner}
        return path[0], inner

    def _name(self) -> str:
        name = self.next
        if name is None or name in ",/()":
            raise self.refusal()
        self._advance()
        return name

    def _advance(self) -> None:
        self.next = next(self._tokens, None)


def _union(one: Mask, other: Mask) -> Mask:
    """Return the mask that selects what either does."""
    if not one or not other:
        return {}
    merged = dict(one)
    for name, inner in other.items():
        merged[name] = _union(merged[name], inner) if name in merged else inner
    return merged
