# SPDX-License-Identifier: GPL-3.0-or-later
"""A burst VM is reaped when no monitor can own it any more, and never before."""

from __future__ import annotations

import json
import time
from datetime import UTC, datetime
from types import SimpleNamespace
from typing import Any

import pytest
from ansible_collections.cloudspill.gcp.plugins.modules import burst_reap

MARGIN, GRACE = 60.0, 720.0
NOW = 1_800_000_000.0
Document = dict[str, Any]


def vm(age: float, now: float = NOW) -> Document:
    """A VM that was made so many seconds ago, by a clock in another zone."""
    made = datetime.fromtimestamp(now - age, UTC).isoformat().replace("+00:00", "-00:00")
    return {"name": "burst-1", "id": "7", "creationTimestamp": made, "zone": "zones/us-west1-b"}


def judged(lease: Document | None, age: float = 3600.0) -> Document:
    options = {"margin": MARGIN, "grace": GRACE}
    return burst_reap.judged(vm(age), lease, NOW, options)


@pytest.mark.parametrize(
    ("lease", "age", "expired"),
    [
        ({"expires": NOW + 1}, 3600.0, False),
        ({"expires": NOW - MARGIN + 1}, 3600.0, False),
        ({"expires": NOW - MARGIN - 1}, 3600.0, True),
        ({"expires": NOW + 1, "expired": True}, 3600.0, True),
        (None, GRACE - 1, False),
        (None, GRACE + 1, True),
        ({"expires": NOW + 1}, GRACE + 1, False),
    ],
)
def test_a_vm_is_nobody_s_when_its_lease_is_over_or_it_told_none_for_long(
    lease: Document | None, age: float, expired: bool
) -> None:
    machine = judged(lease, age)
    assert machine["expired"] is expired
    assert machine["why"]


def publish(google: Any, name: str, value: str, age: float = 3600.0) -> None:
    """Let there be a VM that has published something as its lease."""
    document = vm(age, time.time()) | {"labels": {"cloudspill-controller": "c0ffee"}}
    del document["name"]
    google.add(f"zones/z/instances/{name}", **document)
    google.resources[f"zones/z/instances/{name}/getGuestAttributes"] = {
        "queryValue": {"items": [{"namespace": "cloudspill", "key": "lease", "value": value}]}
    }


def reap(compute: Any, *, delete: bool, check_mode: bool = False) -> Document:
    params = {
        "run": "default",
        "owner": "ada",
        "delete": delete,
        "margin": MARGIN,
        "grace": GRACE,
        "timeout": 10,
    }
    module: Any = SimpleNamespace(params=params, check_mode=check_mode)
    return burst_reap.run(module, compute)


@pytest.fixture
def three(google: Any) -> Any:
    """One that is leased, one whose lease is over, one that has published nonsense."""
    publish(google, "alive", json.dumps({"expires": time.time() + 30}))
    publish(google, "over", json.dumps({"expires": time.time() - 3000}))
    publish(google, "garbled", "{")
    return google


def names(result: Document, key: str) -> list[str]:
    return [machine["name"] for machine in result["machines"] if machine[key]]


def test_without_being_asked_nothing_is_deleted(three: Any, compute: Any) -> None:
    found = reap(compute, delete=False)
    assert names(found, "expired") == ["over", "garbled"]
    assert (found["changed"], names(found, "deleted")) == (False, [])
    assert {request.method for request in three.requests} == {"GET"}


def test_check_mode_deletes_nothing_either(three: Any, compute: Any) -> None:
    found = reap(compute, delete=True, check_mode=True)
    assert (found["changed"], names(found, "deleted")) == (True, [])
    assert {request.method for request in three.requests} == {"GET"}


def test_what_nobody_owns_goes_and_what_is_leased_stays(three: Any, compute: Any) -> None:
    found = reap(compute, delete=True)
    assert names(found, "deleted") == ["over", "garbled"]
    left = [path for path in three.resources if not path.endswith("getGuestAttributes")]
    assert left == ["zones/z/instances/alive"]


def test_one_that_has_another_s_name_by_now_is_left_alone(
    three: Any, compute: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Between the look and the deletion."""
    judge = burst_reap.judged

    def renew(*given: Any) -> Document:
        machine = judge(*given)
        if machine["name"] == "over":
            three.resources["zones/z/instances/over"]["id"] = "8"
        return machine

    three.resources["zones/z/instances/over"] = dict(three.resources["zones/z/instances/over"])
    monkeypatch.setattr(burst_reap, "judged", renew)
    found = reap(compute, delete=True)
    assert names(found, "deleted") == ["garbled"]
    assert "zones/z/instances/over" in three.resources


def test_the_filter_names_run_owner_and_role(three: Any, compute: Any) -> None:
    reap(compute, delete=False)
    asked = three.requests[0].query["filter"]
    assert asked == (
        '(labels.cloudspill-run = "default") (labels.cloudspill-owner = "ada") '
        '(labels.cloudspill-role = "burst")'
    )
