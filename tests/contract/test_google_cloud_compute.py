# SPDX-License-Identifier: GPL-3.0-or-later
"""google-cloud-compute: https://cloud.google.com/python/docs/reference/compute/latest."""

from __future__ import annotations

import uuid
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from google.api_core import exceptions

from .target import Target

DEADLINE = 300
DEBIAN = "projects/debian-cloud/global/images/family/debian-12"
Named = Callable[[str], str]


class Clients:
    """One client a resource, made when it is first asked for: `clients.Instances`."""

    def __init__(self) -> None:
        from google.cloud import compute_v1

        self.v1: Any = compute_v1
        self._open: dict[str, Any] = {}

    def __getattr__(self, resource: str) -> Any:
        if resource not in self._open:
            self._open[resource] = getattr(self.v1, f"{resource}Client")()
        return self._open[resource]

    def close(self) -> None:
        for client in self._open.values():
            client.transport.close()

    def instance(self, name: str, zone: str) -> Any:
        """Return a small instance as Google's samples make it."""
        disk = self.v1.AttachedDisk(
            boot=True,
            auto_delete=True,
            initialize_params=self.v1.AttachedDiskInitializeParams(source_image=DEBIAN),
        )
        return self.v1.Instance(
            name=name,
            machine_type=f"zones/{zone}/machineTypes/e2-micro",
            disks=[disk],
            network_interfaces=[self.v1.NetworkInterface(network="global/networks/default")],
        )


@pytest.fixture(scope="module")
def clients(_environment: None) -> Iterator[Clients]:
    opened = Clients()
    yield opened
    opened.close()


@pytest.fixture(scope="module")
def at(target: Target) -> dict[str, str]:
    """What every zonal call takes."""
    return {"project": target.project, "zone": target.zone}


@pytest.fixture(scope="module")
def running(clients: Clients, at: dict[str, str], prefix: str) -> str:
    """The name of an instance that runs."""
    name = f"{prefix}running"
    resource = clients.instance(name, at["zone"])
    clients.Instances.insert(**at, instance_resource=resource).result(timeout=DEADLINE)
    return name


def test_an_insert_s_operation_ends_and_names_what_it_did(
    clients: Clients, at: dict[str, str], named: Named
) -> None:
    name = named("vm")
    operation = clients.Instances.insert(**at, instance_resource=clients.instance(name, at["zone"]))
    operation.result(timeout=DEADLINE)
    assert operation.done()
    assert (operation.error_code, list(operation.warnings)) == (0, [])
    finished = clients.ZoneOperations.get(**at, operation=operation.name)
    assert (finished.operation_type, finished.progress) == ("insert", 100)
    assert finished.target_link.endswith(f"/zones/{at['zone']}/instances/{name}")
    assert clients.Instances.get(**at, instance=name).status == "RUNNING"


def test_zone_operations_are_waited_for_and_listed(
    clients: Clients, at: dict[str, str], running: str
) -> None:
    operation = clients.Instances.reset_unary(**at, instance=running)
    ended = clients.ZoneOperations.wait(**at, operation=operation.name)
    assert ended.status == clients.v1.Operation.Status.DONE
    mine = clients.ZoneOperations.list(
        clients.v1.ListZoneOperationsRequest(**at, filter=f'name = "{operation.name}"')
    )
    assert [each.operation_type for each in mine] == ["reset"]


def test_an_instance_is_in_its_zone_s_list_and_in_the_aggregated_one(
    clients: Clients, at: dict[str, str], running: str
) -> None:
    only = f'name = "{running}"'
    request = clients.v1.ListInstancesRequest(**at, filter=only)
    assert [each.name for each in clients.Instances.list(request)] == [running]
    everywhere = clients.Instances.aggregated_list(
        clients.v1.AggregatedListInstancesRequest(project=at["project"], filter=only)
    )
    found = {scope: [i.name for i in part.instances] for scope, part in everywhere}
    assert found[f"zones/{at['zone']}"] == [running]
    assert sum(map(len, found.values())) == 1


