# SPDX-License-Identifier: GPL-3.0-or-later
"""Whether an answer is one that Google's API could have given."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from cloudspill_sandbox.engine.discovery import Api
from cloudspill_sandbox.engine.validation import validate_response
from tests.fuzz.request import Request
from tests.fuzz.wire import Answer

_JSON = "application/json"
_PARTIAL = ("fields=", "%24fields=")


def faults(request: Request, answer: Answer, api: Api | None) -> list[str]:
    """Return a sentence for everything that is wrong with an answer.

    Args:
        api: that the request's method belongs to; None where there is no method.
    """
    if answer.status >= 500:
        return _accident(request, answer)
    if not answer.headers.get("content-type", "").startswith(_JSON) or not answer.body:
        return []
    try:
        document = json.loads(answer.body)
    except ValueError as error:
        return [f"{answer.status}, and its JSON is none: {error}"]
    if answer.status >= 400:
        return _refusal(answer.status, document)
    other = any(word in request.target for word in _PARTIAL) or any(
        name == "X-HTTP-Method-Override" for name, _ in request.headers
    )
    if api is None or other:
        return []
    return validate_response(api, api.methods[request.method], document)


def _accident(request: Request, answer: Answer) -> list[str]:
    """Return what is wrong with a 5xx, nothing for the 501 that names what is not implemented."""
    declared = b" implemented by this sandbox" in answer.body
    if answer.status == 501 and (declared or request.http_method == "HEAD"):
        return []
    return [f"{answer.status}: {answer.body[:300]!r}"]


def _refusal(status: int, document: Any) -> list[str]:
    error = document.get("error") if isinstance(document, dict) else None
    if isinstance(error, str):  # of the token endpoint: RFC 6749, section 5.2
        return []
    if not isinstance(error, dict) or error.get("code") != status or not error.get("message"):
        return [f"{status}, and the error is not Google's: {json.dumps(document)[:300]}"]
    return []


def failed_operations(operations: list[dict[str, Any]]) -> list[str]:
    """Return a sentence for each operation that failed by an accident."""
    return [
        f"{operation['operationType']} of {operation.get('targetLink')} failed: {error}"
        for operation in operations
        for error in operation.get("error", {}).get("errors", ())
        if error["code"] == "INTERNAL_ERROR"
    ]


def log_faults(log: Path) -> list[str]:
    """Return what a sandbox's log says of accidents: tracebacks, each whole, and errors."""
    found: list[str] = []
    inside = False
    for line in log.read_text(errors="replace").splitlines():
        if inside and not line[:2].isdigit():
            found[-1] += f"\n{line}"
            continue
        inside = " ERROR " in line or line.startswith("Traceback")
        if inside:
            found.append(line)
    return found
