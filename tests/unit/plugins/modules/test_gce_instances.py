# SPDX-License-Identifier: GPL-3.0-or-later
"""Many instances at once: each on its own way, and none hides another."""

from __future__ import annotations

import re
import socket
import threading
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from ansible_collections.cloudspill.gcp.plugins.module_utils.api_errors import CloudError
from ansible_collections.cloudspill.gcp.plugins.module_utils.compute import Compute
from ansible_collections.cloudspill.gcp.plugins.module_utils.instance_spec import (
    instance_arguments,
)
from ansible_collections.cloudspill.gcp.plugins.modules import gce_instances

NO_ROOM = {
    "code": "ZONE_RESOURCE_POOL_EXHAUSTED",
    "message": "The zone 'projects/acme/zones/z1' does not have enough resources available.",
}
NO_QUOTA = {"code": "QUOTA_EXCEEDED", "message": "Quota 'CPUS' exceeded.  Limit: 8.0"}
MARK = {"cloudspill-run": "default", "cloudspill-owner": "ada"}


@pytest.fixture
def cloud(google: Any) -> Any:
    """A snapshot, and nothing else."""
    google.add("global/snapshots/base", id="7", status="READY")
    return google


def options(**given: Any) -> dict[str, Any]:
    """Return the module's options with their defaults."""
    spec = instance_arguments()
    defaults = {name: option.get("default") for name, option in spec.items()}
    usual = {
        "names": ["a", "b", "c"],
        "zones": ["z1"],
        "machine_types": ["f1-micro"],
        "source_snapshot": "base",
        "run": "default",
        "owner": "ada",
        "timeout": 10,
    }
    return {**defaults, **usual, **given}


def bring(compute: Compute, *, check_mode: bool = False, **given: Any) -> dict[str, Any]:
    module: Any = SimpleNamespace(params=options(**given), check_mode=check_mode)
    return gce_instances.run(module, compute)


def results(answer: dict[str, Any]) -> dict[str, str]:
    return {instance["name"]: instance["result"] for instance in answer["instances"]}


def inserts(cloud: Any) -> list[Any]:
    return [r for r in cloud.requests if r.method == "POST" and r.path.endswith("/instances")]


def test_all_are_made_of_the_snapshot_with_the_mark(cloud: Any, compute: Compute) -> None:
    answer = bring(compute, labels={"tier": 1}, tags=["web"], metadata={"k": "v"})
    assert answer["changed"]
    assert answer["made"] == ["a", "b", "c"]
    made = cloud.resources["zones/z1/instances/b"]
    assert made["labels"] == {"tier": "1", **MARK}
    assert made["tags"] == {"items": ["web"]}
    assert made["metadata"] == {"items": [{"key": "k", "value": "v"}]}
    disk = cloud.resources["zones/z1/disks/b"]
    assert disk["sourceSnapshot"].endswith("/global/snapshots/base")
    assert disk["labels"] == made["labels"]
    assert answer["instances"][1]["seconds"].keys() == {"api", "running"}


def test_a_second_run_changes_nothing(cloud: Any, compute: Compute) -> None:
    bring(compute)
    for name in "abc":
        cloud.resources[f"zones/z1/disks/{name}"]["sourceSnapshotId"] = "7"
    cloud.requests.clear()
    answer = bring(compute)
    assert not answer["changed"]
    assert set(results(answer).values()) == {"unchanged"}
    assert {request.method for request in cloud.requests} == {"GET"}


def test_requests_for_several_carry_each_its_own_id(cloud: Any, compute: Compute) -> None:
    bring(compute)
    ids = [request.query["requestId"] for request in inserts(cloud)]
    assert len(set(ids)) == 3


def test_a_repeated_request_carries_the_same_id(cloud: Any, compute: Compute) -> None:
    bring(compute, names=[])  # nothing to make: the list and the snapshot alone are read
    cloud.requests.clear()
    error = {"error": {"code": 503, "message": "try again", "errors": []}}
    listed: tuple[int, object] = (200, {})
    cloud.answers = [listed, (200, cloud.resources["global/snapshots/base"]), (503, error)]
    bring(compute, names=["a"])
    ids = [request.query["requestId"] for request in inserts(cloud)]
    assert len(ids) == 2
    assert len(set(ids)) == 1


def test_a_zone_without_room_is_left_for_the_next(cloud: Any, compute: Compute) -> None:
    cloud.refusals["zones/z1/instances"] = [NO_ROOM] * 2
    answer = bring(compute, zones=["z1", "z2"])
    zones = sorted(instance["zone"] for instance in answer["instances"])
    assert zones == ["z1", "z2", "z2"]
    assert answer["failures"] == []
    said = [line for instance in answer["instances"] for line in instance["answers"]]
    assert len(said) == 2
    assert all(line.startswith("z1 has no f1-micro: ") for line in said)


def test_other_machine_types_are_tried_before_other_zones(cloud: Any, compute: Compute) -> None:
    cloud.refusals["zones/z1/instances"] = [NO_ROOM]
    answer = bring(compute, names=["a"], zones=["z1", "z2"], machine_types=["f1-micro", "g1-small"])
    assert answer["instances"][0]["zone"] == "z1"
    assert answer["instances"][0]["machine_type"] == "g1-small"


