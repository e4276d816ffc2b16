# SPDX-License-Identifier: GPL-3.0-or-later
"""Instances with several interfaces.

https://cloud.google.com/vpc/docs/multiple-interfaces-concepts.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pytest

from cloudspill_sandbox.compute.metadata_view import MetadataView
from cloudspill_sandbox.compute.names import ROOT
from cloudspill_sandbox.network.memory import MemoryNetwork
from cloudspill_sandbox.runtime.memory import MemoryRuntime

from .conftest import Client, MakeCloud, idle
from .test_restart import Stuck, kill

PROJECT = "projects/cloudspill-sandbox"
TWO = [
    {"network": "global/networks/default", "accessConfigs": [{}]},
    {"subnetwork": "regions/us-west1/subnetworks/back", "accessConfigs": [{}]},
]


async def made(api: Client, *ranges: str, network: str = "back") -> None:
    """Make a custom network with a subnetwork of its name, `-1`, `-2` … after the first."""
    await api.done("networks.insert", {"name": network, "autoCreateSubnetworks": False})
    for number, ip_range in enumerate(ranges):
        body = {"name": f"{network}-{number}" if number else network, "ipCidrRange": ip_range}
        await api.done("subnetworks.insert", body | {"network": f"global/networks/{network}"})


async def two(api: Client, spec: Any, **fields: Any) -> list[dict[str, Any]]:
    """Make `vm` in the default network and in `back`; return its interfaces."""
    await made(api, "10.9.0.0/24")
    await api.done("instances.insert", spec(networkInterfaces=TWO, **fields))
    return list((await api.instance())["networkInterfaces"])


async def test_each_interface_has_a_name_a_network_and_addresses(
    api: Client, spec: Any, network: MemoryNetwork, runtime: MemoryRuntime
) -> None:
    first, second = await two(api, spec)
    assert (first["name"], first["networkIP"]) == ("nic0", "10.138.0.2")
    assert (second["name"], second["networkIP"]) == ("nic1", "10.9.0.2")
    assert second["network"] == f"{ROOT}{PROJECT}/global/networks/back"
    external = [each["accessConfigs"][0]["natIP"] for each in (first, second)]
    assert external == ["198.19.0.2", "198.19.0.3"]
    assert first["fingerprint"] != second["fingerprint"]
    assert [(nic.index, nic.internal_ip) for nic in network.topology.nics] == [
        (0, "10.138.0.2"),
        (1, "10.9.0.2"),
    ]
    assert set(network.attached) == {"10.138.0.2", "10.9.0.2"}
    (machine,) = runtime.running.values()
    assert machine.nic.internal_ip == "10.138.0.2"
    assert machine.nic.namespace.endswith("0a8a0002")


async def test_nothing_of_any_interface_outlives_the_instance(
    api: Client, spec: Any, network: MemoryNetwork
) -> None:
    await made(api, "10.9.0.0/24")
    before = api.documents()
    await api.done("instances.insert", spec(networkInterfaces=TWO))
    await api.done("instances.delete", instance="vm")
    after = api.documents()
    assert after.get("leases") == before.get("leases")
    assert (network.attached, network.topology.nics) == ({}, ())


async def test_each_interface_keeps_its_address_and_gets_a_new_ephemeral_one_at_a_start(
    api: Client, spec: Any, network: MemoryNetwork
) -> None:
    before = await two(api, spec)
    await api.done("instances.stop", instance="vm")
    stopped = (await api.instance())["networkInterfaces"]
    assert ["natIP" in each["accessConfigs"][0] for each in stopped] == [False, False]
    await api.done("instances.start", instance="vm")
    after = (await api.instance())["networkInterfaces"]
    assert [each["networkIP"] for each in after] == [each["networkIP"] for each in before]
    external = [each["accessConfigs"][0]["natIP"] for each in after]
    assert external == ["198.19.0.4", "198.19.0.5"]
    assert [nic.external_ip for nic in network.topology.nics] == external


async def test_an_external_address_comes_and_goes_with_one_interface(
    api: Client, spec: Any, network: MemoryNetwork
) -> None:
    await two(api, spec)
    nic1 = {"instance": "vm", "networkInterface": "nic1"}
    await api.done("instances.deleteAccessConfig", accessConfig="External NAT", **nic1)
    assert [nic.external_ip for nic in network.topology.nics] == ["198.19.0.2", None]
    await api.done("instances.addAccessConfig", {"name": "again"}, **nic1)
    first, second = (await api.instance())["networkInterfaces"]
    assert first["accessConfigs"][0]["name"] == "External NAT"
    assert second["accessConfigs"][0]["name"] == "again"
    refusal = await api.refused(
        "instances.addAccessConfig", {}, instance="vm", networkInterface="nic2"
    )
    assert "Interface 'nic2' does not exist." in refusal.message


async def test_the_metadata_server_shows_every_interface_to_each(api: Client, spec: Any) -> None:
    await two(api, spec)
    view = MetadataView(api.cloud)
    trees = [view.tree(address) for address in ("10.138.0.2", "10.9.0.2")]
    assert trees[0] is not None
    assert trees[0] == trees[1]
    shown = trees[0]["instance"]["networkInterfaces"]
    assert [(each["ip"], each["gateway"], each["mac"], each["subnetmask"]) for each in shown] == [
        ("10.138.0.2", "10.138.0.1", "42:01:0a:8a:00:02", "255.255.240.0"),
        ("10.9.0.2", "10.9.0.1", "42:01:0a:09:00:02", "255.255.255.0"),
    ]
    assert [each["accessConfigs"][0]["externalIp"] for each in shown] == [
        "198.19.0.2",
        "198.19.0.3",
    ]
    assert [each["network"].rpartition("/")[2] for each in shown] == ["default", "back"]


@pytest.mark.parametrize("killed", [True, False])
async def test_all_interfaces_are_there_after_a_restart(
    make_cloud: MakeCloud,
    client_of: Any,
    spec: Any,
    network: MemoryNetwork,
    tmp_path: Any,
    killed: bool,
) -> None:
    first = await make_cloud(tmp_path / "store")
    before = await two(client_of(first), spec)
    if killed:  # the machine goes on meanwhile
        await kill(first)
    else:
        await first.stop()
        await network.stop()
    second = client_of(await make_cloud(tmp_path / "store"))
    assert (await second.instance())["networkInterfaces"] == before
    assert set(network.attached) == {"10.138.0.2", "10.9.0.2"}


async def test_a_subnetwork_does_not_grow_into_that_of_another_interface(
    api: Client, spec: Any, network: MemoryNetwork
) -> None:
    """https://cloud.google.com/vpc/docs/multiple-interfaces-concepts#specifications"""
    await two(api, spec)
    await made(api, "10.10.0.0/24", network="third")
    for name in ("back", "third"):
        body = {"ipCidrRange": "10.0.0.0/8"}
        if name == "back":
            refusal = await api.refused("subnetworks.expandIpCidrRange", body, subnetwork=name)
            assert refusal.message == (
                "Invalid value for field 'ipCidrRange': '10.0.0.0/8'. It overlaps the range of "
                "nic0 of the instance 'vm', 10.138.0.0/20: ranges must not overlap for NICs "
                "attached to a VM."
            )
        else:  # no instance has another interface there
            await api.done("subnetworks.expandIpCidrRange", body, subnetwork=name)
    await api.done(
        "subnetworks.expandIpCidrRange", {"ipCidrRange": "10.8.0.0/15"}, subnetwork="back"
    )
    assert [nic.subnet for nic in network.topology.nics] == ["10.138.0.0/20", "10.8.0.0/15"]


