# SPDX-License-Identifier: GPL-3.0-or-later
"""Faults of the sandbox that the contract tests talk to."""

from __future__ import annotations

from typing import Any

from cloudspill_sandbox.control import client

from .rest import Json
from .target import Target


class Faults:
    """The faults of the sandbox, over its admin socket."""

    def __init__(self, target: Target) -> None:
        assert target.admin is not None
        self._socket = target.admin

    def add(self, kind: str, **options: Any) -> str:
        """Arm a fault; return its id."""
        return str(
            client.call(self._socket, "POST", "/faults", body={"kind": kind} | options)["id"]
        )

    def clear(self, identity: str = "") -> None:
        """Clear one fault, or all."""
        client.call(self._socket, "DELETE", f"/faults?id={identity}" if identity else "/faults")

    def get(self, identity: str, times: int = 0) -> Json:
        """Return a fault when it has fired so many times."""
        resource = f"/faults/{identity}?times={times}&timeout=60"
        document: Json = client.call(self._socket, "GET", resource)
        return document
