# SPDX-License-Identifier: GPL-3.0-or-later
"""The admin API's part for faults.

GET    /faults                          every fault
POST   /faults                          arm one; the body is a JSON object
DELETE /faults?id=…&id=…                clear these; all without an id
GET    /faults/{id}?times=1&timeout=60  answer when it has struck so many times, or then
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any, Protocol

from aiohttp import web

LONGEST_WAIT = 3600.0
"""Seconds."""


class FaultsAdministered(Protocol):
    """What the admin API does with faults; documents are JSON-ready."""

    def listing(self) -> list[dict[str, Any]]:
        """Return every fault."""

    def add(self, document: Any) -> dict[str, Any]:
        """Arm a fault. Raises ValueError when it cannot be."""

    async def clear(self, identities: Sequence[str]) -> list[dict[str, Any]]:
        """Clear faults, all when none is named. Raises LookupError when one is not there."""

    async def fired(self, identity: str, times: int, within: float) -> dict[str, Any]:
        """Wait until a fault has struck. Raises LookupError when it is not there."""


def add_fault_routes(application: web.Application, faults: FaultsAdministered) -> None:
    """Let an application of admin.py answer for faults."""

    async def listing(_: web.Request) -> web.Response:
        return web.json_response({"faults": faults.listing()})

    async def add(request: web.Request) -> web.Response:
        try:
            document = await request.json()
        except json.JSONDecodeError as error:
            raise ValueError(f"a fault is a JSON object, and this is no JSON: {error}") from error
        return web.json_response(faults.add(document))

    async def clear(request: web.Request) -> web.Response:
        cleared = await faults.clear(request.query.getall("id", []))
        return web.json_response({"faults": cleared})

    async def fired(request: web.Request) -> web.Response:
        times = int(request.query.get("times", "0"))
        within = float(request.query.get("timeout", "0"))
        if not 0 <= within <= LONGEST_WAIT:
            raise ValueError(f"`timeout` wants seconds from 0 to {LONGEST_WAIT:g}, not {within:g}")
        return web.json_response(await faults.fired(request.match_info["id"], times, within))

    application.router.add_get("/faults", listing)
    application.router.add_post("/faults", add)
    application.router.add_delete("/faults", clear)
    application.router.add_get("/faults/{id}", fired)