def test_a_list_comes_in_pages(clients: Clients, at: dict[str, str]) -> None:
    request = clients.v1.ListMachineTypesRequest(**at, filter='name = "e2-*"', max_results=2)
    pages = list(clients.MachineTypes.list(request).pages)
    assert len(pages) > 2
    assert {len(page.items) for page in pages[:-1]} == {2}
    names = [item.name for page in pages for item in page.items]
    assert len(set(names)) == len(names)


def test_labels_tags_and_metadata_are_changed_by_their_fingerprints(
    clients: Clients, at: dict[str, str], running: str
) -> None:
    v1, instances = clients.v1, clients.Instances
    before = instances.get(**at, instance=running)
    tags = v1.Tags(items=["allow-5000"], fingerprint=before.tags.fingerprint)
    instances.set_tags(**at, instance=running, tags_resource=tags).result(timeout=DEADLINE)
    metadata = v1.Metadata(
        items=[v1.Items(key="greeting", value="hello")], fingerprint=before.metadata.fingerprint
    )
    instances.set_metadata(**at, instance=running, metadata_resource=metadata).result(
        timeout=DEADLINE
    )
    labels = v1.InstancesSetLabelsRequest(
        labels={"team": "a"}, label_fingerprint=before.label_fingerprint
    )
    instances.set_labels(
        **at, instance=running, instances_set_labels_request_resource=labels
    ).result(timeout=DEADLINE)
    after = instances.get(**at, instance=running)
    assert list(after.tags.items) == ["allow-5000"]
    assert {item.key: item.value for item in after.metadata.items} == {"greeting": "hello"}
    assert dict(after.labels) == {"team": "a"}
    assert after.tags.fingerprint != before.tags.fingerprint
    with pytest.raises(exceptions.PreconditionFailed):
        instances.set_tags(**at, instance=running, tags_resource=tags)


def test_an_instance_stops_changes_its_type_and_starts(
    clients: Clients, at: dict[str, str], named: Named
) -> None:
    name, instances = named("vm"), clients.Instances
    resource = clients.instance(name, at["zone"])
    instances.insert(**at, instance_resource=resource).result(timeout=DEADLINE)
    instances.stop(**at, instance=name).result(timeout=DEADLINE)
    assert instances.get(**at, instance=name).status == "TERMINATED"
    request = clients.v1.InstancesSetMachineTypeRequest(
        machine_type=f"zones/{at['zone']}/machineTypes/e2-small"
    )
    instances.set_machine_type(
        **at, instance=name, instances_set_machine_type_request_resource=request
    ).result(timeout=DEADLINE)
    instances.start(**at, instance=name).result(timeout=DEADLINE)
    started = instances.get(**at, instance=name)
    assert started.status == "RUNNING"
    assert started.machine_type.endswith("/e2-small")


def test_the_serial_port_is_read_from_where_one_left_off(
    clients: Clients, at: dict[str, str], running: str
) -> None:
    output = clients.Instances.get_serial_port_output(**at, instance=running)
    assert output.next == output.start + len(output.contents)
    request = clients.v1.GetSerialPortOutputInstanceRequest(
        **at, instance=running, start=output.next
    )
    assert clients.Instances.get_serial_port_output(request).start == output.next


def test_a_deleted_instance_and_its_boot_disk_are_gone(
    clients: Clients, at: dict[str, str], named: Named
) -> None:
    name = named("vm")
    resource = clients.instance(name, at["zone"])
    clients.Instances.insert(**at, instance_resource=resource).result(timeout=DEADLINE)
    clients.Instances.delete(**at, instance=name).result(timeout=DEADLINE)
    with pytest.raises(exceptions.NotFound, match=f"instances/{name}' was not found"):
        clients.Instances.get(**at, instance=name)
    with pytest.raises(exceptions.NotFound):
        clients.Disks.get(**at, disk=name)


