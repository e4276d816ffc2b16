# SPDX-License-Identifier: GPL-3.0-or-later
"""Disks, snapshots, images: made of one another, named, in use, deleted."""

from __future__ import annotations

from typing import Any

import pytest

from cloudspill_sandbox.runtime.interface import VolumeError
from cloudspill_sandbox.runtime.memory import MemoryRuntime

from .conftest import ZONE, Client

DISK = f"zones/{ZONE}/disks/vm"
IMAGE = "projects/debian-cloud/global/images/family/debian-12"


@pytest.fixture
async def vm(api: Client, spec: Any, runtime: MemoryRuntime) -> dict[str, Any]:
    """An instance that has written something."""
    await api.done("instances.insert", spec())
    instance = await api.instance()
    runtime.guest_write(instance["id"], "/srv/app", "first")
    return instance


async def test_a_snapshot_of_a_running_disk_is_cloned_by_new_instances(
    api: Client, spec: Any, runtime: MemoryRuntime, vm: dict[str, Any]
) -> None:
    operation = await api.done("disks.createSnapshot", {"name": "base"}, disk="vm")
    assert operation["operationType"] == "createSnapshot"
    assert operation["targetLink"].endswith(DISK)
    runtime.guest_write(vm["id"], "/srv/app", "second")
    snapshot = await api.call("snapshots.get", snapshot="base")
    assert (snapshot["status"], snapshot["diskSizeGb"]) == ("READY", "10")
    assert snapshot["sourceDisk"].endswith(DISK)
    params = {"sourceSnapshot": "global/snapshots/base"}
    await api.done(
        "instances.insert", spec("clone", disks=[{"boot": True, "initializeParams": params}])
    )
    disk = await api.call("disks.get", disk="clone")
    assert disk["sourceSnapshot"] == snapshot["selfLink"]
    assert disk["sourceSnapshotId"] == snapshot["id"]
    clone = runtime.volumes[f"d{disk['id']}"]
    assert clone.files["/srv/app"] == "first"
    assert clone.lineage[0] == f"s{snapshot['id']}"


async def test_snapshots_insert_takes_every_form_of_a_disk(api: Client, vm: dict[str, Any]) -> None:
    project = "projects/cloudspill-sandbox"
    forms = [
        f"https://www.googleapis.com/compute/v1/{project}/{DISK}",
        f"https://compute.googleapis.com/compute/v1/{project}/{DISK}",
        f"https://compute.googleapis.com/compute/v1//{project}/{DISK}",
        f"{project}/{DISK}",
        DISK,
    ]
    for number, form in enumerate(forms):
        await api.done("snapshots.insert", {"name": f"s{number}", "sourceDisk": form})
    listed = (await api.call("snapshots.list"))["items"]
    assert {each["sourceDisk"] for each in listed} == {forms[0]}


async def test_an_image_of_a_stopped_disk_boots(
    api: Client, spec: Any, runtime: MemoryRuntime, vm: dict[str, Any]
) -> None:
    refusal = await api.refused("images.insert", {"name": "golden", "sourceDisk": DISK})
    assert refusal.reason == "resourceInUseByAnotherResource"
    await api.done("instances.stop", instance="vm")
    body = {"name": "golden", "sourceDisk": DISK, "family": "app", "labels": {"a": "b"}}
    await api.done("images.insert", body)
    image = await api.call("images.getFromFamily", family="app")
    assert (image["name"], image["status"], image["labels"]) == ("golden", "READY", {"a": "b"})
    params = {"sourceImage": "global/images/family/app"}
    await api.done(
        "instances.insert", spec("two", disks=[{"boot": True, "initializeParams": params}])
    )
    disk = await api.call("disks.get", disk="two")
    assert runtime.volumes[f"d{disk['id']}"].files["/srv/app"] == "first"


async def test_a_running_disk_is_imaged_when_forced(api: Client, vm: dict[str, Any]) -> None:
    await api.done("images.insert", {"name": "live", "sourceDisk": DISK}, forceCreate=True)


