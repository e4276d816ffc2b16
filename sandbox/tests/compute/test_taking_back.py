# SPDX-License-Identifier: GPL-3.0-or-later
"""What a failing operation takes back when others changed what it is about meanwhile."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from cloudspill_sandbox.compute.cloud import Cloud
from cloudspill_sandbox.engine.errors import ApiError
from cloudspill_sandbox.faults.interface import NoFaults

from .conftest import Client, MakeCloud, idle

VM = {"instance": "vm"}
NIC = {"networkInterface": "nic0"}


class LateFailure(NoFaults):
    """One step fails, but not before the test lets it."""

    def __init__(self) -> None:
        self.step = ""
        self.due = asyncio.Event()

    async def before_step(self, step: str, target: str) -> None:
        if step == self.step:
            self.step = ""
            await self.due.wait()
            raise ApiError(500, "INTERNAL_ERROR", "Internal error.")


class Failing:
    """A request that was accepted, and fails when the test lets it."""

    def __init__(self, late: LateFailure, answer: asyncio.Task[Any]) -> None:
        self._late = late
        self._answer = answer

    async def ends(self) -> None:
        """Let it fail, and wait for that."""
        assert not self._answer.done()
        self._late.due.set()
        assert (await self._answer)["error"]["errors"][0]["code"] == "INTERNAL_ERROR"


@pytest.fixture
def late() -> LateFailure:
    return LateFailure()


@pytest.fixture
async def api(
    make_cloud: MakeCloud, client_of: Callable[[Cloud], Client], late: LateFailure
) -> Client:
    return client_of(await make_cloud(faults=late))


Begin = Callable[..., Awaitable[Failing]]


@pytest.fixture
def begin(api: Client, late: LateFailure) -> Begin:
    """Return what begins a request that is going to fail where it applies what it wrote."""

    async def begun(method: str, body: Any = None, **parameters: Any) -> Failing:
        late.step = f"{method}.apply"
        answer = asyncio.create_task(api.call(method, body, **parameters))
        await idle()
        return Failing(late, answer)

    return begun


async def test_an_instance_made_anew_keeps_the_metadata_that_it_was_made_with(
    api: Client, begin: Begin, spec: Any
) -> None:
    old, new = ({"items": [{"key": "role", "value": value}]} for value in ("old", "new"))
    await api.done("instances.insert", spec(metadata=old))
    fingerprint = (await api.instance())["metadata"]["fingerprint"]
    failing = await begin("instances.setMetadata", new | {"fingerprint": fingerprint}, **VM)
    await api.done("instances.delete", **VM)
    await api.done("instances.insert", spec(metadata=new))
    await failing.ends()
    assert (await api.instance())["metadata"]["items"] == new["items"]


async def test_an_address_made_anew_is_in_nobodys_use(api: Client, begin: Begin, spec: Any) -> None:
    async def reserved() -> dict[str, Any]:
        return dict(await api.call("addresses.get", address="front"))

    await api.done("addresses.insert", {"name": "front"})
    natted = [{"accessConfigs": [{"name": "nat", "natIP": (await reserved())["address"]}]}]
    await api.done("instances.insert", spec(networkInterfaces=natted))
    failing = await begin("instances.deleteAccessConfig", **VM, **NIC, accessConfig="nat")
    await api.done("addresses.delete", address="front")
    await api.done("addresses.insert", {"name": "front"})
    await failing.ends()
    anew = await reserved()
    assert (anew["status"], "users" in anew) == ("RESERVED", False)
    assert "accessConfigs" not in (await api.instance())["networkInterfaces"][0]