def test_a_repeated_request_id_is_the_same_insert(
    clients: Clients, at: dict[str, str], named: Named
) -> None:
    # https://cloud.google.com/compute/docs/api/how-tos/idempotency
    request = clients.v1.InsertInstanceRequest(
        **at,
        instance_resource=clients.instance(named("vm"), at["zone"]),
        request_id=str(uuid.uuid4()),
    )
    first = clients.Instances.insert(request)
    again = clients.Instances.insert(request)
    assert again.name == first.name
    first.result(timeout=DEADLINE)


def test_a_firewall_rule_is_made_patched_and_deleted(
    clients: Clients, target: Target, named: Named
) -> None:
    name, v1 = named("rule"), clients.v1
    allowed = v1.Allowed(I_p_protocol="tcp", ports=["5000"])
    rule = v1.Firewall(name=name, allowed=[allowed], target_tags=["allow-5000"])
    where = {"project": target.project}
    clients.Firewalls.insert(**where, firewall_resource=rule).result(timeout=DEADLINE)
    made = clients.Firewalls.get(**where, firewall=name)
    assert (made.direction, made.priority, list(made.source_ranges)) == (
        "INGRESS",
        1000,
        ["0.0.0.0/0"],
    )
    change = v1.Firewall(source_ranges=["192.0.2.0/24"])
    clients.Firewalls.patch(**where, firewall=name, firewall_resource=change).result(
        timeout=DEADLINE
    )
    patched = clients.Firewalls.get(**where, firewall=name)
    assert list(patched.source_ranges) == ["192.0.2.0/24"]
    assert list(patched.target_tags) == ["allow-5000"]
    clients.Firewalls.delete(**where, firewall=name).result(timeout=DEADLINE)
    with pytest.raises(exceptions.NotFound):
        clients.Firewalls.get(**where, firewall=name)


def test_a_family_s_image_is_its_newest(clients: Clients) -> None:
    newest = clients.Images.get_from_family(project="ubuntu-os-cloud", family="ubuntu-2204-lts")
    assert (newest.family, newest.status) == ("ubuntu-2204-lts", "READY")
    assert clients.Images.get(project="ubuntu-os-cloud", image=newest.name).id == newest.id
    request = clients.v1.ListImagesRequest(
        project="ubuntu-os-cloud", filter="family = ubuntu-2204-lts"
    )
    assert newest.name in [image.name for image in clients.Images.list(request)]


def test_a_disk_is_grown_snapshotted_and_made_again(
    clients: Clients, target: Target, at: dict[str, str], named: Named
) -> None:
    v1, disk, snapshot, copy = clients.v1, named("disk"), named("snapshot"), named("copy")
    clients.Disks.insert(**at, disk_resource=v1.Disk(name=disk, size_gb=10)).result(
        timeout=DEADLINE
    )
    larger = v1.DisksResizeRequest(size_gb=12)
    clients.Disks.resize(**at, disk=disk, disks_resize_request_resource=larger).result(
        timeout=DEADLINE
    )
    clients.Disks.create_snapshot(
        **at, disk=disk, snapshot_resource=v1.Snapshot(name=snapshot)
    ).result(timeout=DEADLINE)
    taken = clients.Snapshots.get(project=target.project, snapshot=snapshot)
    assert (taken.status, taken.disk_size_gb) == ("READY", 12)
    source = v1.Disk(name=copy, source_snapshot=f"global/snapshots/{snapshot}")
    clients.Disks.insert(**at, disk_resource=source).result(timeout=DEADLINE)
    assert clients.Disks.get(**at, disk=copy).source_snapshot_id == str(taken.id)


