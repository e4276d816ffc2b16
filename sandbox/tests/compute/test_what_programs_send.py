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


@pytest.mark.parametrize(
    ("fields", "field"),
    [
        # https://github.com/hashicorp/terraform-provider-google/issues/3713
        (
            {"disks": [{"boot": True, "initializeParams": {"diskType": "pd-ssd"}}]},
            "disks[0].initializeParams.diskType",
        ),
        # https://github.com/hashicorp/terraform/issues/3226, of a template
        ({"networkInterfaces": [{"network": "pd-ssd"}]}, "networkInterfaces[0].network"),
        # https://cloud.google.com/compute/docs/reference/rest/v1/instances: a full or partial URL
        ({"machineType": "pd-ssd"}, "machineType"),
    ],
)
async def test_a_bare_name_is_no_reference(
    api: Client, spec: Any, fields: dict[str, Any], field: str
) -> None:
    for disk in fields.get("disks", ()):
        disk["initializeParams"]["sourceImage"] = UBUNTU
    refusal = await api.refused("instances.insert", spec("vm", **fields))
    assert refusal.message == (
        f"Invalid value for field 'resource.{field}': 'pd-ssd'. The URL is malformed."
    )


async def test_a_template_names_a_disk_type_without_its_zone(api: Client) -> None:
    # https://github.com/ansible-collections/google.cloud/pull/516
    link = f"https://compute.googleapis.com/compute/v1/projects/p/zones/{ZONE}/diskTypes/pd-ssd"
    disk = {"boot": True, "initializeParams": {"sourceImage": UBUNTU, "diskType": link}}
    properties = {"machineType": "e2-small", "disks": [disk], "networkInterfaces": [{}]}
    body = {"name": "t", "properties": properties}
    refusal = await api.refused("instanceTemplates.insert", body)
    field = "resource.properties.disks[0].initializeParams.diskType"
    assert refusal.message == (
        f"Invalid value for field '{field}': '{link}'. "
        f"DiskType '{link}' must be a valid resource name (not an url)."
    )


async def test_what_contradicts_itself_is_refused_with_two_full_stops(
    api: Client, spec: Any
) -> None:
    # https://github.com/ansible-collections/google.cloud/issues/378
    image = await api.refused("images.insert", {"name": "i"})
    assert image.message == (
        "Invalid resource usage: 'Must specify exactly one source for an image.'."
    )
    # https://github.com/hashicorp/terraform-provider-google/pull/1211
    await api.done("instances.insert", spec("vm", deletionProtection=True))
    protected = await api.refused("instances.delete", instance="vm")
    assert (protected.status, protected.reason) == (400, "invalidResourceUsage")
    assert protected.message == (
        "Invalid resource usage: 'Resource cannot be deleted if it's protected against deletion.'."
    )


BARE = "Invalid value for field 'resource.{}': 'default'. The URL is malformed."


async def test_a_subnetwork_is_named_by_a_url(api: Client, spec: Any) -> None:
    # https://github.com/JetBrains/teamcity-google-agent/issues/25, hashicorp/packer/issues/7911
    said = BARE.format("networkInterfaces[0].subnetwork")
    bare = spec("vm", networkInterfaces=[{"subnetwork": "default"}])
    assert (await api.refused("instances.insert", bare)).message == said
    disk = {"boot": True, "initializeParams": {"sourceImage": UBUNTU}}
    properties = {"machineType": "e2-small", "disks": [disk]}
    properties |= {"networkInterfaces": [{"subnetwork": "default"}]}
    refusal = await api.refused("instanceTemplates.insert", {"name": "t", "properties": properties})
    assert refusal.message == said.replace("resource.", "resource.properties.")


@pytest.mark.parametrize(
    "root",
    [
        "",
        "projects/cloudspill-sandbox/",
        "https://compute.googleapis.com/compute/v1/projects/cloudspill-sandbox/",
    ],
)
async def test_a_subnetwork_s_url_may_be_partial(api: Client, spec: Any, root: str) -> None:
    # https://cloud.google.com/compute/docs/reference/rest/v1/instances/insert
    body = spec(
        "vm", networkInterfaces=[{"subnetwork": f"{root}regions/us-west1/subnetworks/default"}]
    )
    await api.done("instances.insert", body)
    (interface,) = (await api.instance("vm"))["networkInterfaces"]
    assert interface["subnetwork"].endswith("/regions/us-west1/subnetworks/default")


async def test_a_network_is_named_by_a_url(api: Client) -> None:
    # https://github.com/GoogleCloudPlatform/google-cloud-powershell/issues/458,
    # https://github.com/kubermatic/dashboard/issues/2093
    rule = {"name": "f", "network": "default", "allowed": [{"IPProtocol": "tcp"}]}
    assert (await api.refused("firewalls.insert", rule)).message == BARE.format("network")
    own = {"name": "s", "network": "default", "ipCidrRange": "172.16.0.0/16"}
    assert (await api.refused("subnetworks.insert", own)).message == BARE.format("network")


async def test_a_custom_network_asks_for_a_subnetwork(api: Client, spec: Any) -> None:
    # https://github.com/GoogleCloudDataproc/bdutil/issues/108
    await api.done("networks.insert", {"name": "own", "autoCreateSubnetworks": False})
    body = spec("vm", networkInterfaces=[{"network": "global/networks/own"}])
    assert (await api.refused("instances.insert", body)).message == (
        "Invalid value for field 'resource.networkInterfaces[0]': ''. "
        "Subnetwork should be specified for custom subnetmode network"
    )


async def test_a_subnetwork_is_of_the_network_that_is_named_with_it(api: Client, spec: Any) -> None:
    # https://github.com/hashicorp/terraform-provider-google/issues/7895
    await api.done("networks.insert", {"name": "own", "autoCreateSubnetworks": False})
    there = {"network": "global/networks/own", "subnetwork": "regions/us-west1/subnetworks/default"}
    refusal = await api.refused("instances.insert", spec("vm", networkInterfaces=[there]))
    assert refusal.message == (
        "Invalid value for field 'resource.networkInterfaces[0].subnetwork': "
        "'regions/us-west1/subnetworks/default'. Subnetwork "
        '"projects/cloudspill-sandbox/regions/us-west1/subnetworks/default" is not valid for '
        'Network "own".'
    )


@pytest.mark.parametrize("resource", ["addresses", "disks", "firewalls", "instances", "networks"])
async def test_nothing_is_made_of_an_empty_body(api: Client, resource: str) -> None:
    # https://github.com/googleapis/google-api-python-client/issues/608
    refusal = await api.refused(f"{resource}.insert", {})
    assert (refusal.status, refusal.message) == (400, "Required field 'resource' not specified")
