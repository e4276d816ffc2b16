# SPDX-License-Identifier: GPL-3.0-or-later
"""Networks, subnetworks and firewall rules, and what of them reaches the network."""

from __future__ import annotations

from typing import Any

import pytest

from cloudspill_sandbox.network.interface import FirewallRule
from cloudspill_sandbox.network.memory import MemoryNetwork

from .conftest import Client

PROJECT = "projects/cloudspill-sandbox"
DEFAULT = f"{PROJECT}/global/networks/default"
FLASK = {
    "name": "allow-5000",
    "allowed": [{"IPProtocol": "tcp", "ports": ["5000"]}],
    "sourceRanges": ["0.0.0.0/0"],
    "targetTags": ["allow-5000"],
}


async def test_a_new_project_has_the_default_network(api: Client, network: MemoryNetwork) -> None:
    default = await api.call("networks.get", network="default")
    assert default["autoCreateSubnetworks"] is True
    assert len(default["subnetworks"]) == 43
    subnetwork = await api.call("subnetworks.get", subnetwork="default")
    assert subnetwork["ipCidrRange"] == "10.138.0.0/20"
    assert subnetwork["gatewayAddress"] == "10.138.0.1"
    assert {rule.name for rule in network.topology.rules} == {
        "default-allow-icmp",
        "default-allow-internal",
        "default-allow-rdp",
        "default-allow-ssh",
    }


async def test_a_rule_reaches_the_network_and_leaves_it(
    api: Client, network: MemoryNetwork
) -> None:
    await api.done("firewalls.insert", FLASK)
    rule = await api.call("firewalls.get", firewall="allow-5000")
    assert (rule["priority"], rule["direction"], rule["disabled"]) == (1000, "INGRESS", False)
    assert (
        FirewallRule(
            network=DEFAULT,
            name="allow-5000",
            priority=1000,
            direction="INGRESS",
            action="allow",
            protocols=(("tcp", ("5000",)),),
            ranges=("0.0.0.0/0",),
            target_tags=("allow-5000",),
        )
        in network.topology.rules
    )
    await api.done("firewalls.delete", firewall="allow-5000")
    assert "allow-5000" not in {rule.name for rule in network.topology.rules}


async def test_a_rule_without_a_source_is_for_all(api: Client) -> None:
    await api.done("firewalls.insert", {"name": "r", "denied": [{"IPProtocol": "all"}]})
    assert (await api.call("firewalls.get", firewall="r"))["sourceRanges"] == ["0.0.0.0/0"]
    egress = {"name": "e", "direction": "EGRESS", "denied": [{"IPProtocol": "TCP"}]}
    await api.done("firewalls.insert", egress)
    found = await api.call("firewalls.get", firewall="e")
    assert found["destinationRanges"] == ["0.0.0.0/0"]
    assert found["denied"] == [{"IPProtocol": "tcp"}]


async def test_patch_keeps_what_it_does_not_name_and_update_does_not(api: Client) -> None:
    await api.done("firewalls.insert", FLASK | {"description": "mark"})
    await api.done("firewalls.patch", {"disabled": True}, firewall="allow-5000")
    patched = await api.call("firewalls.get", firewall="allow-5000")
    assert (patched["disabled"], patched["description"]) == (True, "mark")
    await api.done("firewalls.patch", {"denied": [{"IPProtocol": "udp"}]}, firewall="allow-5000")
    patched = await api.call("firewalls.get", firewall="allow-5000")
    assert "allowed" not in patched
    await api.done("firewalls.update", FLASK, firewall="allow-5000")
    updated = await api.call("firewalls.get", firewall="allow-5000")
    assert (updated["disabled"], updated.get("description")) == (False, None)
    assert updated["id"] == patched["id"]


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        ({"name": "Allow"}, "'resource.name': 'Allow'"),
        ({"allowed": None}, "Exactly one of 'allowed' and 'denied'"),
        ({"denied": [{"IPProtocol": "all"}]}, "Exactly one of 'allowed' and 'denied'"),
        ({"allowed": [{"ports": ["1"]}]}, "'resource.allowed[0].IPProtocol' not specified"),
        ({"allowed": [{"IPProtocol": "carrier-pigeon"}]}, "'carrier-pigeon'"),
        ({"allowed": [{"IPProtocol": "256"}]}, "'256'"),
        ({"allowed": [{"IPProtocol": "icmp", "ports": ["1"]}]}, "Ports may not be specified"),
        ({"allowed": [{"IPProtocol": "tcp", "ports": ["http"]}]}, "ports[0]': 'http'"),
        ({"allowed": [{"IPProtocol": "tcp", "ports": ["90-80"]}]}, "ports[0]': '90-80'"),
        ({"allowed": [{"IPProtocol": "tcp", "ports": ["65536"]}]}, "ports[0]': '65536'"),
        ({"priority": 65536}, "Must be less than or equal to 65535"),
        ({"priority": -1}, "Must be greater than or equal to 0"),
        ({"sourceRanges": ["10.0.0.0/33"]}, "sourceRanges[0]': '10.0.0.0/33'"),
        # https://github.com/CartoDB/cartodb/pull/15649: bits of a host are not accepted.
        ({"sourceRanges": ["0.0.0.0/0", "12.12.12.12/24"]}, "sourceRanges[1]': '12.12.12.12/24'"),
        ({"targetTags": ["A"]}, "targetTags[0]': 'A'"),
        ({"sourceServiceAccounts": ["a@b"]}, "Tags and service accounts cannot be used"),
        ({"direction": "EGRESS"}, "Egress rules cannot have a source"),
        ({"network": "global/networks/none"}, "The referenced network resource cannot be found."),
    ],
)
async def test_bad_rules_are_refused(api: Client, fields: dict[str, Any], words: str) -> None:
    refusal = await api.refused("firewalls.insert", FLASK | fields)
    assert refusal.status == 400
    assert words in refusal.message


