# SPDX-License-Identifier: GPL-3.0-or-later
"""The modules gcs_bucket and gcs_objects."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import google.auth
import pytest
from ansible_collections.cloudspill.gcp.plugins.module_utils.api_errors import (
    CloudError,
    PreconditionError,
)
from ansible_collections.cloudspill.gcp.plugins.module_utils.storage import Storage
from ansible_collections.cloudspill.gcp.plugins.module_utils.transport import Content, Transport
from ansible_collections.cloudspill.gcp.plugins.modules import gcs_bucket, gcs_objects

from .conftest import SCOPES
from .faults import Faults
from .target import Target

MARK = {"cloudspill-run": "ct", "cloudspill-owner": "tests"}

Result = dict[str, Any]


@pytest.fixture(scope="module")
def storage(target: Target, _environment: None) -> Iterator[Storage]:
    """The collection's own client."""
    credentials, _ = google.auth.default(scopes=SCOPES)
    transport = Transport(credentials, sleep=lambda _: None)
    yield Storage(transport, target.project)
    transport.close()


@pytest.fixture
def name(storage: Storage, named: Callable[[str], str]) -> Iterator[str]:
    """A bucket's name; the bucket is gone afterwards."""
    taken = named("private")
    yield taken
    storage.delete_bucket(taken)


@pytest.fixture
def reader(target: Target) -> str:
    return f"serviceAccount:{target.email}"


@pytest.fixture
def bring(storage: Storage, target: Target, name: str, reader: str) -> Callable[..., Result]:
    """Run gcs_bucket."""

    def run(*, check_mode: bool = False, **options: Any) -> Result:
        given: dict[str, Any] = {
            "name": name,
            "state": "present",
            "location": target.region,
            "lifetime_days": 7,
            "labels": {"team": "a"},
            "readers": [reader],
            "run": "ct",
            "owner": "tests",
        }
        module: Any = SimpleNamespace(params=given | options, check_mode=check_mode)
        return gcs_bucket.run(module, storage)

    return run


@pytest.fixture
def put(storage: Storage, name: str) -> Callable[..., Result]:
    """Run gcs_objects with texts by name."""

    def run(*, check_mode: bool = False, state: str = "present", **texts: str | None) -> Result:
        objects = [
            {"name": key, "src": None, "content": text, "content_type": "text/plain"}
            for key, text in texts.items()
        ]
        options = {"bucket": name, "state": state, "objects": objects}
        module: Any = SimpleNamespace(params=options, check_mode=check_mode)
        return gcs_objects.run(module, storage)

    return run


def bindings(storage: Storage, name: str) -> dict[str, list[str]]:
    """Members by role."""
    found: dict[str, list[str]] = {}

    def look(now: list[dict[str, Any]]) -> list[dict[str, Any]]:
        found.update({binding["role"]: binding["members"] for binding in now})
        return now

    storage.revise_policy(name, look, dry_run=True)
    return found


def test_nobody_reads_a_new_bucket_but_its_owners_and_those_named(
    bring: Callable[..., Result], storage: Storage, name: str, reader: str
) -> None:
    assert bring()["changes"] == ["made", "readers"]
    bucket = storage.find_bucket(name)
    assert bucket is not None
    assert bucket["iamConfiguration"]["uniformBucketLevelAccess"]["enabled"]
    assert bucket["iamConfiguration"]["publicAccessPrevention"] == "enforced"
    assert bucket["softDeletePolicy"]["retentionDurationSeconds"] == "0"
    assert bucket["lifecycle"]["rule"] == [{"action": {"type": "Delete"}, "condition": {"age": 7}}]
    assert bucket["labels"] == {"team": "a", **MARK}
    policy = bindings(storage, name)
    assert policy["roles/storage.objectViewer"] == [reader]
    may_read = [
        member for role, members in policy.items() if "Object" in role for member in members
    ]
    assert not [member for member in may_read if member.startswith("projectViewer:")]


def test_a_second_run_changes_nothing(bring: Callable[..., Result]) -> None:
    bring()
    assert bring() | {"diff": None} == {"changed": False, "changes": [], "diff": None}


def test_check_mode_makes_nothing(
    bring: Callable[..., Result], storage: Storage, name: str
) -> None:
    assert bring(check_mode=True)["changed"]
    assert storage.find_bucket(name) is None


def test_what_drifted_is_mended_and_what_others_added_stays(
    bring: Callable[..., Result], storage: Storage, name: str, target: Target
) -> None:
    bring()
    bucket = storage.find_bucket(name)
    assert bucket is not None
    changed = {"labels": {"team": "b", "cost": "9"}, "versioning": {"enabled": True}}
    storage.patch_bucket(bucket, changed)
    others = {
        "role": "roles/storage.objectAdmin",
        "members": [f"serviceAccount:{target.email}"],
        "condition": {
            "title": "later",
            "expression": "request.time > timestamp('2020-01-01T00:00:00Z')",
        },
    }
    storage.revise_policy(name, lambda now: [*now, others], dry_run=False)
    assert set(bring(check_mode=True)["changes"]) == {"labels", "versioning"}
    assert set(bring()["changes"]) == {"labels", "versioning"}
    mended = storage.find_bucket(name)
    assert mended is not None
    assert mended["labels"] == {"team": "a", "cost": "9", **MARK}
    assert not mended.get("versioning", {}).get("enabled")
    assert "roles/storage.objectAdmin" in bindings(storage, name)
    assert not bring()["changed"]


