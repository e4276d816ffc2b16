# SPDX-License-Identifier: GPL-3.0-or-later
"""What public programs send and expect, Google's samples for Python among them.

Those are https://github.com/GoogleCloudPlatform/python-docs-samples/tree/main/compute/client_library,
which Google's pages show and Google runs against its own cloud.
"""

from __future__ import annotations

from typing import Any

import pytest

from .conftest import UBUNTU, ZONE, Client


@pytest.mark.parametrize(
    ("name", "memory"),
    [
        ("e2-custom-micro-2048", 2048),
        ("e2-custom-small-2304", 2304),
        ("e2-custom-medium-4096", 4096),
    ],
)
async def test_custom_shared_core_machine_types(api: Client, name: str, memory: int) -> None:
    # https://cloud.google.com/compute/docs/instances/creating-instance-with-custom-machine-type
    found = await api.call("machineTypes.get", machineType=name)
    assert (found["guestCpus"], found["memoryMb"], found["isSharedCpu"]) == (2, memory, True)


@pytest.mark.parametrize(
    ("name", "sentence"),
    [
        # https://github.com/elotl/kip/issues/171
        ("n1-custom-1-921", "Memory should be a multiple of 256MiB, while 921MiB is requested"),
        # https://github.com/DataBiosphere/dsub/issues/232
        (
            "custom-124-819200",
            "Custom Machine type with name 'custom-124-819200' does not exist.",
        ),
        (
            "e2-custom-micro-4096",
            "Custom Machine type with name 'e2-custom-micro-4096' does not exist.",
        ),
        ("n9-large", f"Machine type with name 'n9-large' does not exist in zone '{ZONE}'."),
    ],
)
async def test_machine_types_that_cannot_be(
    api: Client, spec: Any, name: str, sentence: str
) -> None:
    reference = f"zones/{ZONE}/machineTypes/{name}"
    refusal = await api.refused("instances.insert", spec(machineType=reference))
    assert refusal.message == (
        f"Invalid value for field 'resource.machineType': '{reference}'. {sentence}"
    )


async def test_a_label_of_a_hostname_may_begin_with_a_digit(api: Client, spec: Any) -> None:
    await api.done("instances.insert", spec("vm", hostname="instance.672.hostname"))
    assert (await api.instance("vm"))["hostname"] == "instance.672.hostname"


async def test_interfaces_of_a_template_are_named_by_the_server(api: Client) -> None:
    disk = {"boot": True, "initializeParams": {"sourceImage": UBUNTU}}
    properties = {
        "machineType": "e2-small",
        "disks": [disk],
        "networkInterfaces": [{"name": "global/networks/default"}],
    }
    await api.done("instanceTemplates.insert", {"name": "t", "properties": properties})
    held = await api.call("instanceTemplates.get", instanceTemplate="t")
    (interface,) = held["properties"]["networkInterfaces"]
    assert interface["name"] == "nic0"
    assert interface["network"].endswith("/global/networks/default")


async def test_a_subnetwork_added_to_an_auto_mode_network_can_be_deleted(api: Client) -> None:
    # ansible-collections/google.cloud, tests/integration/targets/gcp_compute_subnetwork;
    # https://cloud.google.com/vpc/docs/create-modify-vpc-networks#delete_subnet
    own = {"name": "own", "network": "global/networks/default", "ipCidrRange": "172.16.0.0/16"}
    await api.done("subnetworks.insert", own)
    await api.done("subnetworks.delete", subnetwork="own")
    assert (await api.refused("subnetworks.get", subnetwork="own")).status == 404
    refusal = await api.refused("subnetworks.delete", subnetwork="default")
    assert "Cannot delete auto subnetwork" in refusal.message


async def test_a_network_with_an_added_subnetwork_stays(api: Client) -> None:
    await api.done("networks.insert", {"name": "auto", "autoCreateSubnetworks": True})
    own = {"name": "own", "network": "global/networks/auto", "ipCidrRange": "172.16.0.0/16"}
    await api.done("subnetworks.insert", own)
    refusal = await api.refused("networks.delete", network="auto")
    assert refusal.reason == "resourceInUseByAnotherResource"
    assert refusal.message.endswith("/regions/us-west1/subnetworks/own'")


@pytest.mark.parametrize(
    ("project", "family", "gigabytes"),
    [
        ("almalinux-cloud", "almalinux-9", "20"),
        ("centos-cloud", "centos-stream-9", "20"),
        ("cos-cloud", "cos-stable", "10"),
        ("rhel-cloud", "rhel-9", "20"),
        ("rocky-linux-cloud", "rocky-linux-8", "20"),
        ("rocky-linux-cloud", "rocky-linux-9", "20"),
        ("suse-cloud", "sles-15", "10"),
        ("ubuntu-os-cloud", "ubuntu-2404-lts-amd64", "10"),
    ],
)
async def test_families_that_programs_name(
    api: Client, spec: Any, project: str, family: str, gigabytes: str
) -> None:
    # https://cloud.google.com/compute/docs/images/os-details
    image = f"projects/{project}/global/images/family/{family}"
    disks = [{"boot": True, "initializeParams": {"sourceImage": image}}]
    await api.done("instances.insert", spec("vm", disks=disks))
    newest = await api.call("images.getFromFamily", project=project, family=family)
    assert newest["description"].startswith("Debian 12 (bookworm), built locally by the sandbox.")
    disk = await api.call("disks.get", disk="vm")
    assert (disk["sizeGb"], disk["sourceImage"]) == (gigabytes, newest["selfLink"])


async def test_the_account_of_a_running_instance_is_not_changed(api: Client, spec: Any) -> None:
    # https://cloud.google.com/compute/docs/instances/change-service-account; the words are those
    # that users of `gcloud compute instances set-service-account` quote.
    await api.done("instances.insert", spec("vm"))
    refusal = await api.refused("instances.setServiceAccount", {"email": "default"}, instance="vm")
    assert (refusal.status, refusal.message) == (
        400,
        "The instance must be stopped before the service account can be changed.",
    )
