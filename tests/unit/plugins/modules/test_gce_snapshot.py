# SPDX-License-Identifier: GPL-3.0-or-later
"""Snapshots: taken once, of the disk that is meant, and waited for no longer than needed."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest
from ansible_collections.cloudspill.gcp.plugins.module_utils.api_errors import (
    CloudError,
    DeadlineError,
    OperationError,
)
from ansible_collections.cloudspill.gcp.plugins.module_utils.compute import Compute
from ansible_collections.cloudspill.gcp.plugins.modules import gce_snapshot

MARK = {"cloudspill-run": "default", "cloudspill-owner": "ada"}
SNAPSHOT = "global/snapshots/base"
LINK = "https://www.googleapis.com/compute/v1/projects/acme"


@pytest.fixture
def cloud(google: Any, monkeypatch: pytest.MonkeyPatch) -> Any:
    """An instance with a boot disk, and nobody who waits."""
    disk = google.add("zones/z1/disks/boot", id="5", status="READY")
    data = {"boot": False, "source": f"{LINK}/zones/z1/disks/data"}
    google.add("zones/z1/instances/a", disks=[data, {"boot": True, "source": disk["selfLink"]}])
    monkeypatch.setattr(gce_snapshot.time, "sleep", lambda _: None)
    return google


def bring(compute: Compute, *, check_mode: bool = False, **given: Any) -> dict[str, Any]:
    options = {
        "name": "base",
        "state": "present",
        "instance": "a",
        "zone": "z1",
        "labels": {},
        "storage_locations": [],
        "wait_for": "ready",
        "run": "default",
        "owner": "ada",
        "timeout": 10,
    }
    module: Any = SimpleNamespace(params={**options, **given}, check_mode=check_mode)
    return gce_snapshot.run(module, compute)


def taken(cloud: Any) -> list[Any]:
    return [r for r in cloud.requests if r.path.endswith("/createSnapshot")]


def changes(cloud: Any) -> list[str]:
    return [request.method for request in cloud.requests if request.method != "GET"]


def with_statuses(cloud: Any, *statuses: str) -> None:
    """Answer the request for a snapshot with one that passes through these statuses."""
    remaining = list(statuses)

    class Passing(dict[str, Any]):
        def items(self) -> Any:
            if len(remaining) > 1:
                self["status"] = remaining.pop(0)
            else:
                self["status"] = remaining[0]
            return super().items()

    def appear() -> None:
        cloud.before_change = None
        document = cloud.add(SNAPSHOT, sourceDiskId="5", labels=MARK)
        cloud.resources[SNAPSHOT] = Passing(document)

    cloud.before_change = appear


def test_the_boot_disk_is_taken_with_the_mark_and_the_place(cloud: Any, compute: Compute) -> None:
    with_statuses(cloud, "READY")
    answer = bring(compute, labels={"tier": 1}, storage_locations=["eu"])
    assert answer["changed"]
    (request,) = taken(cloud)
    assert request.path.endswith("/zones/z1/disks/boot/createSnapshot")
    assert request.body == {
        "name": "base",
        "labels": {"tier": "1", **MARK},
        "storageLocations": ["eu"],
    }
    assert request.query["requestId"]


@pytest.mark.parametrize(("wait_for", "status"), [("captured", "UPLOADING"), ("ready", "READY")])
def test_it_waits_for_what_was_asked_and_no_longer(
    cloud: Any, compute: Compute, wait_for: str, status: str
) -> None:
    with_statuses(cloud, "CREATING", "CREATING", "UPLOADING", "READY")
    assert bring(compute, wait_for=wait_for)["snapshot"]["status"] == status


def test_a_second_run_changes_nothing(cloud: Any, compute: Compute) -> None:
    cloud.add(SNAPSHOT, status="READY", sourceDiskId="5", labels=MARK)
    answer = bring(compute)
    assert not answer["changed"]
    assert answer["snapshot"]["name"] == "base"
    assert changes(cloud) == []


def test_one_of_another_disk_is_refused(cloud: Any, compute: Compute) -> None:
    source = f"{LINK}/zones/z1/disks/other"
    cloud.add(SNAPSHOT, status="READY", sourceDiskId="4", sourceDisk=source, labels=MARK)
    with pytest.raises(CloudError, match=r"was taken of another disk \(other, id 4\): remove it"):
        bring(compute)
    assert changes(cloud) == []


@pytest.mark.parametrize("state", ["present", "absent"])
def test_one_of_a_stranger_is_left_alone(cloud: Any, compute: Compute, state: str) -> None:
    cloud.add(SNAPSHOT, status="FAILED", sourceDiskId="5", labels={"cloudspill-run": "default"})
    with pytest.raises(CloudError, match="does not carry the mark of run default of ada"):
        bring(compute, state=state)
    assert changes(cloud) == []


def test_one_that_failed_is_taken_anew(cloud: Any, compute: Compute) -> None:
    cloud.add(SNAPSHOT, status="FAILED", sourceDiskId="5", labels=MARK)

    def succeed() -> None:
        if SNAPSHOT not in cloud.resources:
            cloud.add(SNAPSHOT, status="READY", sourceDiskId="5", labels=MARK)

    cloud.before_change = succeed
    answer = bring(compute)
    assert answer["changed"]
    assert changes(cloud) == ["DELETE", "POST"]


def test_the_operations_reason_is_told_when_it_fails(cloud: Any, compute: Compute) -> None:
    error = {"code": "INTERNAL_ERROR", "message": "Internal error."}
    operation = cloud.add("global/operations/o", status="RUNNING")
    cloud.operations = [dict(operation)]
    # Asked for and not there yet is no failure; the operation tells when it is one.
    operation |= {"status": "DONE", "error": {"errors": [error]}}
    with pytest.raises(OperationError, match=r"createSnapshot: Internal error \(INTERNAL_ERROR\)"):
        bring(compute)


def test_one_that_somebody_deletes_meanwhile_is_told(cloud: Any, compute: Compute) -> None:
    with pytest.raises(CloudError, match="global/snapshots/base is gone: run again"):
        bring(compute)  # the server's operation is done, and has made nothing


def test_the_deadline_is_kept(cloud: Any, compute: Compute) -> None:
    with_statuses(cloud, "CREATING")
    with pytest.raises(DeadlineError, match="is still CREATING: run again to wait on"):
        bring(compute, timeout=0)


def test_check_mode_asks_for_nothing(cloud: Any, compute: Compute) -> None:
    answer = bring(compute, check_mode=True)
    assert answer["changed"]
    assert answer["diff"] == {"before": {"exists": False}, "after": {"exists": True}}
    assert changes(cloud) == []


def test_absent_waits_until_google_lets_it_go(cloud: Any, compute: Compute) -> None:
    with_statuses(cloud, "UPLOADING", "UPLOADING", "READY")
    cloud.before_change()
    answer = bring(compute, state="absent", instance=None, zone=None)
    assert answer["changed"]
    assert SNAPSHOT not in cloud.resources
    assert len([r for r in cloud.requests if r.method == "GET"]) >= 3
    assert not bring(compute, state="absent")["changed"]


def test_an_instance_that_is_missing_is_told(cloud: Any, compute: Compute) -> None:
    with pytest.raises(CloudError, match="instances/b"):
        bring(compute, instance="b")
