# SPDX-License-Identifier: GPL-3.0-or-later
"""A Compute Engine on in-memory machines, called as the front calls it."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from cloudspill_sandbox.compute.cloud import Cloud
from cloudspill_sandbox.compute.latency import Instant
from cloudspill_sandbox.compute.service import compute_service
from cloudspill_sandbox.engine import validation
from cloudspill_sandbox.engine.call import Call, Document, Principal, Service
from cloudspill_sandbox.engine.clock import Clock
from cloudspill_sandbox.engine.discovery import Api, load_api
from cloudspill_sandbox.engine.errors import ApiError
from cloudspill_sandbox.engine.store import Store
from cloudspill_sandbox.faults.interface import Hooks
from cloudspill_sandbox.metadata.interface import AccessToken
from cloudspill_sandbox.network.memory import MemoryNetwork
from cloudspill_sandbox.runtime.memory import MemoryRuntime
from cloudspill_sandbox.settings import Settings

NOW = 1_800_000_000.0
ZONE = "us-west1-b"
UBUNTU = "projects/ubuntu-os-cloud/global/images/family/ubuntu-2204-lts"


@dataclass
class HostClock:
    """The host's seconds since the epoch, as a test sets them."""

    now: float = NOW

    def __call__(self) -> float:
        return self.now


class Machines(MemoryRuntime):
    """Machines in memory whose consoles are read as real ones: by the megabyte."""

    def serial_output(self, machine: str, start: int) -> tuple[bytes, int]:
        output, end = super().serial_output(machine, start)
        begin = end - len(output)
        return output[: 1 << 20], begin + len(output[: 1 << 20])


class NamedTokens:
    """Tokens that say whom they are for."""

    def access_token(self, principal: Principal) -> AccessToken:
        scopes = ",".join(sorted(principal.scopes))
        return AccessToken(f"{principal.email}|{scopes}|{principal.instance}", 3599)

    def identity_token(
        self,
        principal: Principal,
        audience: str,
        extra: dict[str, Any] | None = None,
        *,
        with_email: bool = True,
    ) -> str:
        email = principal.email if with_email else ""
        return f"{email}|{audience}|{principal.instance}|{json.dumps(extra)}"


@dataclass
class Client:
    """Calls handlers as the front does: bodies by Google's schema in, answers by it out."""

    cloud: Cloud
    service: Service
    api: Api
    zone: str = ZONE
    principal: Principal = field(default_factory=lambda: Principal("owner@example.org"))

    async def call(self, method: str, body: Any = None, **parameters: Any) -> Any:
        """Call `instances.get` with path and query parameters by their discovery names."""
        described = self.api.methods[f"compute.{method}"]
        known = {"project": self.cloud.settings.project, "zone": self.zone, "region": "us-west1"}
        known |= parameters
        path = {name: str(known[name]) for name in described.path_parameters}
        given = [(n, _text(v)) for n, v in parameters.items() if n not in path]
        query = validation.query_parameters(self.api, described, given)
        checked = validation.request_body(self.api, described, body)
        answer = await self.service[described.id](
            Call(described.id, path, query, checked, self.principal, api=self.api)
        )
        if isinstance(answer, dict):
            assert validation.validate_response(self.api, described, answer) == []
        return answer

    async def done(self, method: str, body: Any = None, **parameters: Any) -> Document:
        """Call and return the operation, which must end well."""
        operation = await self.call(method, body, **parameters)
        if operation["status"] != "DONE":  # an answer waits for two seconds at most
            scope = next((scope for scope in ("zone", "region") if scope in operation), "global")
            where = {scope: operation[scope].rpartition("/")[2]} if scope in operation else {}
            operation = await self.call(
                f"{scope}Operations.wait", operation=operation["name"], **where
            )
        assert operation["status"] == "DONE"
        assert "error" not in operation, operation["error"]
        return dict(operation)

    async def failed(self, method: str, body: Any = None, **parameters: Any) -> Document:
        """Call and return the first error of the operation, which must have failed."""
        operation = await self.call(method, body, **parameters)
        assert operation["status"] == "DONE"
        return dict(operation["error"]["errors"][0])

    async def refused(self, method: str, body: Any = None, **parameters: Any) -> ApiError:
        """Call and return the refusal; nothing may have been written."""
        before = self.documents()
        with pytest.raises(ApiError) as caught:
            await self.call(method, body, **parameters)
        assert self.documents() == before
        return caught.value

    async def instance(self, name: str = "vm") -> Document:
        """Return an instance."""
        return dict(await self.call("instances.get", instance=name))

    def documents(self) -> dict[str, dict[str, Document]]:
        """Return everything in the store, by collection."""
        collections = self.cloud.store._collections
        return {name: dict(documents) for name, documents in collections.items() if documents}


async def eventually(holds: Callable[[], object]) -> None:
    """Let other tasks run until something holds; give up when they have had every chance."""
    for _ in range(10_000):
        if holds():
            return
        await asyncio.sleep(0)
    raise AssertionError("it never came about")


async def idle() -> None:
    """Let every other task go as far as it gets."""
    for _ in range(100):
        await asyncio.sleep(0)


def _text(value: Any) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)


MakeCloud = Callable[..., Awaitable[Cloud]]


@pytest.fixture(scope="session")
def compute() -> Api:
    return load_api("compute", "v1")


@pytest.fixture
def clock() -> HostClock:
    return HostClock()


@pytest.fixture
def runtime() -> MemoryRuntime:
    return Machines()


@pytest.fixture
def network() -> MemoryNetwork:
    return MemoryNetwork()


@pytest.fixture
async def make_cloud(
    runtime: MemoryRuntime, network: MemoryNetwork, clock: HostClock
) -> AsyncIterator[MakeCloud]:
    """Start a cloud over a database; several in a row are lives of one sandbox."""
    made: list[Cloud] = []

    async def make(
        path: Path | None = None,
        latency: Any = None,
        faults: Hooks | None = None,
        settings: Settings | None = None,
    ) -> Cloud:
        store = Store(path)
        cloud = Cloud(
            store=store,
            runtime=runtime,
            network=network,
            settings=settings or Settings(),
            clock=Clock(store, clock),
            latency=latency or Instant(),
            tokens=NamedTokens(),
            faults=faults,
        )
        await cloud.start()
        made.append(cloud)
        return cloud

    yield make
    for cloud in made:
        await cloud.stop()
        cloud.store.close()


@pytest.fixture
async def cloud(make_cloud: MakeCloud) -> Cloud:
    return await make_cloud()


@pytest.fixture
def client_of(compute: Api) -> Callable[[Cloud], Client]:
    return lambda cloud: Client(cloud, compute_service(cloud), compute)


@pytest.fixture
def api(cloud: Cloud, client_of: Callable[[Cloud], Client]) -> Client:
    return client_of(cloud)


@pytest.fixture
def spec() -> Callable[..., Document]:
    """Return the body of an instances.insert; keyword arguments replace fields."""

    def make(name: str = "vm", **fields: Any) -> Document:
        return {
            "name": name,
            "machineType": f"zones/{ZONE}/machineTypes/f1-micro",
            "disks": [
                {
                    "boot": True,
                    "autoDelete": True,
                    "initializeParams": {"sourceImage": UBUNTU},
                }
            ],
            "networkInterfaces": [
                {"network": "global/networks/default", "accessConfigs": [{"name": "nat"}]}
            ],
        } | fields

    return make