def test_zones_regions_and_the_project_describe_themselves(
    clients: Clients, target: Target, at: dict[str, str]
) -> None:
    zone = clients.Zones.get(**at)
    assert (zone.status, zone.region.rpartition("/")[2]) == ("UP", target.region)
    region = clients.Regions.get(project=target.project, region=target.region)
    assert zone.self_link in region.zones
    assert target.zone in [each.name for each in clients.Zones.list(project=target.project)]
    assert clients.Projects.get(project=target.project).name == target.project
    shared_core = clients.MachineTypes.get(**at, machine_type="f1-micro")
    assert (shared_core.guest_cpus, shared_core.memory_mb) == (1, 614)


def test_the_default_network_has_a_subnetwork_in_the_region(
    clients: Clients, target: Target
) -> None:
    network = clients.Networks.get(project=target.project, network="default")
    assert network.auto_create_subnetworks
    subnetwork = clients.Subnetworks.get(
        project=target.project, region=target.region, subnetwork="default"
    )
    assert subnetwork.network == network.self_link
    # https://cloud.google.com/vpc/docs/subnets#ip-ranges
    assert subnetwork.ip_cidr_range == "10.138.0.0/20"


def test_a_method_that_is_missing_is_named(clients: Clients, sandbox_only: Target) -> None:
    with pytest.raises(exceptions.MethodNotImplemented, match=r"compute\.routers\.list "):
        clients.Routers.list(project=sandbox_only.project, region=sandbox_only.region)


def test_a_running_disk_is_imaged_when_forced_and_a_family_goes_on(
    clients: Clients, target: Target, running: str, named: Named
) -> None:
    v1, image, family = clients.v1, named("image"), named("family")
    where = {"project": target.project}
    resource = v1.Image(
        name=image, family=family, source_disk=f"zones/{target.zone}/disks/{running}"
    )
    with pytest.raises(exceptions.BadRequest, match=f"is already being used by .*/{running}'"):
        clients.Images.insert(**where, image_resource=resource)
    forced = v1.InsertImageRequest(**where, image_resource=resource, force_create=True)
    clients.Images.insert(forced).result(timeout=DEADLINE)
    assert clients.Images.get_from_family(**where, family=family).name == image
    status = v1.DeprecationStatus(state="OBSOLETE", replacement=f"{DEBIAN}")
    clients.Images.deprecate(**where, image=image, deprecation_status_resource=status).result(
        timeout=DEADLINE
    )
    with pytest.raises(exceptions.NotFound):
        clients.Images.get_from_family(**where, family=family)
    active = v1.Image(description="back", deprecated=v1.DeprecationStatus(state="ACTIVE"))
    clients.Images.patch(**where, image=image, image_resource=active).result(timeout=DEADLINE)
    assert clients.Images.get_from_family(**where, family=family).description == "back"


def test_an_instance_boots_from_a_snapshot_which_then_can_go(
    clients: Clients, target: Target, at: dict[str, str], running: str, named: Named
) -> None:
    v1, snapshot, clone = clients.v1, named("snapshot"), named("clone")
    taken = v1.Snapshot(
        name=snapshot, source_disk=f"projects/{target.project}/zones/{target.zone}/disks/{running}"
    )
    clients.Snapshots.insert(project=target.project, snapshot_resource=taken).result(
        timeout=DEADLINE
    )
    resource = clients.instance(clone, at["zone"])
    resource.disks[0].initialize_params = v1.AttachedDiskInitializeParams(
        source_snapshot=f"global/snapshots/{snapshot}", labels={"team": "a"}
    )
    clients.Instances.insert(**at, instance_resource=resource).result(timeout=DEADLINE)
    clients.Snapshots.delete(project=target.project, snapshot=snapshot).result(timeout=DEADLINE)
    disk = clients.Disks.get(**at, disk=clone)
    assert (disk.source_snapshot, dict(disk.labels)) == ("", {"team": "a"})
    assert disk.source_snapshot_id
    clients.Instances.delete(**at, instance=clone).result(timeout=DEADLINE)
    with pytest.raises(exceptions.NotFound):
        clients.Disks.get(**at, disk=clone)
