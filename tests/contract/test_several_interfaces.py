# SPDX-License-Identifier: GPL-3.0-or-later
"""Instances in several networks, with Google's libraries and gcloud.

https://cloud.google.com/vpc/docs/create-use-multiple-interfaces
"""

from __future__ import annotations

import shutil
from collections.abc import Callable
from dataclasses import dataclass

import pytest

from .gcloud import Gcloud
from .rest import Rest
from .sdks import Refused, Sdk

Named = Callable[[str], str]
gcloud_only = pytest.mark.skipif(shutil.which("gcloud") is None, reason="gcloud is not installed")


@dataclass(frozen=True)
class Back:
    """Names of two custom networks; each has a subnetwork of its own name."""

    network: str
    other: str


@pytest.fixture(scope="module")
def back(rest: Rest, prefix: str) -> Back:
    """Networks beside the default one; gone with the module's other resources."""
    made = []
    for number, name in enumerate(("back", "other")):
        network = f"{prefix}{name}"
        body = {"name": network, "autoCreateSubnetworks": False}
        rest.done("POST", "global/networks", body)
        subnetwork = {"name": network, "network": f"global/networks/{network}"}
        subnetwork["ipCidrRange"] = f"10.{20 + number}.0.0/24"
        rest.done("POST", f"regions/{rest.region}/subnetworks", subnetwork)
        made.append(network)
    return Back(*made)


@pytest.fixture
def vm(api: Sdk, rest: Rest, named: Named, back: Back) -> str:
    """The name of an instance in the default network and in another."""
    name = named("vm")
    interfaces = [
        {"network": "global/networks/default", "accessConfigs": [{"name": "nat"}]},
        {"subnetwork": f"regions/{rest.region}/subnetworks/{back.network}"},
    ]
    api("instances.insert", body=rest.instance(name, networkInterfaces=interfaces))
    return name


def test_each_interface_is_listed_with_its_network(api: Sdk, vm: str, back: Back) -> None:
    (listed,) = api("instances.list", filter=f"name={vm}")
    first, second = listed["networkInterfaces"]
    assert (first["name"], second["name"]) == ("nic0", "nic1")
    assert first["network"].endswith("/networks/default")
    assert second["network"].endswith(f"/networks/{back.network}")
    assert second["networkIP"].startswith("10.20.0.")
    assert "accessConfigs" not in second
    api("instances.delete", instance=vm)


def test_an_external_address_comes_to_a_further_interface(api: Sdk, vm: str) -> None:
    there = {"instance": vm, "networkInterface": "nic1"}
    api("instances.addAccessConfig", body={"name": "late"}, **there)
    api("instances.updateAccessConfig", body={"name": "late", "setPublicPtr": False}, **there)
    first, second = api("instances.get", instance=vm)["networkInterfaces"]
    assert second["accessConfigs"][0]["natIP"] != first["accessConfigs"][0]["natIP"]
    api("instances.deleteAccessConfig", accessConfig="late", **there)
    first, second = api("instances.get", instance=vm)["networkInterfaces"]
    assert ("accessConfigs" in first, "accessConfigs" in second) == (True, False)
    api("instances.delete", instance=vm)


def test_an_interface_of_a_stopped_instance_moves(
    api: Sdk, rest: Rest, vm: str, back: Back
) -> None:
    """https://cloud.google.com/vpc/docs/migrate-vm-network"""
    there = {"instance": vm, "networkInterface": "nic1"}
    (_, second) = api("instances.get", instance=vm)["networkInterfaces"]
    body = {
        "subnetwork": f"regions/{rest.region}/subnetworks/{back.other}",
        "fingerprint": second["fingerprint"],
    }
    with pytest.raises(Refused, match="must be stopped") as refusal:
        api("instances.updateNetworkInterface", body=body, **there)
    assert refusal.value.status == 400
    api("instances.stop", instance=vm)
    (_, second) = api("instances.get", instance=vm)["networkInterfaces"]
    body["fingerprint"] = second["fingerprint"]
    api("instances.updateNetworkInterface", body=body, **there)
    api("instances.start", instance=vm)
    (_, moved) = api("instances.get", instance=vm)["networkInterfaces"]
    assert moved["networkIP"].startswith("10.21.0.")
    with pytest.raises(Refused) as refusal:
        api("instances.updateNetworkInterface", body=body, **there)
    assert refusal.value.status == 412
    api("instances.delete", instance=vm)


def test_one_subnetwork_twice_is_refused(api: Sdk, rest: Rest, named: Named) -> None:
    """https://docs.cloud.google.com/vpc/docs/multiple-interfaces-concepts#specifications"""
    interfaces = [{"network": "global/networks/default"}] * 2
    body = rest.instance(named("vm"), networkInterfaces=interfaces)
    with pytest.raises(Refused, match="Subnetworks must be distinct for NICs attached to a VM"):
        api("instances.insert", body=body)


@pytest.mark.slow
@gcloud_only
def test_gcloud_makes_shows_and_moves_interfaces(gcloud: Gcloud, named: Named, back: Back) -> None:
    name = named("vm")
    (made,) = gcloud(
        *("instances", "create", name, "--machine-type=e2-micro"),
        "--network-interface=network=default",
        f"--network-interface=subnet={back.network},no-address",
    )
    assert [each["name"] for each in made["networkInterfaces"]] == ["nic0", "nic1"]
    config = ("--access-config-name=late", "--network-interface=nic1")
    gcloud("instances", "add-access-config", name, *config)
    gcloud("instances", "update-access-config", name, config[1], "--no-public-ptr")
    gcloud("instances", "delete-access-config", name, *config)
    gcloud("instances", "stop", name)
    update = ("instances", "network-interfaces", "update", name, "--network-interface=nic1")
    gcloud(*update, f"--network={back.other}", f"--subnetwork={back.other}")
    (listed,) = gcloud("instances", "list", f"--filter=name={name}")
    networks = [each["network"].rpartition("/")[2] for each in listed["networkInterfaces"]]
    assert networks == ["default", back.other]
    gcloud("instances", "delete", name)
