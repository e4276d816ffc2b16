# SPDX-License-Identifier: GPL-3.0-or-later
"""How a caller wants the answer: which parts of it, indented or not."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from cloudspill_sandbox.engine.call import Document, Reply
from cloudspill_sandbox.engine.discovery import Api, Method
from cloudspill_sandbox.engine.errors import invalid_parameter
from cloudspill_sandbox.engine.fields import Mask, check_mask, parse_fields, select
from cloudspill_sandbox.engine.shapes import Shape
from cloudspill_sandbox.front.http import HttpResponse, json_response

_MOST_MASKS = 1000
_LONGEST_MASK = 4096
"""What is kept of masks: so many, of so many characters."""


@dataclass(frozen=True, slots=True)
class View:
    """The standard parameters `alt`, `fields` and `prettyPrint`."""

    mask: Mask
    indent: bool

    def render(self, result: Document | Reply) -> HttpResponse:
        """Turn what a handler returned into a response."""
        if not isinstance(result, Reply):
            return json_response(select(self.mask, result), indent=self.indent)
        if isinstance(result.body, dict):
            return json_response(
                select(self.mask, result.body),
                status=result.status,
                headers=result.headers,
                indent=self.indent,
            )
        kind = result.headers.get("Content-Type")
        if isinstance(result.body, bytes):
            kind = kind or ("application/octet-stream" if result.body else None)
            return HttpResponse(result.status, result.body, kind, result.headers)
        return HttpResponse(result.status, b"", kind, result.headers, result.body)


WHOLE = View({}, indent=False)
"""What a caller gets who does not say."""


class Views:
    """Reads the standard parameters; a mask of a method is read and checked once."""

    def __init__(self) -> None:
        self._masks: dict[tuple[str, str, str, str], Mask] = {}

    def of(self, api: Api, method: Method, query: Mapping[str, Any]) -> View:
        """Return the view that is asked for. Raises ApiError 400 for one that cannot be given."""
        alternative = query.get("alt", "json")
        if alternative not in ("json", "media"):
            raise invalid_parameter("alt", f"Invalid value '{alternative}': the sandbox sends json")
        fields = query.get("fields")
        mask = self._mask(api, method, fields) if fields else {}
        return View(mask, query.get("prettyPrint", False))

    def _mask(self, api: Api, method: Method, fields: str) -> Mask:
        key = (api.name, api.version, method.id, fields)
        if (known := self._masks.get(key)) is not None:
            return known
        mask = parse_fields(fields)
        check_mask(mask, Shape.of_answer(api, method.id))
        if len(fields) <= _LONGEST_MASK:
            if len(self._masks) >= _MOST_MASKS:
                self._masks.clear()
            self._masks[key] = mask
        return mask