async def moved(api: Client, nic: str, **body: Any) -> Any:
    """Return what moves an interface of `vm`, with the fingerprint that it has."""
    at = int(nic.removeprefix("nic"))
    held = (await api.instance())["networkInterfaces"][at]
    return {"fingerprint": held["fingerprint"], **body}


@pytest.mark.parametrize(("nic", "left"), [("nic0", "10.138.0.2"), ("nic1", "10.9.0.2")])
async def test_an_interface_of_a_stopped_instance_moves_to_another_network(
    api: Client, spec: Any, network: MemoryNetwork, nic: str, left: str
) -> None:
    """https://cloud.google.com/vpc/docs/migrate-vm-network"""
    await two(api, spec)
    await made(api, "10.10.0.0/24", network="third")
    await api.done("instances.stop", instance="vm")
    there = {"instance": "vm", "networkInterface": nic}
    body = await moved(api, nic, subnetwork="regions/us-west1/subnetworks/third")
    await api.done("instances.updateNetworkInterface", body, **there)
    held = (await api.instance())["networkInterfaces"]
    at = int(nic[-1])
    assert held[at]["networkIP"] == "10.10.0.2"
    assert held[at]["network"].endswith("/networks/third")
    assert held[at]["accessConfigs"]
    assert left not in api.documents()["leases"]
    await api.done("instances.start", instance="vm")
    kept = {"10.138.0.2", "10.9.0.2"} - {left}
    assert {nic.internal_ip for nic in network.topology.nics} == {"10.10.0.2", *kept}
    await api.done("instances.delete", instance="vm")
    assert not set(network.attached) & {"10.10.0.2", *kept}


