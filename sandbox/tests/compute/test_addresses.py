# SPDX-License-Identifier: GPL-3.0-or-later
"""Static addresses.

https://cloud.google.com/compute/docs/ip-addresses/configure-static-external-ip-address,
https://cloud.google.com/compute/docs/ip-addresses/configure-static-internal-ip-address.
"""

from __future__ import annotations

from typing import Any

import pytest

from cloudspill_sandbox.network.memory import MemoryNetwork

from .conftest import Client


async def test_a_reserved_address_is_used_by_one_and_freed(api: Client, spec: Any) -> None:
    await api.done("addresses.insert", {"name": "front", "labels": {"a": "b"}})
    address = await api.call("addresses.get", address="front")
    assert (address["status"], address["address"]) == ("RESERVED", "198.19.0.2")
    interface = [{"accessConfigs": [{"natIP": address["address"]}]}]
    await api.done("instances.insert", spec("one", networkInterfaces=interface))
    used = await api.call("addresses.get", address="front")
    assert used["status"] == "IN_USE"
    assert used["users"] == [(await api.instance("one"))["selfLink"]]
    second = await api.refused("instances.insert", spec("two", networkInterfaces=interface))
    assert "is in-use and would result in a conflict" in second.message
    await api.done("instances.delete", instance="one")
    assert (await api.call("addresses.get", address="front"))["status"] == "RESERVED"
    await api.done("addresses.delete", address="front")
    assert (await api.call("addresses.list"))["items"] == []


async def test_a_reserved_address_is_given_to_nobody_else(api: Client, spec: Any) -> None:
    await api.done("addresses.insert", {"name": "front"})
    await api.done("instances.insert", spec())
    config = (await api.instance())["networkInterfaces"][0]["accessConfigs"][0]
    assert config["natIP"] == "198.19.0.3"


async def test_an_address_of_another_region_is_not_found(api: Client, spec: Any) -> None:
    await api.done("addresses.insert", {"name": "far"}, region="us-east1")
    far = await api.call("addresses.get", address="far", region="us-east1")
    interface = [{"accessConfigs": [{"natIP": far["address"]}]}]
    refusal = await api.refused("instances.insert", spec(networkInterfaces=interface))
    assert "was not found in region 'us-west1'" in refusal.message


async def test_refusals(api: Client) -> None:
    await api.done("addresses.insert", {"name": "a"})
    assert (await api.refused("addresses.insert", {"name": "a"})).status == 409
    assert (await api.refused("addresses.insert", {"name": "A"})).status == 400
    for given, sentence in (
        ({"address": "198.19.7.7"}, "was not found in region 'us-west1'"),
        ({"address": "198.19.0.2"}, "is in-use and would result in a conflict"),
        ({"purpose": "GCE_ENDPOINT"}, "cannot be specified with external address"),
        ({"addressType": "INTERNAL", "address": "192.168.1.1"}, "must be a usable one of"),
        ({"addressType": "INTERNAL", "purpose": "VPC_PEERING"}, "Not supported by this sandbox"),
        (
            {"addressType": "INTERNAL", "subnetwork": "regions/us-west1/subnetworks/none"},
            "subnetwork resource cannot be found",
        ),
        ({"ipVersion": "IPV6"}, "Not supported by this sandbox"),
    ):
        refusal = await api.refused("addresses.insert", {"name": "b"} | given)
        assert refusal.status == 400
        assert sentence in refusal.message
    assert (await api.refused("addresses.get", address="none")).status == 404


@pytest.mark.parametrize(
    ("reserved", "asked", "said"),
    [("STANDARD", {}, "PREMIUM"), ("PREMIUM", {"networkTier": "STANDARD"}, "STANDARD")],
)
async def test_an_address_of_another_network_tier_is_refused(
    api: Client, spec: Any, reserved: str, asked: dict[str, str], said: str
) -> None:
    """https://cloud.google.com/compute/docs/reference/rest/v1/instances/addAccessConfig: the tier
    "must match"; https://github.com/doitintl/kubeip/issues/155 quotes the answer."""
    await api.done("addresses.insert", {"name": "front", "networkTier": reserved})
    config = {"natIP": "198.19.0.2"}
    natted = [{"accessConfigs": [config | asked]}]
    refusal = await api.refused("instances.insert", spec(networkInterfaces=natted))
    assert refusal.status == 400
    assert refusal.message == (
        f"External IP address: 198.19.0.2 has a different network tier {reserved} from the network "
        f"tier in instance access config {said}."
    )
    natted = [{"accessConfigs": [config | {"networkTier": reserved}]}]
    await api.done("instances.insert", spec(networkInterfaces=natted))
    (held,) = (await api.instance())["networkInterfaces"][0]["accessConfigs"]
    assert (held["natIP"], held["networkTier"]) == ("198.19.0.2", reserved)


async def test_aggregated(api: Client) -> None:
    await api.done("addresses.insert", {"name": "a"})
    items = (await api.call("addresses.aggregatedList"))["items"]
    assert [a["name"] for a in items["regions/us-west1"]["addresses"]] == ["a"]


async def test_an_ephemeral_address_is_promoted_and_stays(api: Client, spec: Any) -> None:
    await api.done("instances.insert", spec())
    config = (await api.instance())["networkInterfaces"][0]["accessConfigs"][0]
    await api.done("addresses.insert", {"name": "kept", "address": config["natIP"]})
    address = await api.call("addresses.get", address="kept")
    assert (address["status"], address["address"]) == ("IN_USE", config["natIP"])
    for method in ("instances.stop", "instances.start"):
        await api.done(method, instance="vm")
    interface = (await api.instance())["networkInterfaces"][0]
    assert interface["accessConfigs"][0]["natIP"] == config["natIP"]
    await api.done("instances.delete", instance="vm")
    assert (await api.call("addresses.get", address="kept"))["status"] == "RESERVED"