async def test_images_from_image_and_snapshot(api: Client, vm: dict[str, Any]) -> None:
    await api.done("images.insert", {"name": "one", "sourceImage": IMAGE})
    assert (await api.call("images.get", image="one"))["sourceImage"].endswith("v20250610")
    await api.done("disks.createSnapshot", {"name": "base"}, disk="vm")
    await api.done("images.insert", {"name": "two", "sourceSnapshot": "global/snapshots/base"})
    assert (await api.call("images.get", image="two"))["sourceSnapshot"].endswith("snapshots/base")


async def test_a_family_is_its_newest_image_that_is_not_deprecated(api: Client, clock: Any) -> None:
    for name in ("old", "new"):
        clock.now += 10
        await api.done("images.insert", {"name": name, "sourceImage": IMAGE, "family": "f"})
    assert (await api.call("images.getFromFamily", family="f"))["name"] == "new"
    await api.done("images.deprecate", {"state": "DEPRECATED"}, image="new")
    assert (await api.call("images.getFromFamily", family="f"))["name"] == "old"
    await api.done("images.deprecate", {"state": "ACTIVE"}, image="new")
    assert (await api.call("images.getFromFamily", family="f"))["name"] == "new"
    assert (await api.refused("images.getFromFamily", family="none")).status == 404


@pytest.mark.parametrize(
    ("project", "family", "stands_in"),
    [
        ("debian-cloud", "debian-12", False),
        ("ubuntu-os-cloud", "ubuntu-2204-lts", True),
        ("ubuntu-os-cloud", "ubuntu-2404-lts-amd64", True),
    ],
)
async def test_public_families_say_what_they_boot(
    api: Client, project: str, family: str, stands_in: bool
) -> None:
    image = await api.call("images.getFromFamily", project=project, family=family)
    assert image["selfLink"].startswith(
        f"https://www.googleapis.com/compute/v1/projects/{project}/global/images/"
    )
    assert image["description"].startswith("Debian 12 (bookworm)")
    assert ("Stands in for Ubuntu" in image["description"]) is stands_in
    view = await api.call("imageFamilyViews.get", project=project, family=family)
    assert view["image"] == image
    assert await api.call("images.get", project=project, image=image["name"]) == image
    listed = await api.call("images.list", project=project)
    assert image in listed["items"]


async def test_public_projects_hold_images_only(api: Client) -> None:
    refusal = await api.refused("instances.list", project="debian-cloud")
    assert refusal.status == 404


async def test_what_was_copied_outlives_its_source(
    api: Client, runtime: MemoryRuntime, vm: dict[str, Any]
) -> None:
    await api.done("disks.createSnapshot", {"name": "base"}, disk="vm")
    await api.done("disks.insert", {"name": "copy", "sourceSnapshot": "global/snapshots/base"})
    await api.done("snapshots.delete", snapshot="base")
    disk = await api.call("disks.get", disk="copy")
    assert runtime.volumes[f"d{disk['id']}"].files["/srv/app"] == "first"
    await api.done("disks.delete", disk="copy")
    await api.done("instances.delete", instance="vm")
    assert set(runtime.volumes) == {"debian-12"}