@pytest.mark.parametrize("nic", ["nic0", "nic1"])
async def test_the_link_of_an_interface_goes_when_it_moves(
    api: Client, spec: Any, network: MemoryNetwork, nic: str
) -> None:
    await two(api, spec)
    await made(api, "10.10.0.0/24", network="third")
    await api.done("instances.stop", instance="vm")
    body = await moved(api, nic, subnetwork="regions/us-west1/subnetworks/third")
    there = {"instance": "vm", "networkInterface": nic}
    await api.done("instances.updateNetworkInterface", body, **there)
    assert not network.attached


async def test_a_moved_interface_takes_the_address_that_it_is_given(api: Client, spec: Any) -> None:
    await two(api, spec)
    await made(api, "10.10.0.0/24", network="third")
    await api.done("instances.stop", instance="vm")
    there = {"instance": "vm", "networkInterface": "nic1"}
    third = {"network": "global/networks/third", "subnetwork": "regions/us-west1/subnetworks/third"}
    body = await moved(api, "nic1", networkIP="10.10.0.77", **third)
    await api.done("instances.updateNetworkInterface", body, **there)
    assert (await api.instance())["networkInterfaces"][1]["networkIP"] == "10.10.0.77"


async def test_what_a_kill_cut_short_holds_no_address(
    make_cloud: MakeCloud, client_of: Any, spec: Any, tmp_path: Any
) -> None:
    first = client_of(await make_cloud(tmp_path / "store"))
    await two(first, spec)
    await made(first, "10.10.0.0/24", network="third")
    await first.done("instances.stop", instance="vm")
    await first.cloud.stop()
    second = client_of(await make_cloud(tmp_path / "store", Stuck()))
    body = await moved(second, "nic1", subnetwork="regions/us-west1/subnetworks/third")
    there = {"instance": "vm", "networkInterface": "nic1"}
    operation = await second.call("instances.updateNetworkInterface", body, **there)
    assert operation["status"] == "RUNNING"
    assert {"10.9.0.2", "10.10.0.2"} <= set(second.documents()["leases"])
    await kill(second.cloud)
    third = client_of(await make_cloud(tmp_path / "store"))
    assert {"10.138.0.2", "10.10.0.2"} == set(third.documents()["leases"])
    await third.done("instances.start", instance="vm")


@pytest.mark.parametrize(
    ("method", "more"),
    [
        ("start", {}),
        ("delete", {}),
        ("updateNetworkInterface", {"networkInterface": "nic1"}),
        ("deleteAccessConfig", {"networkInterface": "nic0", "accessConfig": "External NAT"}),
        ("addAccessConfig", {"networkInterface": "nic0"}),
    ],
)
async def test_nobody_starts_changes_or_deletes_it_while_an_interface_moves(
    make_cloud: MakeCloud, client_of: Any, spec: Any, method: str, more: dict[str, str]
) -> None:
    api = client_of(await make_cloud(latency=Stuck(4)))  # made and stopped, but not moved
    await made(api, "10.9.0.0/24")
    await made(api, "10.10.0.0/24", network="third")
    await api.call("instances.insert", spec(networkInterfaces=TWO))
    await idle()
    await api.call("instances.stop", instance="vm")
    await idle()
    there = {"instance": "vm", "networkInterface": "nic1"}
    body = await moved(api, "nic1", subnetwork="regions/us-west1/subnetworks/third")
    await api.call("instances.updateNetworkInterface", body, **there)
    again = await moved(api, "nic1", subnetwork="regions/us-west1/subnetworks/back")
    body = {"updateNetworkInterface": again, "addAccessConfig": {}}.get(method)
    refusal = await api.refused(f"instances.{method}", body, instance="vm", **more)
    await kill(api.cloud)
    assert (refusal.status, refusal.reason) == (400, "resourceNotReady")


