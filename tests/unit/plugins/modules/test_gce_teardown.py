# SPDX-License-Identifier: GPL-3.0-or-later
"""Removal by mark: all of it, and nothing else."""

from __future__ import annotations

from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any

import pytest
from ansible_collections.cloudspill.gcp.plugins.module_utils.api_errors import (
    CloudError,
    PermissionDeniedError,
)
from ansible_collections.cloudspill.gcp.plugins.module_utils.compute import Compute
from ansible_collections.cloudspill.gcp.plugins.module_utils.storage import Storage
from ansible_collections.cloudspill.gcp.plugins.module_utils.transport import Transport
from ansible_collections.cloudspill.gcp.plugins.modules import gce_teardown
from google.auth.credentials import AnonymousCredentials

MARK = {"cloudspill-run": "default", "cloudspill-owner": "ada"}
DESCRIPTION = "cloudspill-run=default cloudspill-owner=ada"


@pytest.fixture
def everything(google: Any) -> Any:
    """One of each kind, in an order that is not that of removal."""
    google.add("global/firewalls/allow-5000", description=DESCRIPTION)
    google.add("global/images/base", labels=MARK)
    google.add("regions/r1/addresses/a", labels=MARK)
    google.add("global/snapshots/s", labels=MARK)
    google.add("zones/z1/disks/a", labels=MARK)
    google.add("zones/z1/instances/a", labels=MARK)
    google.add("zones/z2/instances/b", labels=MARK)
    return google


class Buckets(Storage):
    """Buckets in memory: name → labels.

    Attributes:
        refused: names that cannot be deleted; `*` for a list that is refused.
    """

    def __init__(self, labels: dict[str, dict[str, str]], refused: str = "") -> None:
        super().__init__(Transport(AnonymousCredentials()), "acme")
        self.labels = labels
        self.refused = refused

    def buckets(self) -> Iterator[dict[str, Any]]:
        if self.refused == "*":
            message = "ada does not have storage.buckets.list access."
            raise PermissionDeniedError(403, "forbidden", message, "buckets of acme")
        yield from ({"name": name, "labels": labels} for name, labels in self.labels.items())

    def delete_bucket(self, name: str) -> bool:
        if name == self.refused:
            raise CloudError(f"bucket {name}: Object is under active Temporary hold")
        return self.labels.pop(name, None) is not None


def tear_down(
    compute: Compute, *, check_mode: bool = False, buckets: Buckets | None = None
) -> dict[str, Any]:
    options = {"run": "default", "owner": "ada", "timeout": 60}
    module: Any = SimpleNamespace(params=options, check_mode=check_mode)
    return gce_teardown.run(module, compute, buckets or Buckets({}))


def test_all_of_a_run_goes_users_before_what_they_use(everything: Any, compute: Compute) -> None:
    result = tear_down(compute)
    assert result["changed"]
    assert result["removed"] == [
        "zones/z1/instances/a",
        "zones/z2/instances/b",
        "zones/z1/disks/a",
        "global/snapshots/s",
        "global/images/base",
        "regions/r1/addresses/a",
        "global/firewalls/allow-5000",
    ]
    assert everything.resources == {}


def test_a_second_removal_changes_nothing(everything: Any, compute: Compute) -> None:
    tear_down(compute)
    result = tear_down(compute)
    assert not result["changed"]
    assert result["removed"] == []


def test_check_mode_lists_and_deletes_nothing(everything: Any, compute: Compute) -> None:
    result = tear_down(compute, check_mode=True)
    assert len(result["removed"]) == 7
    assert len(everything.resources) == 7
    assert {request.method for request in everything.requests} == {"GET"}


def test_the_server_is_asked_for_the_mark_alone(everything: Any, compute: Compute) -> None:
    tear_down(compute)
    asked = [r.query["filter"] for r in everything.requests if "filter" in r.query]
    assert asked == [
        '(labels.cloudspill-run = "default") (labels.cloudspill-owner = "ada")',
    ] * len(asked)
    kinds = {r.path.rsplit("/", 1)[-1] for r in everything.requests if "filter" in r.query}
    assert kinds == {"instances", "disks", "snapshots", "images", "addresses"}


@pytest.mark.parametrize(
    "description",
    [
        "",
        "made by hand",
        "cloudspill-run=default",
        "cloudspill-run=default cloudspill-owner=adam",
        "cloudspill-run=default2 cloudspill-owner=ada",
    ],
)
def test_a_rule_without_the_whole_mark_stays(
    google: Any, compute: Compute, description: str
) -> None:
    google.add("global/firewalls/allow-5000", description=description)
    assert tear_down(compute)["removed"] == []
    assert "global/firewalls/allow-5000" in google.resources


def test_one_failure_does_not_keep_the_rest(everything: Any, compute: Compute) -> None:
    protected = {"code": 400, "message": "Resource cannot be deleted if it's protected."}

    def refuse_the_first_deletion() -> None:
        everything.before_change = None
        everything.operations = [{"status": "DONE", "error": {"errors": [protected]}}]

    everything.before_change = refuse_the_first_deletion
    result = tear_down(compute)
    assert len(result["removed"]) == 6
    assert result["failures"] == [
        "zones/z1/instances/a: Resource cannot be deleted if it's protected (400)"
    ]


@pytest.mark.parametrize("kind", ["snapshots", "images"])
def test_a_copy_that_is_being_made_is_waited_for(
    everything: Any, compute: Compute, kind: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = next(path for path in everything.resources if f"/{kind}/" in path)
    everything.resources[path]["status"] = {"snapshots": "UPLOADING", "images": "PENDING"}[kind]
    paused: list[float] = []

    def become_ready(seconds: float) -> None:
        assert {request.method for request in everything.requests} == {"GET"}
        everything.resources[path]["status"] = "READY"
        paused.append(seconds)

    monkeypatch.setattr(gce_teardown.time, "sleep", become_ready)
    assert path in tear_down(compute)["removed"]
    assert len(paused) == 1


def test_buckets_of_the_run_go_and_others_stay(google: Any, compute: Compute) -> None:
    buckets = Buckets({"b": MARK, "a": {**MARK, "more": "1"}, "c": {"cloudspill-run": "default"}})
    assert tear_down(compute, buckets=buckets, check_mode=True)["removed"] == ["gs://a", "gs://b"]
    assert len(buckets.labels) == 3
    assert tear_down(compute, buckets=buckets)["removed"] == ["gs://a", "gs://b"]
    assert buckets.labels.keys() == {"c"}
    assert not tear_down(compute, buckets=buckets)["changed"]


def test_a_bucket_that_stays_hides_no_other(google: Any, compute: Compute) -> None:
    result = tear_down(compute, buckets=Buckets({"a": MARK, "b": MARK}, refused="a"))
    assert result["removed"] == ["gs://b"]
    assert result["failures"] == ["bucket a: Object is under active Temporary hold"]


def test_who_may_not_list_buckets_is_warned_and_the_rest_goes(
    everything: Any, compute: Compute
) -> None:
    result = tear_down(compute, buckets=Buckets({"a": MARK}, refused="*"))
    assert len(result["removed"]) == 7
    assert result["failures"] == []
    (warning,) = result["warnings"]
    assert warning.startswith("buckets are passed over: buckets of acme: ada does not have")