@pytest.mark.parametrize(("method", "again"), [("stop", "start"), ("suspend", "resume")])
async def test_the_address_of_an_instance_that_is_off_is_free_when_it_is_released(
    api: Client, spec: Any, network: MemoryNetwork, method: str, again: str
) -> None:
    """https://cloud.google.com/compute/docs/ip-addresses#ephemeraladdress: a stop releases it.

    So does a suspension, after which static addresses alone are the instance's:
    https://cloud.google.com/compute/docs/instances/suspend-resume-instance.
    """
    await api.done("addresses.insert", {"name": "front"})
    natted = [{"accessConfigs": [{"natIP": "198.19.0.2"}]}]
    await api.done("instances.insert", spec(networkInterfaces=natted))
    await api.done(f"instances.{method}", instance="vm")
    await api.done("addresses.delete", address="front")
    (config,) = (await api.instance())["networkInterfaces"][0]["accessConfigs"]
    assert "natIP" not in config
    assert "198.19.0.2" not in api.documents()["leases"]
    assert [nic.external_ip for nic in network.topology.nics] == [None]
    await api.done(f"instances.{again}", instance="vm")
    (config,) = (await api.instance())["networkInterfaces"][0]["accessConfigs"]
    assert config["natIP"] != "198.19.0.2"


async def test_an_address_of_an_instance_elsewhere_is_not_promoted(api: Client, spec: Any) -> None:
    await api.done("instances.insert", spec())
    config = (await api.instance())["networkInterfaces"][0]["accessConfigs"][0]
    body = {"name": "far", "address": config["natIP"]}
    refusal = await api.refused("addresses.insert", body, region="us-east1")
    assert "was not found in region 'us-east1'" in refusal.message


async def test_an_internal_address_is_reserved_used_by_one_and_freed(
    api: Client, spec: Any
) -> None:
    await api.done("addresses.insert", {"name": "db", "addressType": "INTERNAL"})
    address = await api.call("addresses.get", address="db")
    assert (address["status"], address["purpose"]) == ("RESERVED", "GCE_ENDPOINT")
    assert address["subnetwork"].endswith("/regions/us-west1/subnetworks/default")
    interface = [{"networkIP": address["address"]}]
    await api.done("instances.insert", spec("one", networkInterfaces=interface))
    used = await api.call("addresses.get", address="db")
    assert (used["status"], used["users"]) == ("IN_USE", [(await api.instance("one"))["selfLink"]])
    second = await api.refused("instances.insert", spec("two", networkInterfaces=interface))
    assert "is already being used by another resource" in second.message
    await api.done("instances.delete", instance="one")
    assert (await api.call("addresses.get", address="db"))["status"] == "RESERVED"
    await api.done("addresses.delete", address="db")


async def test_an_internal_address_may_be_chosen_or_promoted(api: Client, spec: Any) -> None:
    internal = {"addressType": "INTERNAL"}
    await api.done("addresses.insert", {"name": "a", "address": "10.138.0.77"} | internal)
    taken = await api.refused(
        "addresses.insert", {"name": "b", "address": "10.138.0.77"} | internal
    )
    assert "is in-use and would result in a conflict" in taken.message
    await api.done("instances.insert", spec())
    used = (await api.instance())["networkInterfaces"][0]["networkIP"]
    await api.done("addresses.insert", {"name": "b", "address": used} | internal)
    assert (await api.call("addresses.get", address="b"))["status"] == "IN_USE"
    busy = await api.refused("addresses.delete", address="b")
    assert busy.reason == "resourceInUseByAnotherResource"


async def test_an_instance_keeps_the_external_address_that_is_released(
    api: Client, spec: Any
) -> None:
    # GoogleCloudPlatform/python-docs-samples, compute/client_library: test_promote_ephemeral_ip.
    def nat_ip(instance: dict[str, Any]) -> str | None:
        address = instance["networkInterfaces"][0]["accessConfigs"][0].get("natIP")
        return None if address is None else str(address)

    await api.done("addresses.insert", {"name": "front"})
    static = (await api.call("addresses.get", address="front"))["address"]
    interface = [{"accessConfigs": [{"natIP": static}]}]
    await api.done("instances.insert", spec("vm", networkInterfaces=interface))
    await api.done("addresses.delete", address="front")
    assert nat_ip(await api.instance("vm")) == static
    # It is an ephemeral one now, which an instance gives back when it stops.
    await api.done("addresses.insert", {"name": "again", "address": static})
    assert (await api.call("addresses.get", address="again"))["status"] == "IN_USE"
    await api.done("addresses.delete", address="again")
    await api.done("instances.stop", instance="vm")
    assert nat_ip(await api.instance("vm")) is None
    gone = await api.refused("addresses.insert", {"name": "late", "address": static})
    assert gone.message.endswith(
        f"The specified IP address '{static}' was not found in region 'us-west1'."
    )


async def test_a_subnetwork_with_a_reserved_address_is_not_deleted(api: Client) -> None:
    await api.done("networks.insert", {"name": "own", "autoCreateSubnetworks": False})
    body = {"name": "sub", "ipCidrRange": "10.9.0.0/24", "network": "global/networks/own"}
    await api.done("subnetworks.insert", body)
    reserved = {
        "name": "a",
        "addressType": "INTERNAL",
        "subnetwork": "regions/us-west1/subnetworks/sub",
    }
    await api.done("addresses.insert", reserved)
    refusal = await api.refused("subnetworks.delete", subnetwork="sub")
    assert "is already being used by" in refusal.message
    await api.done("addresses.delete", address="a")
    await api.done("subnetworks.delete", subnetwork="sub")
