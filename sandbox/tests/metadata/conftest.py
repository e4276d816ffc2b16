# SPDX-License-Identifier: GPL-3.0-or-later
"""A metadata server on loopback over one instance that lives in memory."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncIterator, Callable
from typing import Any

import aiohttp
import pytest

from cloudspill_sandbox.metadata.interface import AccessToken
from cloudspill_sandbox.metadata.server import serve

EMAIL = "415104041262-compute@developer.gserviceaccount.com"
SCOPE = "https://www.googleapis.com/auth/cloud-platform"


class OneInstance:
    """Implements MetadataSource: the instance at 127.0.0.1, and nobody else.

    Attributes:
        document: its tree; change it, then call `announce()`.
        sleepers: how many requests wait in changed() now.
        wakes: how often a sleeper was woken.
    """

    def __init__(self) -> None:
        self.document: dict[str, Any] = {
            "instance": {
                "attributes": {"camelCase_key": "kept", "startup-script": "#!/bin/sh\n"},
                "disks": [
                    {"deviceName": "boot", "index": 0, "mode": "READ_WRITE"},
                    {"deviceName": "data", "index": 1, "mode": "READ_ONLY"},
                ],
                "id": 8274650932874650,
                "licenses": [],
                "machineType": "projects/415104041262/machineTypes/f1-micro",
                "networkInterfaces": [
                    {
                        "accessConfigs": [{"externalIp": "198.18.0.2", "type": "ONE_TO_ONE_NAT"}],
                        "dnsServers": ["169.254.169.254"],
                        "forwardedIps": [],
                        "ip": "10.138.0.2",
                    }
                ],
                "preempted": "FALSE",
                "scheduling": {"automaticRestart": "TRUE"},
                "serviceAccounts": {
                    name: {"aliases": ["default"], "email": EMAIL, "scopes": [SCOPE]}
                    for name in (EMAIL, "default")
                },
                "tags": ["bread", "butter"],
            },
            "project": {
                "attributes": {},
                "numericProjectId": 415104041262,
                "projectId": "cloudspill-sandbox",
            },
        }
        self.attributes: dict[str, dict[str, str]] | None = {}
        self.sleepers = 0
        self.wakes = 0
        self._news = asyncio.Event()
        self._count = asyncio.Condition()

    async def until(self, condition: Callable[[], bool]) -> None:
        """Return when a condition on `sleepers` and `wakes` holds."""
        async with asyncio.timeout(20), self._count:
            await self._count.wait_for(condition)

    def announce(self) -> None:
        """Wake all sleepers, as a change anywhere in the cloud may."""
        self._news.set()
        self._news = asyncio.Event()

    def tree(self, address: str) -> dict[str, Any] | None:
        return self.document if address == "127.0.0.1" else None

    async def changed(self, address: str) -> None:
        news = self._news
        await self._counted(sleepers=1)
        try:
            await news.wait()
            await self._counted(wakes=1)
        finally:
            await self._counted(sleepers=-1)

    async def _counted(self, *, sleepers: int = 0, wakes: int = 0) -> None:
        async with self._count:
            self.sleepers += sleepers
            self.wakes += wakes
            self._count.notify_all()

    def access_token(self, address: str, account: str, scopes: frozenset[str]) -> AccessToken:
        granted = self.document["instance"]["serviceAccounts"][account]["scopes"]
        if missing := scopes.difference(granted):
            raise PermissionError(min(missing))
        return AccessToken(f"token of {address}", 3599)

    def identity_token(self, address: str, account: str, audience: str, *, full: bool) -> str:
        email = self.document["instance"]["serviceAccounts"][account]["email"]
        return f"{email}/{audience}{'/full' if full else ''}"

    def guest_attributes(self, address: str) -> dict[str, dict[str, str]] | None:
        return self.attributes

    def put_guest_attribute(self, address: str, namespace: str, key: str, value: str) -> None:
        assert self.attributes is not None
        self.attributes.setdefault(namespace, {})[key] = value

    def delete_guest_attribute(self, address: str, namespace: str, key: str) -> None:
        assert self.attributes is not None
        del self.attributes[namespace][key]
        if not self.attributes[namespace]:
            del self.attributes[namespace]


class Client:
    """A program on the instance: requests below /computeMetadata/v1/ with the header."""

    def __init__(self, session: aiohttp.ClientSession, port: int) -> None:
        self.session = session
        self.port = port

    async def request(
        self,
        method: str,
        path: str,
        *,
        headers: dict[str, str] | None = None,
        data: bytes | None = None,
    ) -> tuple[int, str, dict[str, str]]:
        """Return status, body and headers (keys in lower case); redirects are not followed."""
        target = path if path.startswith("/") else f"/computeMetadata/v1/{path}"
        async with self.session.request(
            method,
            f"http://127.0.0.1:{self.port}{target}",
            headers={"Metadata-Flavor": "Google"} if headers is None else headers,
            data=data,
            allow_redirects=False,
        ) as answer:
            found = {key.lower(): value for key, value in answer.headers.items()}
            return answer.status, await answer.text(), found

    async def get(self, path: str) -> tuple[int, str, dict[str, str]]:
        """GET a path."""
        return await self.request("GET", path)


@pytest.fixture
async def source() -> OneInstance:
    return OneInstance()


@pytest.fixture
async def client(source: OneInstance) -> AsyncIterator[Client]:
    listener = socket.create_server(("127.0.0.1", 0))
    runner = await serve(source, listener)
    connector = aiohttp.TCPConnector(limit=0)
    async with aiohttp.ClientSession(connector=connector) as session:
        yield Client(session, listener.getsockname()[1])
    await runner.cleanup()
