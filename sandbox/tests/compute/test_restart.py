# SPDX-License-Identifier: GPL-3.0-or-later
"""A new life of the sandbox over the database, volumes and nothing else of the last one."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from cloudspill_sandbox.compute.cloud import Cloud
from cloudspill_sandbox.compute.names import relative
from cloudspill_sandbox.engine.store import Store
from cloudspill_sandbox.network.memory import MemoryNetwork
from cloudspill_sandbox.runtime.interface import MachineError, VolumeError
from cloudspill_sandbox.runtime.memory import MemoryRuntime

from .conftest import Client, MakeCloud, eventually

ClientOf = Callable[[Cloud], Client]


class Stuck:
    """A latency profile in which no step after the `free` first ones ever begins."""

    patience = 0.0

    def __init__(self, free: int = 0) -> None:
        self._free = free

    async def before(self, step: str) -> None:
        if self._free == 0:
            await asyncio.Event().wait()
        self._free -= 1


@pytest.fixture
def database(tmp_path: Path) -> Path:
    return tmp_path / "state.sqlite3"


async def kill(cloud: Cloud) -> None:
    """End a life without any of the courtesies of stop()."""
    await cloud.operations.stop(grace=0)
    cloud.store.close()


async def test_a_volume_that_could_not_be_removed_goes_in_the_next_life(
    make_cloud: MakeCloud,
    client_of: ClientOf,
    spec: Any,
    runtime: MemoryRuntime,
    database: Path,
) -> None:
    first = await make_cloud(database)
    client = client_of(first)
    await client.done("instances.insert", spec("stays"))
    kept = runtime.made_volumes()
    runtime.failures["boot"] = MachineError("no memory")
    runtime.failures["delete_volume"] = VolumeError("it resists")
    await client.failed("instances.insert", spec("vm"))
    assert kept < runtime.made_volumes()
    await kill(first)
    await make_cloud(database)
    assert runtime.made_volumes() == kept


async def test_what_ran_runs_again_with_disk_and_addresses(
    make_cloud: MakeCloud,
    client_of: ClientOf,
    spec: Any,
    runtime: MemoryRuntime,
    network: MemoryNetwork,
    database: Path,
) -> None:
    first = client_of(await make_cloud(database))
    for name in ("on", "off"):
        await first.done("instances.insert", spec(name))
    await first.done("instances.stop", instance="off")
    before = {name: await first.instance(name) for name in ("on", "off")}
    runtime.guest_write(before["on"]["id"], "/data", "kept")
    await first.cloud.stop()
    await network.stop()
    second = client_of(await make_cloud(database))
    assert {name: await second.instance(name) for name in ("on", "off")} == before
    assert set(runtime.running) == {before["on"]["id"]}
    assert runtime.volumes[runtime.running[before["on"]["id"]].boot_volume].files["/data"] == "kept"
    assert set(network.attached) == {"10.138.0.2"}
    assert {nic.internal_ip for nic in network.topology.nics} == {"10.138.0.2", "10.138.0.3"}
    await second.done("instances.insert", spec("more"))
    interface = (await second.instance("more"))["networkInterfaces"][0]
    assert interface["networkIP"] == "10.138.0.4"


async def test_stopping_the_sandbox_does_not_stop_instances(
    make_cloud: MakeCloud, client_of: ClientOf, spec: Any, runtime: MemoryRuntime, database: Path
) -> None:
    first = client_of(await make_cloud(database))
    await first.done("instances.insert", spec())
    identity = (await first.instance())["id"]
    machine = runtime.running[identity]
    await first.cloud.stop()
    runtime.running[identity] = machine
    runtime.guest_power_off(identity)  # a machine's end that is reported while all is taken down
    assert (await first.instance())["status"] == "RUNNING"


@pytest.mark.parametrize("steps", [0, 1])
async def test_a_creation_cut_short_is_taken_back(
    make_cloud: MakeCloud,
    client_of: ClientOf,
    spec: Any,
    runtime: MemoryRuntime,
    database: Path,
    steps: int,
) -> None:
    first = client_of(await make_cloud(database, Stuck(steps)))
    empty = first.documents()
    operation = await first.call("instances.insert", spec())
    await eventually(lambda: len(runtime.volumes) > steps)
    await kill(first.cloud)
    second = client_of(await make_cloud(database))
    ended = await second.call("zoneOperations.get", operation=operation["name"])
    assert ended["status"] == "DONE"
    assert ended["error"]["errors"][0]["code"] == "SERVICE_UNAVAILABLE"
    assert ended["httpErrorStatusCode"] == 503
    left = second.documents()
    left.pop("projects/cloudspill-sandbox/zones/us-west1-b/operations")
    assert left == empty
    assert set(runtime.volumes) == {"debian-12"}
    await second.done("instances.insert", spec())


async def test_a_deletion_cut_short_is_finished(
    make_cloud: MakeCloud, client_of: ClientOf, spec: Any, runtime: MemoryRuntime, database: Path
) -> None:
    first = client_of(await make_cloud(database, Stuck(2)))
    insertion = relative((await first.call("instances.insert", spec()))["selfLink"])
    await eventually(lambda: not first.cloud.operations.pending(insertion))
    operation = await first.call("instances.delete", instance="vm")
    await kill(first.cloud)
    second = client_of(await make_cloud(database))
    ended = await second.call("zoneOperations.get", operation=operation["name"])
    assert (ended["status"], "error" in ended) == ("DONE", False)
    assert (await second.refused("instances.get", instance="vm")).status == 404
    assert set(runtime.volumes) == {"debian-12"}


async def test_a_stop_cut_short_is_finished(
    make_cloud: MakeCloud, client_of: ClientOf, spec: Any, runtime: MemoryRuntime, database: Path
) -> None:
    first = client_of(await make_cloud(database, Stuck(2)))
    insertion = relative((await first.call("instances.insert", spec()))["selfLink"])
    await eventually(lambda: not first.cloud.operations.pending(insertion))
    operation = await first.call("instances.stop", instance="vm")
    await kill(first.cloud)
    second = client_of(await make_cloud(database))
    ended = await second.call("zoneOperations.get", operation=operation["name"])
    assert (ended["status"], "error" in ended) == ("DONE", False)
    assert (await second.instance())["status"] == "TERMINATED"
    assert not runtime.running


@pytest.mark.parametrize(
    ("kind", "method", "body"),
    [
        ("snapshot", "disks.createSnapshot", {"name": "x"}),
        ("image", "images.insert", {"name": "x", "sourceDisk": "zones/us-west1-b/disks/d"}),
        ("disk", "disks.insert", {"name": "x"}),
    ],
)
async def test_a_copy_cut_short_is_taken_back(
    make_cloud: MakeCloud,
    client_of: ClientOf,
    runtime: MemoryRuntime,
    database: Path,
    kind: str,
    method: str,
    body: Any,
) -> None:
    first = client_of(await make_cloud(database))
    await first.done("disks.insert", {"name": "d"})
    await first.cloud.stop()
    second = client_of(await make_cloud(database, Stuck()))
    await second.call(method, body, **({"disk": "d"} if kind == "snapshot" else {}))
    await kill(second.cloud)
    third = client_of(await make_cloud(database))
    assert (await third.refused(f"{kind}s.get", **{kind: "x"})).status == 404
    assert (await third.call("disks.get", disk="d"))["status"] == "READY"
    assert len(runtime.volumes) == 2


async def test_what_cannot_boot_again_is_terminated_and_bars_nobody(
    make_cloud: MakeCloud, client_of: ClientOf, spec: Any, runtime: MemoryRuntime, database: Path
) -> None:
    first = client_of(await make_cloud(database))
    for name in ("a", "b"):
        await first.done("instances.insert", spec(name))
    await first.cloud.stop()
    runtime.failures["boot"] = MachineError("no memory")
    second = client_of(await make_cloud(database))
    statuses = sorted([(await second.instance(name))["status"] for name in ("a", "b")])
    assert statuses == ["RUNNING", "TERMINATED"]


async def test_an_acknowledged_write_survives(
    make_cloud: MakeCloud, client_of: ClientOf, database: Path
) -> None:
    first = client_of(await make_cloud(database))
    await first.done("networks.insert", {"name": "n"})
    # No stop, no close: what another reader of the file sees is what a killed process leaves.
    assert Store(database).get("projects/cloudspill-sandbox/global/networks/n") is not None


RULE = {"name": "web", "allowed": [{"IPProtocol": "tcp", "ports": ["80"]}]}


@pytest.mark.parametrize(
    ("method", "body", "parameters"),
    [
        ("firewalls.insert", RULE, {}),
        ("firewalls.patch", {"disabled": True}, {"firewall": "default-allow-ssh"}),
        ("firewalls.delete", None, {"firewall": "default-allow-ssh"}),
        ("instances.setDeletionProtection", None, {"resource": "vm"}),
        (
            "instances.deleteAccessConfig",
            None,
            {"instance": "vm", "networkInterface": "nic0", "accessConfig": "nat"},
        ),
    ],
)
async def test_what_only_had_to_reach_the_network_is_done(
    make_cloud: MakeCloud,
    client_of: ClientOf,
    spec: Any,
    network: MemoryNetwork,
    database: Path,
    method: str,
    body: Any,
    parameters: dict[str, str],
) -> None:
    first = client_of(await make_cloud(database))
    await first.done("instances.insert", spec())
    await first.cloud.stop()
    second = client_of(await make_cloud(database, Stuck()))
    operation = await second.call(method, body, **parameters)
    assert operation["status"] == "RUNNING"
    written = second.documents()
    await kill(second.cloud)
    third = client_of(await make_cloud(database))
    kind = "zone" if "zone" in operation else "global"
    ended = await third.call(f"{kind}Operations.get", operation=operation["name"])
    assert (ended["status"], "error" in ended) == ("DONE", False)
    rules = "projects/cloudspill-sandbox/global/firewalls"
    assert third.documents()[rules] == written[rules]
    assert {rule.name for rule in network.topology.rules} == set(written[rules])


async def test_a_deletion_cut_short_leaves_others_the_disks_that_they_share(
    make_cloud: MakeCloud, client_of: ClientOf, spec: Any, runtime: MemoryRuntime, database: Path
) -> None:
    first = client_of(await make_cloud(database))
    await first.done("disks.insert", {"name": "shared"})
    shared = {"source": "zones/us-west1-b/disks/shared", "mode": "READ_ONLY", "autoDelete": True}
    for name in ("a", "b"):
        body = spec(name)
        await first.done("instances.insert", body | {"disks": [*body["disks"], shared]})
    await first.cloud.stop()
    second = client_of(await make_cloud(database, Stuck()))
    await second.call("instances.delete", instance="a")
    await kill(second.cloud)
    third = client_of(await make_cloud(database))
    assert (await third.refused("instances.get", instance="a")).status == 404
    left = await third.instance("b")
    assert left["status"] == "RUNNING"
    assert (await third.call("disks.get", disk="shared"))["users"] == [left["selfLink"]]
    await third.done("instances.delete", instance="b")
    assert set(runtime.volumes) == {"debian-12"}


async def test_a_machine_that_outlives_a_kill_goes_on(
    make_cloud: MakeCloud,
    client_of: ClientOf,
    spec: Any,
    runtime: MemoryRuntime,
    network: MemoryNetwork,
    database: Path,
) -> None:
    first = client_of(await make_cloud(database))
    for name in ("on", "off"):
        await first.done("instances.insert", spec(name))
    await first.done("instances.stop", instance="off")
    before = {name: await first.instance(name) for name in ("on", "off")}
    await kill(first.cloud)
    second = client_of(await make_cloud(database))
    assert {name: await second.instance(name) for name in ("on", "off")} == before
    assert runtime.boots == [before["on"]["id"], before["off"]["id"]]
    runtime.guest_power_off(before["on"]["id"])
    assert (await second.instance("on"))["status"] == "TERMINATED"
    assert {nic.internal_ip for nic in network.topology.nics} == {"10.138.0.2", "10.138.0.3"}


async def test_a_machine_of_an_instance_that_is_not_running_is_ended(
    make_cloud: MakeCloud, client_of: ClientOf, spec: Any, runtime: MemoryRuntime, database: Path
) -> None:
    first = client_of(await make_cloud(database))
    await first.done("instances.insert", spec())
    machine = dict(runtime.running)
    await first.done("instances.stop", instance="vm")
    await kill(first.cloud)
    runtime.running.update(machine)
    await make_cloud(database)
    assert not runtime.running


async def test_the_interface_of_a_creation_cut_short_is_detached(
    make_cloud: MakeCloud,
    client_of: ClientOf,
    spec: Any,
    network: MemoryNetwork,
    database: Path,
) -> None:
    first = client_of(await make_cloud(database, Stuck(2)))
    await first.call("instances.insert", spec())
    await eventually(lambda: network.attached)
    await kill(first.cloud)
    await make_cloud(database)
    assert not network.attached