async def test_names_are_taken_once(api: Client) -> None:
    await api.done("firewalls.insert", FLASK)
    assert (await api.refused("firewalls.insert", FLASK)).status == 409
    await api.done("networks.insert", {"name": "n"})
    assert (await api.refused("networks.insert", {"name": "n"})).status == 409


async def test_a_second_automatic_network_has_addresses_of_its_own(api: Client, spec: Any) -> None:
    await api.done("networks.insert", {"name": "other"})
    await api.done("instances.insert", spec("one"))
    interface = [{"network": "global/networks/other"}]
    await api.done("instances.insert", spec("two", networkInterfaces=interface))
    addresses = [
        (await api.instance(name))["networkInterfaces"][0]["networkIP"] for name in ("one", "two")
    ]
    assert addresses == ["10.138.0.2", "10.138.0.3"]


async def test_a_custom_network_needs_a_subnetwork(api: Client, spec: Any) -> None:
    await api.done("networks.insert", {"name": "n", "autoCreateSubnetworks": False})
    interface = [{"network": "global/networks/n"}]
    refusal = await api.refused("instances.insert", spec(networkInterfaces=interface))
    assert "Subnetwork should be specified for custom subnetmode network" in refusal.message


async def test_what_is_used_is_not_deleted(api: Client, spec: Any) -> None:
    await api.done("networks.insert", {"name": "n", "autoCreateSubnetworks": False})
    subnetwork = {"name": "s", "network": "global/networks/n", "ipCidrRange": "10.1.0.0/24"}
    await api.done("subnetworks.insert", subnetwork)
    await api.done("firewalls.insert", FLASK | {"network": "global/networks/n"})
    interface = [{"subnetwork": "regions/us-west1/subnetworks/s"}]
    await api.done("instances.insert", spec(networkInterfaces=interface))
    user = f"{PROJECT}/zones/us-west1-b/instances/vm"
    refusal = await api.refused("networks.delete", network="n")
    assert refusal.reason == "resourceInUseByAnotherResource"
    assert refusal.message == (
        f"The network resource '{PROJECT}/global/networks/n' is already being used by '{user}'"
    )
    refusal = await api.refused("subnetworks.delete", subnetwork="s")
    assert user in refusal.message
    await api.done("instances.delete", instance="vm")
    assert "firewalls/allow-5000" in (await api.refused("networks.delete", network="n")).message
    await api.done("firewalls.delete", firewall="allow-5000")
    assert "subnetworks/s" in (await api.refused("networks.delete", network="n")).message
    await api.done("subnetworks.delete", subnetwork="s")
    await api.done("networks.delete", network="n")


async def test_an_automatic_network_goes_with_its_subnetworks(api: Client) -> None:
    before = api.documents()
    await api.done("networks.insert", {"name": "n"})
    assert (await api.refused("subnetworks.delete", subnetwork="n")).status == 400
    await api.done("networks.delete", network="n")
    after = api.documents()
    after.pop(f"{PROJECT}/global/operations")
    assert after == before


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("10.138.0.0/24", "conflicts with existing subnetwork 'default'"),
        ("10.1.0.1/24", "aligned"),
        ("8.8.8.0/24", "RFC 1918"),
        ("10.1.0.0/30", "at most /29"),
        ("", "not specified"),
    ],
)
async def test_bad_ranges_are_refused(api: Client, text: str, words: str) -> None:
    body = {"name": "s", "network": "global/networks/default", "ipCidrRange": text}
    refusal = await api.refused("subnetworks.insert", body)
    assert refusal.status == 400
    assert words in refusal.message