@pytest.mark.parametrize(
    ("nic", "body", "status", "words"),
    [
        ("nic1", {"fingerprint": "AAAA"}, 412, "network interface fingerprint"),
        (
            "nic1",
            {"subnetwork": "regions/us-west1/subnetworks/default"},
            400,
            "Subnetworks must be distinct",
        ),
        ("nic1", {"networkIP": "10.9.0.9"}, 400, "only with its network or subnetwork"),
        (
            "nic1",
            {"subnetwork": "regions/us-west1/subnetworks/third"},
            400,
            "must be stopped to move its interfaces",
        ),
        ("nic1", {"aliasIpRanges": [{"ipCidrRange": "/24"}]}, 400, "aliasIpRanges"),
        ("nic7", {}, 400, "Interface 'nic7' does not exist."),
    ],
)
async def test_a_move_that_cannot_be_is_refused(
    api: Client, spec: Any, nic: str, body: dict[str, Any], status: int, words: str
) -> None:
    await two(api, spec)
    await made(api, "10.10.0.0/24", network="third")
    body = body if nic == "nic7" else await moved(api, nic, **body)
    there = {"instance": "vm", "networkInterface": nic}
    refusal = await api.refused("instances.updateNetworkInterface", body, **there)
    assert (refusal.status, words in refusal.message) == (status, True), refusal.message


FIELD = "resource.networkInterfaces"
HERE = "regions/us-west1/subnetworks"
DEFAULT = {"subnetwork": "regions/us-west1/subnetworks/default"}
REFUSED: Sequence[tuple[list[dict[str, Any]], str, str]] = (
    # https://docs.cloud.google.com/vpc/docs/multiple-interfaces-concepts#specifications
    (
        [{}, DEFAULT],
        f"{FIELD}[1].subnetwork': '{DEFAULT['subnetwork']}'",
        "Subnetworks must be distinct for NICs attached to a VM.",
    ),
    (
        [{}, {"network": "global/networks/default"}],
        f"{FIELD}[1].subnetwork': ''",
        "Subnetworks must be distinct for NICs attached to a VM.",
    ),
    (
        [{}, {"subnetwork": f"{HERE}/back"}, {"subnetwork": f"{HERE}/back-1"}],
        f"{FIELD}[2].network': ''",
        "Networks must be distinct for NICs attached to a VM.",
    ),
    (
        [{}, {"network": "global/networks/automatic"}],
        f"{FIELD}[1].subnetwork': ''",
        "Its range 10.138.0.0/20 overlaps that of nic0, 10.138.0.0/20: ranges must not overlap for "
        "NICs attached to a VM.",
    ),
    # https://cloud.google.com/vpc/docs/create-use-multiple-interfaces#max-interfaces
    (
        [{}, *({"subnetwork": f"{HERE}/{name}"} for name in ("back", "third", "fourth", "fifth"))],
        f"{FIELD}': ''",
        "Too many network interfaces. The maximum number of network interfaces allowed for machine "
        "type 'n1-standard-4' is 4.",
    ),
)  # fmt: skip


@pytest.mark.parametrize(("wanted", "value", "sentence"), REFUSED)
async def test_interfaces_that_cannot_stand_together_are_refused(
    api: Client, spec: Any, wanted: list[dict[str, Any]], value: str, sentence: str
) -> None:
    await made(api, "10.9.0.0/24", "10.9.1.0/24")
    await api.done("networks.insert", {"name": "automatic"})
    body = spec(networkInterfaces=wanted, machineType="zones/us-west1-b/machineTypes/n1-standard-4")
    refusal = await api.refused("instances.insert", body)
    assert (refusal.status, refusal.reason) == (400, "invalid")
    assert refusal.message == f"Invalid value for field '{value}. {sentence}"


async def test_further_interfaces_may_be_in_the_network_of_the_first(
    api: Client, spec: Any
) -> None:
    await made(api, "10.9.0.0/24", "10.9.1.0/24")
    wanted = [
        {"subnetwork": "regions/us-west1/subnetworks/back"},
        {"subnetwork": "regions/us-west1/subnetworks/back-1"},
    ]
    await api.done("instances.insert", spec(networkInterfaces=wanted))
    held = (await api.instance())["networkInterfaces"]
    assert [each["networkIP"] for each in held] == ["10.9.0.2", "10.9.1.2"]


async def test_a_machine_type_with_too_few_interfaces_is_refused(api: Client, spec: Any) -> None:
    await made(api, "10.9.0.0/24")
    await made(api, "10.10.0.0/24", network="third")
    three = [*TWO, {"subnetwork": "regions/us-west1/subnetworks/third"}]
    big, small = (f"zones/us-west1-b/machineTypes/n1-standard-{n}" for n in (4, 1))
    await api.done("instances.insert", spec(networkInterfaces=three, machineType=big))
    await api.done("instances.stop", instance="vm")
    refusal = await api.refused("instances.setMachineType", {"machineType": small}, instance="vm")
    assert "Too many network interfaces." in refusal.message