@pytest.mark.parametrize("state", ["present", "absent"])
def test_a_strangers_bucket_is_left_alone(
    bring: Callable[..., Result], storage: Storage, name: str, state: str
) -> None:
    storage.insert_bucket({"name": name, "labels": {**MARK, "cloudspill-owner": "adam"}})
    before = storage.find_bucket(name)
    with pytest.raises(CloudError, match="does not carry the mark of run ct of tests"):
        bring(state=state)
    assert storage.find_bucket(name) == before


def test_a_name_that_another_project_has_is_refused(
    bring: Callable[..., Result], storage: Storage, faults: Faults, name: str
) -> None:
    storage.insert_bucket({"name": name, "labels": MARK})
    faults.add("forbidden", method="storage.buckets.get", match=name)
    with pytest.raises(CloudError, match=f"the bucket name {name} is taken by another project"):
        bring()


def test_a_name_that_is_found_taken_when_asked_for_is_refused(
    bring: Callable[..., Result], faults: Faults, name: str
) -> None:
    said = "409:conflict:The requested bucket name is not available."
    faults.add("error", method="storage.buckets.insert", error=said)
    with pytest.raises(CloudError, match=f"the bucket name {name} is taken by another project"):
        bring()


def test_a_bucket_cannot_move(bring: Callable[..., Result]) -> None:
    bring()
    with pytest.raises(CloudError, match="is in us-west1 and cannot move to europe-west1"):
        bring(location="europe-west1")


def test_an_answer_that_is_lost_is_no_taken_name(
    bring: Callable[..., Result], faults: Faults, storage: Storage, name: str
) -> None:
    armed = faults.add("reset", method="storage.buckets.insert", when="after")
    assert bring()["changed"]
    assert faults.get(armed)["fired"] == 1
    assert storage.find_bucket(name) is not None


def test_a_bucket_goes_with_all_versions_of_what_it_holds(
    bring: Callable[..., Result], put: Callable[..., Result], storage: Storage, name: str
) -> None:
    bring()
    bucket = storage.find_bucket(name)
    assert bucket is not None
    storage.patch_bucket(bucket, {"versioning": {"enabled": True}})
    put(a="1", b="1")
    put(a="2")
    assert bring(state="absent", check_mode=True)["changed"]
    assert len(list(storage.objects(name))) == 3
    assert bring(state="absent")["changed"]
    assert storage.find_bucket(name) is None
    assert not bring(state="absent")["changed"]


def test_only_objects_that_differ_are_written(
    bring: Callable[..., Result], put: Callable[..., Result], storage: Storage, name: str
) -> None:
    bring()
    assert put(check_mode=True, a="1")["written"] == ["a"]
    assert list(storage.objects(name)) == []
    assert put(a="1", b="2")["written"] == ["a", "b"]
    generations = {o["name"]: o["generation"] for o in storage.objects(name)}
    assert put(a="1", b="3")["written"] == ["b"]
    later = {o["name"]: o["generation"] for o in storage.objects(name)}
    assert later["a"] == generations["a"]
    assert later["b"] != generations["b"]
    assert not put(a="1", b="3")["changed"]


def test_objects_are_deleted_once(bring: Callable[..., Result], put: Callable[..., Result]) -> None:
    bring()
    put(a="1")
    assert put(state="absent", check_mode=True, a=None, b=None)["deleted"] == ["a"]
    assert put(state="absent", a=None, b=None)["deleted"] == ["a"]
    assert not put(state="absent", a=None, b=None)["changed"]


def test_an_upload_whose_answer_is_lost_is_written_once(
    bring: Callable[..., Result],
    put: Callable[..., Result],
    faults: Faults,
    storage: Storage,
    name: str,
) -> None:
    bring()
    armed = faults.add("reset", method="storage.objects.insert", when="after")
    assert put(a="1")["written"] == ["a"]
    assert faults.get(armed)["fired"] == 1
    assert len(list(storage.objects(name))) == 1


def test_what_somebody_else_wrote_meanwhile_is_not_lost(
    bring: Callable[..., Result], put: Callable[..., Result], storage: Storage, name: str
) -> None:
    bring()
    put(a="theirs")
    with pytest.raises(PreconditionError):
        storage.upload(name, "a", Content(b"ours", "text/plain"), replaced=None)


def test_a_file_that_is_not_there_is_refused_before_anything_is_written(
    bring: Callable[..., Result], storage: Storage, name: str, tmp_path: Path
) -> None:
    bring()
    missing = str(tmp_path / "none")
    objects = [
        {"name": "a", "src": None, "content": "1", "content_type": "text/plain"},
        {"name": "b", "src": missing, "content": None, "content_type": "text/plain"},
    ]
    options = {"bucket": name, "state": "present", "objects": objects}
    module: Any = SimpleNamespace(params=options, check_mode=False)
    with pytest.raises(CloudError, match=f"cannot read {missing}: No such file"):
        gcs_objects.run(module, storage)
    assert list(storage.objects(name)) == []
