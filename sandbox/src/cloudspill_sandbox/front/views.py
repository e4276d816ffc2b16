# SPDX-License-Identifier: GPL-3.0-or-later
"""How a caller wants the answer: which parts of it, indented or not."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from cloudspill_sandbox.engine.call import Document, Reply
from cloudspill_sandbox.engine.errors import invalid_parameter
from cloudspill_sandbox.engine.fields import Mask, parse_fields, select
from cloudspill_sandbox.front.http import HttpResponse, json_response


@dataclass(frozen=True, slots=True)
class View:
    """The standard parameters `alt`, `fields` and `prettyPrint`."""

    mask: Mask
    indent: bool

    @classmethod
    def of(cls, query: Mapping[str, Any]) -> View:
        """Read the standard parameters. Raises ApiError 400 for a view that cannot be given."""
        alternative = query.get("alt", "json")
        if alternative not in ("json", "media"):
            raise invalid_parameter("alt", f"Invalid value '{alternative}': the sandbox sends json")
        fields = query.get("fields")
        return cls(parse_fields(fields) if fields else {}, query.get("prettyPrint", False))

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