def test_what_each_zone_said_is_told_when_none_has_room(cloud: Any, compute: Compute) -> None:
    cloud.refusals = {f"zones/{zone}/instances": [NO_ROOM] for zone in ("z1", "z2")}
    answer = bring(compute, names=["a"], zones=["z1", "z2"])
    assert not answer["changed"]
    assert "a: no zone has room for it: z1 has no f1-micro" in answer["failures"][0]
    assert "z2 has no f1-micro" in answer["failures"][0]


def test_a_missing_quota_ends_the_run_for_those_not_begun(cloud: Any, compute: Compute) -> None:
    names = [f"n{number}" for number in range(40)]
    cloud.refusals["zones/z1/instances"] = [NO_QUOTA] * 40
    answer = bring(compute, names=names)
    assert set(results(answer).values()) == {"failed", "skipped"}
    assert len(inserts(cloud)) < 40
    skipped = [i["reason"] for i in answer["instances"] if i["result"] == "skipped"]
    assert all("QUOTA_EXCEEDED" in reason for reason in skipped)


def test_one_failure_does_not_hide_what_was_made(cloud: Any, compute: Compute) -> None:
    cloud.refusals["zones/z1/instances"] = [{"code": "INTERNAL_ERROR", "message": "Oops."}]
    answer = bring(compute)
    assert sorted(results(answer).values()) == ["failed", "made", "made"]
    assert len(answer["made"]) == 2
    assert answer["changed"]
    assert "Oops" in answer["failures"][0]


def test_one_of_a_stranger_is_neither_used_nor_deleted(cloud: Any, compute: Compute) -> None:
    cloud.add("zones/z1/instances/a", labels={}, status="RUNNING")
    for state in ("present", "absent"):
        answer = bring(compute, names=["a"], state=state)
        assert "does not carry the mark of run default of ada" in answer["failures"][0]
    assert cloud.resources["zones/z1/instances/a"]["labels"] == {}


@pytest.mark.parametrize(
    ("asked", "said"),
    [
        ({"machine_types": ["g1-small"]}, "machine type is f1-micro, not g1-small"),
        ({"network": "other"}, "network is default, not other"),
        ({"external_address": False}, "external address is True, not False"),
        ({"spot": True}, "Spot is False, not True"),
        ({"disk_size_gb": 20}, "disk size in GB is 10, not 20"),
        ({"source_snapshot": "second"}, "its disk was made of base, not of the snapshot second"),
    ],
)
def test_one_that_differs_says_how(
    cloud: Any, compute: Compute, asked: dict[str, Any], said: str
) -> None:
    bring(compute, names=["a"])
    cloud.resources["zones/z1/disks/a"]["sourceSnapshotId"] = "7"
    cloud.add("global/snapshots/second", id="8", status="READY")
    answer = bring(compute, names=["a"], **asked)
    assert not answer["changed"]
    assert said in answer["failures"][0]


def test_one_made_of_a_snapshot_matches_an_image_of_it(cloud: Any, compute: Compute) -> None:
    bring(compute, names=["a"])
    cloud.resources["zones/z1/disks/a"]["sourceSnapshotId"] = "7"
    cloud.add("global/images/i", id="9", status="READY", sourceSnapshotId="7")
    asked: dict[str, Any] = {"source_snapshot": None, "source_image": "i"}
    assert results(bring(compute, names=["a"], **asked)) == {"a": "unchanged"}
    cloud.resources["global/images/i"]["sourceSnapshotId"] = "6"
    assert results(bring(compute, names=["a"], **asked)) == {"a": "failed"}


def test_what_one_lacks_is_added(cloud: Any, compute: Compute) -> None:
    bring(compute, names=["a"])
    cloud.resources["zones/z1/disks/a"]["sourceSnapshotId"] = "7"
    answer = bring(compute, names=["a"], labels={"l": "1"}, tags=["t"], metadata={"m": "1"})
    assert answer["instances"][0]["changes"] == ["labels", "disk labels", "tags", "metadata"]
    instance = cloud.resources["zones/z1/instances/a"]
    assert instance["labels"] == {"l": "1", **MARK}
    assert instance["tags"]["items"] == ["t"]


def test_one_that_another_run_makes_meanwhile_is_taken(cloud: Any, compute: Compute) -> None:
    lock = threading.Lock()

    def be_faster() -> None:
        with lock:
            if "zones/z1/instances/a" not in cloud.resources:
                body = next(r.body for r in reversed(cloud.requests) if r.body)
                cloud.before_change = None
                cloud._insert("zones/z1/instances", body)
                cloud.resources["zones/z1/disks/a"]["sourceSnapshotId"] = "7"

    cloud.before_change = be_faster
    answer = bring(compute, names=["a"])
    assert results(answer) == {"a": "unchanged"}
    assert answer["made"] == []


