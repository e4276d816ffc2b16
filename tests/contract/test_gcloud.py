# SPDX-License-Identifier: GPL-3.0-or-later
"""The gcloud command: https://cloud.google.com/sdk/gcloud/reference/compute."""

from __future__ import annotations

import shutil
from collections.abc import Callable

import pytest

from .gcloud import Gcloud
from .target import Target

pytestmark = pytest.mark.skipif(shutil.which("gcloud") is None, reason="gcloud is not installed")

Named = Callable[[str], str]


@pytest.fixture(scope="module")
def three(gcloud: Gcloud, prefix: str) -> list[str]:
    """Three instances, made at once from gcloud's default image."""
    names = [f"{prefix}{name}" for name in "abc"]
    made = gcloud("instances", "create", *names, "--machine-type=e2-micro")
    assert [instance["name"] for instance in made] == names
    assert {instance["status"] for instance in made} == {"RUNNING"}
    return names


def test_several_instances_are_created_and_listed(
    gcloud: Gcloud, target: Target, three: list[str]
) -> None:
    listed = gcloud("instances", "list", f"--filter=name:({' '.join(three)})")
    assert sorted(instance["name"] for instance in listed) == three
    assert len({i["networkInterfaces"][0]["accessConfigs"][0]["natIP"] for i in listed}) == 3
    here = gcloud("instances", "list", f"--zones={target.zone}", f"--filter=name={three[0]}")
    assert [instance["name"] for instance in here] == three[:1]


def test_tags_and_metadata_are_added(gcloud: Gcloud, three: list[str]) -> None:
    gcloud("instances", "add-tags", three[0], "--tags=web,allow-5000")
    gcloud("instances", "add-metadata", three[0], "--metadata=greeting=hello")
    described = gcloud("instances", "describe", three[0])
    assert described["tags"]["items"] == ["allow-5000", "web"]
    assert {"key": "greeting", "value": "hello"} in described["metadata"]["items"]


def test_an_instance_is_stopped_and_started(gcloud: Gcloud, three: list[str]) -> None:
    gcloud("instances", "stop", three[1])
    assert gcloud("instances", "describe", three[1])["status"] == "TERMINATED"
    gcloud("instances", "start", three[1])


def test_a_disk_is_snapshotted(gcloud: Gcloud, three: list[str], named: Named) -> None:
    name = named("snapshot")
    gcloud("disks", "snapshot", three[2], f"--snapshot-names={name}")
    (snapshot,) = gcloud("snapshots", "list", f"--filter=name={name}")
    assert snapshot["status"] == "READY"
    assert snapshot["sourceDisk"].endswith(f"/disks/{three[2]}")


def test_several_instances_are_deleted(gcloud: Gcloud, three: list[str], target: Target) -> None:
    gcloud("instances", "delete", *three, "--quiet")
    missing = gcloud.run("instances", "describe", three[0])
    assert missing.returncode == 1
    path = f"projects/{target.project}/zones/{target.zone}/instances/{three[0]}"
    assert f"The resource '{path}' was not found" in missing.stderr


def test_a_firewall_rule_is_created(gcloud: Gcloud, named: Named) -> None:
    name = named("rule")
    (rule,) = gcloud(
        "firewall-rules", "create", name, "--allow=tcp:5000", "--target-tags=allow-5000"
    )
    assert rule["allowed"] == [{"IPProtocol": "tcp", "ports": ["5000"]}]
    assert rule["sourceRanges"] == ["0.0.0.0/0"]


def test_images_are_listed_from_every_public_project(gcloud: Gcloud) -> None:
    listed = gcloud("images", "list", "--filter=family:ubuntu-2204-lts")
    newest = gcloud(
        "images", "describe-from-family", "ubuntu-2204-lts", "--project=ubuntu-os-cloud"
    )
    assert newest["id"] in [image["id"] for image in listed]


def test_zones_and_machine_types_are_listed(gcloud: Gcloud, target: Target) -> None:
    zones = gcloud("zones", "list", f"--filter=region:{target.region}")
    assert target.zone in [zone["name"] for zone in zones]
    types = gcloud("machine-types", "list", f"--zones={target.zone}", "--filter=name=f1-micro")
    assert [(kind["name"], kind["guestCpus"]) for kind in types] == [("f1-micro", 1)]


def test_an_image_that_is_missing_is_told(gcloud: Gcloud, named: Named) -> None:
    refused = gcloud.run(
        "instances", "create", named("vm"), "--image-family=nope", "--image-project=debian-cloud"
    )
    assert refused.returncode == 1
    assert "projects/debian-cloud/global/images/family/nope' was not found" in refused.stderr


def test_a_disk_s_copies_are_made_and_deleted(gcloud: Gcloud, named: Named) -> None:
    disk, snapshot, clone, image = map(named, ("disk", "snapshot", "clone", "image"))
    gcloud("disks", "create", disk, "--size=200GB", "--type=pd-standard")
    gcloud("snapshots", "create", snapshot, f"--source-disk={disk}", "--storage-location=us")
    gcloud("disks", "create", clone, f"--source-snapshot={snapshot}")
    gcloud("images", "create", image, f"--source-disk={clone}", f"--family={image}")
    gcloud("disks", "resize", clone, "--size=220GB")
    assert gcloud("disks", "describe", clone)["sizeGb"] == "220"
    refused = gcloud.run("disks", "resize", clone, "--size=220GB")
    assert "must be larger than existing size" in refused.stderr
    gcloud("images", "update", image, "--description=golden", "--update-labels=team=a")
    gcloud("images", "deprecate", image, "--state=DEPRECATED")
    described = gcloud("images", "describe", image)
    assert (described["description"], described["deprecated"]["state"]) == ("golden", "DEPRECATED")
    assert described["labels"] == {"team": "a"}
    assert gcloud("images", "list", "--no-standard-images", f"--filter=name={image}") == []
    gcloud("snapshots", "delete", snapshot)
    gcloud("images", "delete", image)
    gcloud("disks", "delete", disk, clone)
    missing = gcloud.run("disks", "describe", clone)
    assert f"/disks/{clone}' was not found" in missing.stderr


@pytest.mark.slow
def test_a_disk_goes_from_one_instance_to_another(gcloud: Gcloud, named: Named) -> None:
    first, second, disk = map(named, ("first", "second", "data"))
    gcloud("instances", "create", first, second, "--machine-type=e2-micro")
    gcloud("instances", "stop", first, second)
    gcloud("disks", "create", disk, "--size=200GB", "--type=pd-standard")
    gcloud("instances", "attach-disk", first, f"--disk={disk}", "--device-name=data")
    refused = gcloud.run("instances", "attach-disk", second, f"--disk={disk}")
    assert refused.returncode == 1
    assert f"/disks/{disk}' is already being used by" in refused.stderr
    gcloud("instances", "detach-disk", first, f"--disk={disk}")
    gcloud("instances", "attach-disk", second, f"--disk={disk}", "--device-name=data")
    gcloud("instances", "set-disk-auto-delete", second, f"--disk={disk}")
    gcloud("instances", "start", second)
    gcloud("instances", "delete", first, second)
    # Without any disk gcloud warns that none has the name that is filtered by.
    left = gcloud.run("disks", "list", f"--filter=name=({disk} {first} {second})")
    assert (left.returncode, left.stdout.strip()) == (0, "[]")
