# SPDX-License-Identifier: GPL-3.0-or-later
"""A witness of what the sandbox answers, for tests: who called what, and was it Google's form?

Each answer is held against the response schema in Google's discovery document, and one line of
JSON is kept of each call that was not refused:
`{"method": "compute.zones.get", "origin": "https://…", "agent": "…", "faults": []}`.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType

from cloudspill_sandbox.engine.call import Call, Document, Handler, Reply, Service
from cloudspill_sandbox.engine.discovery import Api, Method
from cloudspill_sandbox.engine.validation import validate_response

_AGENTS = ("X-Goog-Api-Client", "User-Agent")
"""Headers by which clients name themselves."""


class Witness:
    """Keeps a file of what was answered.

    Args:
        file: lines are appended.
    """

    def __init__(self, file: Path) -> None:
        self._file = file

    def watching(
        self, services: Mapping[str, Service], apis: Mapping[str, Api]
    ) -> dict[str, Service]:
        """Return the services, watched; both arguments are by the names of the APIs."""
        return {
            name: MappingProxyType(
                {
                    method: self._watched(handler, apis[name], apis[name].methods[method])
                    for method, handler in service.items()
                }
            )
            for name, service in services.items()
        }

    def _watched(self, handler: Handler, api: Api, method: Method) -> Handler:
        async def answer(call: Call) -> Document | Reply:
            result = await handler(call)
            self._note(call, _faults(api, method, result))
            return result

        return answer

    def _note(self, call: Call, faults: list[str]) -> None:
        headers = call.wire.headers
        line = {
            "method": call.method,
            "origin": call.wire.origin,
            "agent": " ".join(headers[name] for name in _AGENTS if name in headers),
            "faults": faults,
        }
        with self._file.open("a", encoding="utf-8") as file:
            file.write(json.dumps(line) + "\n")


def _faults(api: Api, method: Method, result: Document | Reply) -> list[str]:
    """Return what of an answer is not Google's form; media and empty answers have none."""
    document = result.body if isinstance(result, Reply) else result
    return validate_response(api, method, document) if isinstance(document, dict) else []
