# SPDX-License-Identifier: GPL-3.0-or-later
"""A resource's number is as good as its name in a path.

The pattern of such parameters ends with `|[1-9][0-9]{0,19}` in Google's discovery document, as in
its refusals (https://github.com/cloudyr/googleComputeEngineR/issues/162), and instances know
their numbers from the metadata server
(https://cloud.google.com/compute/docs/metadata/predefined-metadata-keys, `instance/id`).
"""

from __future__ import annotations

from typing import Any

import pytest

from cloudspill_sandbox.compute.permissions import compute_access
from cloudspill_sandbox.engine.call import Call, Principal

from .conftest import ZONE, Client


@pytest.mark.parametrize(
    ("resource", "parameter", "body"),
    [
        ("disks", "disk", {"sizeGb": "10"}),
        ("firewalls", "firewall", {"allowed": [{"IPProtocol": "tcp"}]}),
        ("addresses", "address", {}),
        ("networks", "network", {"autoCreateSubnetworks": False}),
    ],
)
async def test_a_number_finds_what_the_name_finds(
    api: Client, resource: str, parameter: str, body: dict[str, Any]
) -> None:
    made = await api.done(f"{resource}.insert", body | {"name": "own"})
    number = made["targetId"]
    by_name = await api.call(f"{resource}.get", **{parameter: "own"})
    assert by_name == await api.call(f"{resource}.get", **{parameter: number})
    await api.done(f"{resource}.delete", **{parameter: number})
    assert (await api.refused(f"{resource}.get", **{parameter: "own"})).status == 404


async def test_what_is_changed_by_number_is_called_by_its_name(api: Client, spec: Any) -> None:
    await api.done("instances.insert", spec("vm"))
    number = (await api.instance("vm"))["id"]
    operation = await api.done("instances.stop", instance=number)
    assert operation["targetLink"].endswith(f"zones/{ZONE}/instances/vm")
    assert (await api.instance(number))["status"] == "TERMINATED"


async def test_a_number_of_nothing_is_not_found(api: Client) -> None:
    refusal = await api.refused("instances.get", instance="4711")
    assert refusal.message.endswith("instances/4711' was not found")


async def test_permissions_are_asked_for_by_name(api: Client, spec: Any) -> None:
    # Conditions go by names: https://cloud.google.com/iam/docs/conditions-resource-attributes.
    await api.done("instances.insert", spec("vm"))
    number = (await api.instance("vm"))["id"]
    project = str(api.cloud.settings.project_number)
    path = {"project": project, "zone": ZONE, "instance": number}
    call = Call("compute.instances.get", path, {}, {}, Principal("owner@example.org"))
    (required,) = compute_access(api.cloud).requirements(call)
    assert required.resource == f"{api.cloud.project}/zones/{ZONE}/instances/vm"


async def test_the_number_of_the_project_is_as_good_in_a_body(api: Client, spec: Any) -> None:
    """A project is known by either: https://google.aip.dev/cloud/2510."""
    own = f"projects/{api.cloud.settings.project_number}"
    region, zone = f"{own}/regions/us-west1", f"{own}/zones/{ZONE}"
    default = {
        "network": f"https://www.googleapis.com/compute/v1/{own}/global/networks/default",
        "subnetwork": f"{region}/subnetworks/default",
    }
    await api.done("instances.insert", spec("vm", networkInterfaces=[default]))
    (interface,) = (await api.instance("vm"))["networkInterfaces"]
    assert interface["network"].endswith(f"{api.cloud.project}/global/networks/default")
    assert interface["subnetwork"].endswith(
        f"{api.cloud.project}/regions/us-west1/subnetworks/default"
    )
    await api.done("disks.insert", {"name": "data", "sizeGb": "10"})
    await api.done("instances.attachDisk", {"source": f"{zone}/disks/data"}, instance="vm")
    await api.done("snapshots.insert", {"name": "s", "sourceDisk": f"{zone}/disks/data"})
    copy = {"name": "copy", "sourceSnapshot": f"{own}/global/snapshots/s"}
    await api.done("disks.insert", copy)
    made = await api.call("disks.get", disk="copy")
    assert made["sourceSnapshot"].endswith(f"{api.cloud.project}/global/snapshots/s")


@pytest.mark.parametrize(
    ("method", "field", "reference"),
    [
        ("instances.attachDisk", "source", f"zones/{ZONE}/disks/d"),
        ("firewalls.insert", "network", "global/networks/default"),
    ],
)
async def test_permissions_are_asked_for_by_the_id_of_the_project(
    api: Client, method: str, field: str, reference: str
) -> None:
    settings = api.cloud.settings
    path = {"project": settings.project, "zone": ZONE, "instance": "vm"}
    body = {field: f"projects/{settings.project_number}/{reference}"}
    call = Call(f"compute.{method}", path, {}, body, Principal("owner@example.org"))
    required = compute_access(api.cloud).requirements(call)
    assert f"{api.cloud.project}/{reference}" in [each.resource for each in required]