async def test_sibling_lists(api: Client) -> None:
    listed = await api.call("subnetworks.aggregatedList")
    assert len(listed["items"]) == 43
    assert [n["name"] for n in (await api.call("networks.list"))["items"]] == ["default"]
    rules = await api.call("firewalls.list", filter="name = default-allow-ssh")
    assert [rule["name"] for rule in rules["items"]] == ["default-allow-ssh"]


async def test_a_subnetwork_is_expanded_and_its_instances_stay(
    api: Client, spec: Any, network: MemoryNetwork
) -> None:
    """https://cloud.google.com/vpc/docs/create-modify-vpc-networks#expand-subnet"""
    await api.done("networks.insert", {"name": "own", "autoCreateSubnetworks": False})
    own = {"network": "global/networks/own"}
    await api.done("subnetworks.insert", {"name": "sub", "ipCidrRange": "10.9.4.0/24"} | own)
    await api.done("subnetworks.insert", {"name": "near", "ipCidrRange": "10.9.8.0/24"} | own)
    await api.done(
        "instances.insert",
        spec(networkInterfaces=[{"subnetwork": "regions/us-west1/subnetworks/sub"}]),
    )
    for given, sentence in (
        ("10.9.4.0/25", "must be larger than 10.9.4.0/24 and contain it"),
        ("10.10.0.0/16", "must be larger than 10.9.4.0/24 and contain it"),
        ("10.9.0.0/16", "conflicts with existing subnetwork 'near'"),
        ("10.9.4.1/23", "Must be a valid, aligned IPv4 CIDR range."),
    ):
        body = {"ipCidrRange": given}
        refusal = await api.refused("subnetworks.expandIpCidrRange", body, subnetwork="sub")
        assert sentence in refusal.message
    wider = {"ipCidrRange": "10.9.4.0/23"}
    await api.done("subnetworks.expandIpCidrRange", wider, subnetwork="sub")
    assert (await api.call("subnetworks.get", subnetwork="sub"))["ipCidrRange"] == "10.9.4.0/23"
    assert [nic.subnet for nic in network.topology.nics] == ["10.9.4.0/23"]


async def test_the_gateway_of_a_subnetwork_is_the_first_address_of_its_range(
    api: Client, spec: Any, network: MemoryNetwork
) -> None:
    """https://cloud.google.com/vpc/docs/subnets#unusable-ip-addresses-in-every-subnet"""
    await api.done("networks.insert", {"name": "own", "autoCreateSubnetworks": False})
    own = {"name": "sub", "network": "global/networks/own", "ipCidrRange": "10.9.5.0/29"}
    await api.done("subnetworks.insert", own)
    await api.done(
        "instances.insert",
        spec(networkInterfaces=[{"subnetwork": "regions/us-west1/subnetworks/sub"}]),
    )
    await api.done(
        "subnetworks.expandIpCidrRange", {"ipCidrRange": "10.9.4.0/23"}, subnetwork="sub"
    )
    assert (await api.call("subnetworks.get", subnetwork="sub"))["gatewayAddress"] == "10.9.4.1"
    former = [
        {"subnetwork": "regions/us-west1/subnetworks/sub", "networkIP": "10.9.5.1"}
    ]  # nobody's now
    await api.done("instances.insert", spec("other", networkInterfaces=former))
    assert {nic.internal_ip for nic in network.attached.values()} == {"10.9.5.1", "10.9.5.2"}


async def test_an_automatic_subnetwork_grows_within_its_region_s_share(api: Client) -> None:
    """https://cloud.google.com/vpc/docs/create-modify-vpc-networks#expand-subnet"""
    body = {"ipCidrRange": "10.138.0.0/15"}
    refusal = await api.refused("subnetworks.expandIpCidrRange", body, subnetwork="default")
    assert "must be at least /16" in refusal.message
    body = {"ipCidrRange": "10.138.0.0/16"}
    await api.done("subnetworks.expandIpCidrRange", body, subnetwork="default")


async def test_a_subnetwork_is_patched_by_its_fingerprint(api: Client) -> None:
    """https://cloud.google.com/compute/docs/reference/rest/v1/subnetworks/patch"""
    before = await api.call("subnetworks.get", subnetwork="default")
    body = {"fingerprint": before["fingerprint"], "privateIpGoogleAccess": True}
    await api.done("subnetworks.patch", body, subnetwork="default")
    after = await api.call("subnetworks.get", subnetwork="default")
    assert after["privateIpGoogleAccess"] is True
    assert (await api.refused("subnetworks.patch", body, subnetwork="default")).status == 412
    await api.done("subnetworks.patch", after, subnetwork="default")  # as it was read
    fixed = {"fingerprint": after["fingerprint"], "purpose": "PRIVATE_NAT"}
    refusal = await api.refused("subnetworks.patch", fixed, subnetwork="default")
    assert "'resource.purpose'" in refusal.message