def test_absent_deletes_ours_in_any_of_the_zones(cloud: Any, compute: Compute) -> None:
    bring(compute, names=["a", "b"])
    answer = bring(compute, state="absent", zones=["z2", "z1"], source_snapshot=None)
    assert results(answer) == {"a": "deleted", "b": "deleted", "c": "absent"}
    assert not [path for path in cloud.resources if "/instances/" in path]


def test_check_mode_tells_and_makes_nothing(cloud: Any, compute: Compute) -> None:
    answer = bring(compute, check_mode=True)
    assert answer["changed"]
    assert answer["diff"]["after"] == {"instances": ["a", "b", "c"]}
    assert inserts(cloud) == []


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"names": ["a", "B"]}, "names has B: a name is at most 63 lower-case letters"),
        ({"machine_types": []}, "machine_types is empty"),
        ({"source_snapshot": "none"}, "there is no snapshot none: make it first"),
        ({"source_snapshot": None}, "set source_image or source_snapshot"),
    ],
)
def test_what_cannot_be_is_refused_before_anything_is_made(
    cloud: Any, compute: Compute, given: dict[str, Any], said: str
) -> None:
    with pytest.raises(CloudError, match=said):
        bring(compute, **given)
    assert inserts(cloud) == []


def test_a_snapshot_that_is_not_ready_is_refused(cloud: Any, compute: Compute) -> None:
    cloud.resources["global/snapshots/base"]["status"] = "CREATING"
    with pytest.raises(CloudError, match="the snapshot base is CREATING"):
        bring(compute)


def test_progress_comes_in_whole_lines(cloud: Any, compute: Compute, tmp_path: Path) -> None:
    bring(compute, progress_file=str(tmp_path / "progress"))
    lines = (tmp_path / "progress").read_text().splitlines()
    assert {line.split(":")[0] for line in lines} == {"a", "b", "c"}
    assert sum(line.endswith(": made") for line in lines) == 3


def test_check_mode_does_not_say_that_anything_was_made(
    cloud: Any, compute: Compute, tmp_path: Path
) -> None:
    bring(compute, check_mode=True, progress_file=str(tmp_path / "progress"))
    lines = (tmp_path / "progress").read_text().splitlines()
    assert sorted(lines) == [f"{name}: would be made" for name in "abc"]


def test_one_that_exists_is_asked_too_since_an_earlier_run_may_have_been_cut_off(
    cloud: Any, compute: Compute
) -> None:
    bring(compute, names=["a"])
    cloud.resources["zones/z1/disks/a"]["sourceSnapshotId"] = "7"
    cloud.resources["zones/z1/instances/a"]["networkInterfaces"][0]["networkIP"] = "127.0.0.1"
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        greeter = threading.Thread(target=greet, args=(server,))
        greeter.start()
        checks = [{"name": "ssh", "port": port}]
        answered = bring(compute, names=["a"], checks=checks)
        greeter.join()
    assert results(answered) == {"a": "unchanged"}
    assert answered["instances"][0]["seconds"] == {}, "times are those of new ones"
    silent = bring(compute, names=["a"], checks=checks, timeout=0)
    assert f"its ssh (port {port}) did not answer in time" in silent["failures"][0]
    assert not bring(compute, names=["a"], checks=checks, check_mode=True)["failures"]


def greet(server: socket.socket) -> None:
    """Answer one connection as an ssh server does."""
    server.settimeout(5)
    connection, _ = server.accept()
    with connection:
        connection.sendall(b"SSH-2.0")


def test_a_disk_that_has_the_name_is_told_from_an_instance(cloud: Any, compute: Compute) -> None:
    said = "The resource 'projects/acme/zones/z1/disks/a' already exists"
    listed: tuple[int, object] = (200, {})
    taken = {"error": {"code": 409, "message": said, "errors": []}}
    cloud.answers = [listed, (200, cloud.resources["global/snapshots/base"]), (409, taken)]
    answer = bring(compute, names=["a"])
    assert results(answer) == {"a": "failed"}
    assert re.search(r"disks/a' already exists.*delete it", answer["failures"][0])


def test_many_long_names_are_asked_for_in_filters_of_bearable_length(
    cloud: Any, compute: Compute
) -> None:
    names = [f"{'a' * 59}-{number:03}" for number in range(100)]
    bring(compute, names=names, check_mode=True)
    filters = [r.query["filter"] for r in cloud.requests if "filter" in r.query]
    assert max(map(len, filters)) < 2048
    assert all(any(name in asked for asked in filters) for name in names)


def test_progress_that_nobody_hears_any_more_stops_nothing(
    cloud: Any, compute: Compute, tmp_path: Path
) -> None:
    answer = bring(compute, progress_file=str(tmp_path / "gone" / "progress"))
    assert answer["made"] == ["a", "b", "c"]
    assert not answer["failures"]


@pytest.mark.parametrize(
    ("status", "advice"), [("PENDING", "run again when it is READY"), ("FAILED", "remove it")]
)
def test_an_image_that_cannot_be_used_says_whether_waiting_helps(
    cloud: Any, compute: Compute, status: str, advice: str
) -> None:
    cloud.add("global/images/i", id="9", status=status)
    with pytest.raises(CloudError, match=f"the image i is {status}: {advice}"):
        bring(compute, source_snapshot=None, source_image="i")