@pytest.mark.parametrize(
    ("method", "body", "parameters", "words"),
    [
        ("disks.insert", {"name": "d", "sizeGb": "9"}, {}, "between 10 GB"),
        ("disks.insert", {"name": "d", "sizeGb": "70000"}, {}, "65536 GB"),
        ("disks.insert", {"name": "d", "sourceImage": "x/y/z"}, {}, "The URL is malformed."),
        ("disks.insert", {"name": "D"}, {}, "'resource.name': 'D'"),
        ("disks.insert", {"name": "d", "labels": {"-": ""}}, {}, "Label key '-'"),
        ("disks.delete", None, {"disk": "vm"}, "is already being used by"),
        ("disks.resize", {"sizeGb": "5"}, {"disk": "vm"}, "must be larger than existing size"),
        ("disks.createSnapshot", {"name": "S"}, {"disk": "vm"}, "'resource.name': 'S'"),
        ("snapshots.insert", {"name": "s"}, {}, "'resource.sourceDisk' not specified"),
        ("snapshots.insert", {"name": "s", "sourceDisk": f"zones/{ZONE}/disks/x"}, {}, "disk"),
        ("images.insert", {"name": "i"}, {}, "Must specify exactly one source"),
        (
            "images.insert",
            {"name": "i", "sourceImage": IMAGE, "sourceDisk": DISK},
            {},
            "Must specify exactly one source",
        ),
        (
            "images.insert",
            {"name": "i", "sourceImage": IMAGE, "diskSizeGb": "9"},
            {},
            "cannot be smaller than the image size (10 GB)",
        ),
        ("images.insert", {"name": "i", "rawDisk": {"source": "gs://b/o"}}, {}, "resource.rawDisk"),
        (
            "images.insert",
            {"name": "i", "sourceImage": IMAGE, "storageLocations": ["mars"]},
            {},
            "Unknown storage location",
        ),
        ("disks.insert", {"name": "d", "physicalBlockSizeBytes": "512"}, {}, "4096, 16384"),
        (
            "disks.insert",
            {"name": "d", "diskEncryptionKey": {"rawKey": "x"}},
            {},
            "'resource.diskEncryptionKey'",
        ),
        ("disks.resize", {"sizeGb": "10"}, {"disk": "vm"}, "must be larger than existing size"),
        ("disks.resize", {}, {"disk": "vm"}, "'sizeGb' not specified"),
        ("disks.createSnapshot", {"name": "s", "chainName": "A"}, {"disk": "vm"}, "chainName"),
        (
            "disks.createSnapshot",
            {"name": "s", "storageLocations": ["us", "eu"]},
            {"disk": "vm"},
            "Only one storage location",
        ),
        ("images.insert", {"name": "i", "sourceImage": IMAGE, "family": "F"}, {}, "'F'"),
    ],
)
async def test_bad_requests_are_refused(
    api: Client, vm: Any, method: str, body: Any, parameters: dict[str, str], words: str
) -> None:
    refusal = await api.refused(method, body, **parameters)
    assert refusal.status == 400
    assert words in refusal.message


@pytest.mark.parametrize(
    ("method", "body"),
    [
        ("disks.createSnapshot", {"name": "s"}),
        ("images.insert", {"name": "s", "sourceImage": IMAGE}),
        ("disks.insert", {"name": "s"}),
    ],
)
async def test_names_are_taken_once(api: Client, vm: Any, method: str, body: Any) -> None:
    await api.done(method, body, **({"disk": "vm"} if "Snapshot" in method else {}))
    refusal = await api.refused(method, body, **({"disk": "vm"} if "Snapshot" in method else {}))
    assert (refusal.status, refusal.reason) == (409, "alreadyExists")


@pytest.mark.parametrize(
    ("method", "body", "kind"),
    [
        ("disks.createSnapshot", {"name": "s"}, "snapshot"),
        ("images.insert", {"name": "s", "sourceImage": IMAGE}, "image"),
        ("disks.insert", {"name": "s"}, "disk"),
    ],
)
async def test_a_copy_that_fails_leaves_nothing(
    api: Client, runtime: MemoryRuntime, vm: Any, method: str, body: Any, kind: str
) -> None:
    volumes = set(runtime.volumes)
    failing = "create_volume" if kind == "disk" else "freeze_volume"
    runtime.failures[failing] = VolumeError("no space left on device")
    failure = await api.failed(method, body, **({"disk": "vm"} if kind == "snapshot" else {}))
    assert "no space left on device" in failure["message"]
    assert (await api.refused(f"{kind}s.get", **{kind: "s"})).status == 404
    assert set(runtime.volumes) == volumes


@pytest.mark.parametrize("kind", ["disk", "snapshot", "image"])
async def test_labels_are_guarded_by_a_fingerprint(api: Client, vm: Any, kind: str) -> None:
    await api.done("disks.createSnapshot", {"name": "r"}, disk="vm")
    await api.done("images.insert", {"name": "r", "sourceImage": IMAGE})
    await api.done("disks.insert", {"name": "r"})
    fingerprint = (await api.call(f"{kind}s.get", **{kind: "r"}))["labelFingerprint"]
    body = {"labels": {"k": "v"}, "labelFingerprint": fingerprint}
    await api.done(f"{kind}s.setLabels", body, resource="r")
    assert (await api.call(f"{kind}s.get", **{kind: "r"}))["labels"] == {"k": "v"}
    assert (await api.refused(f"{kind}s.setLabels", body, resource="r")).status == 412


