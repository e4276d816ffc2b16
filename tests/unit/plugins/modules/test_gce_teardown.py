# SPDX-License-Identifier: GPL-3.0-or-later
"""Removal by mark: all of it, and nothing else."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest
from ansible_collections.cloudspill.gcp.plugins.module_utils.compute import Compute
from ansible_collections.cloudspill.gcp.plugins.modules import gce_teardown

MARK = {"cloudspill-run": "default", "cloudspill-owner": "ada"}
DESCRIPTION = "cloudspill-run=default cloudspill-owner=ada"


@pytest.fixture
def everything(google: Any) -> Any:
    """One of each kind, in an order that is not that of removal."""
    google.add("global/firewalls/allow-5000", description=DESCRIPTION)
    google.add("global/images/base", labels=MARK)
    google.add("global/snapshots/s", labels=MARK)
    google.add("zones/z1/disks/a", labels=MARK)
    google.add("zones/z1/instances/a", labels=MARK)
    google.add("zones/z2/instances/b", labels=MARK)
    return google


def tear_down(compute: Compute, *, check_mode: bool = False) -> dict[str, Any]:
    options = {"run": "default", "owner": "ada", "timeout": 60}
    module: Any = SimpleNamespace(params=options, check_mode=check_mode)
    return gce_teardown.run(module, compute)


def test_all_of_a_run_goes_users_before_what_they_use(everything: Any, compute: Compute) -> None:
    result = tear_down(compute)
    assert result["changed"]
    assert result["removed"] == [
        "zones/z1/instances/a",
        "zones/z2/instances/b",
        "zones/z1/disks/a",
        "global/snapshots/s",
        "global/images/base",
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
    assert len(result["removed"]) == 6
    assert len(everything.resources) == 6
    assert {request.method for request in everything.requests} == {"GET"}


def test_the_server_is_asked_for_the_mark_alone(everything: Any, compute: Compute) -> None:
    tear_down(compute)
    asked = [r.query["filter"] for r in everything.requests if "filter" in r.query]
    assert asked == [
        '(labels.cloudspill-run = "default") (labels.cloudspill-owner = "ada")',
    ] * len(asked)
    assert len(asked) == 4


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
    assert len(result["removed"]) == 5
    assert result["failures"] == [
        "zones/z1/instances/a: Resource cannot be deleted if it's protected (400)"
    ]