async def test_a_disk_grows_where_it_is_attached_too(
    api: Client, runtime: MemoryRuntime, vm: Any
) -> None:
    await api.done("disks.resize", {"sizeGb": "20"}, disk="vm")
    disk = await api.call("disks.get", disk="vm")
    assert disk["sizeGb"] == "20"
    assert (await api.instance())["disks"][0]["diskSizeGb"] == "20"
    assert runtime.volumes[f"d{disk['id']}"].size_gb == 20
    await api.done("disks.createSnapshot", {"name": "s"}, disk="vm")
    refusal = await api.refused(
        "disks.insert", {"name": "d", "sizeGb": "19", "sourceSnapshot": "global/snapshots/s"}
    )
    assert "cannot be smaller than the snapshot size (20 GB)" in refusal.message


async def test_a_clone_is_in_its_source_s_zone(api: Client, vm: Any) -> None:
    assert vm
    clone = {"name": "d", "sourceDisk": DISK}
    refusal = await api.refused("disks.insert", clone, zone="us-west1-a")
    assert "The disk must be in zone 'us-west1-a'." in refusal.message
    await api.done("disks.insert", clone)


async def test_an_image_may_be_larger_than_its_source(api: Client) -> None:
    body = {"name": "wide", "sourceImage": IMAGE, "diskSizeGb": "12"}
    await api.done("images.insert", body)
    await api.done("disks.insert", {"name": "d", "sourceImage": "global/images/wide"})
    assert (await api.call("disks.get", disk="d"))["sizeGb"] == "12"


@pytest.mark.parametrize("state", ["OBSOLETE", "DELETED"])
async def test_an_obsolete_image_makes_no_disk_and_a_deprecated_one_does(
    api: Client, state: str
) -> None:
    await api.done("images.insert", {"name": "old", "sourceImage": IMAGE})
    source = {"name": "d", "sourceImage": "global/images/old"}
    change = {"state": state, "replacement": "global/images/new"}
    await api.done("images.deprecate", change, image="old")
    refusal = await api.refused("disks.insert", source)
    assert (refusal.status, refusal.reason) == (400, "invalid")
    new = "projects/cloudspill-sandbox/global/images/new"
    assert f"images/old' is obsolete. A suggested replacement is '{new}'." in refusal.message
    assert (await api.call("images.get", image="old"))["deprecated"]["replacement"].endswith(new)
    await api.done("images.deprecate", {"state": "DEPRECATED"}, image="old")
    await api.done("disks.insert", source)


async def test_an_image_s_family_and_description_are_patched(api: Client) -> None:
    await api.done("images.insert", {"name": "i", "sourceImage": IMAGE, "description": "first"})
    change = {"family": "app", "description": None, "deprecated": {"state": "DEPRECATED"}}
    await api.done("images.patch", change, image="i")
    image = await api.call("images.get", image="i")
    assert (image["family"], image["deprecated"]["state"]) == ("app", "DEPRECATED")
    assert "description" not in image
    await api.done("images.patch", {"deprecated": {"state": "ACTIVE"}}, image="i")
    assert (await api.call("images.getFromFamily", family="app"))["name"] == "i"
    refusal = await api.refused("images.patch", {"labels": {"a": "b"}}, image="i")
    assert (refusal.status, "cannot be changed" in refusal.message) == (400, True)


@pytest.mark.parametrize(
    ("zone", "nearest"), [("us-west1-b", "us"), ("europe-west1-b", "eu"), ("asia-south1-a", "asia")]
)
async def test_a_snapshot_is_stored_near_its_disk_or_where_it_was_asked_for(
    api: Client, zone: str, nearest: str
) -> None:
    await api.done("disks.insert", {"name": "d"}, zone=zone)
    await api.done("disks.createSnapshot", {"name": "near"}, disk="d", zone=zone)
    asked = {"name": "far", "storageLocations": ["europe-west4"]}
    await api.done("disks.createSnapshot", asked, disk="d", zone=zone)
    stored = {s["name"]: s["storageLocations"] for s in (await api.call("snapshots.list"))["items"]}
    assert stored == {"near": [nearest], "far": ["europe-west4"]}
    await api.done("images.insert", {"name": "i", "sourceSnapshot": "global/snapshots/far"})
    assert (await api.call("images.get", image="i"))["storageLocations"] == ["europe-west4"]
