# SPDX-License-Identifier: GPL-3.0-or-later
"""What is given up is heard before it is deleted, and nothing else is touched."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest
from ansible_collections.cloudspill.gcp.plugins.modules import burst_discard

Document = dict[str, Any]


@pytest.fixture
def two(google: Any) -> Any:
    """A VM that wrote something on its serial console, and one that cannot be heard."""
    for number, name in enumerate(("burst-1", "burst-2")):
        google.add(f"zones/z/instances/{name}", id=str(number))
    contents = "one\r\n\r\ntwo\r\nthree\r\n"
    google.resources["zones/z/instances/burst-1/serialPort"] = {"contents": contents}
    return google


def discard(compute: Any, *names: str, check_mode: bool = False, **given: Any) -> Document:
    params = {
        "names": list(names),
        "reasons": {},
        "keep": [],
        "controller": "c0ffee",
        "run": "default",
        "owner": "ada",
        "lines": 2,
        "timeout": 10,
        **given,
    }
    module: Any = SimpleNamespace(params=params, check_mode=check_mode)
    return burst_discard.run(module, compute)


def test_the_last_lines_come_with_the_reason_and_the_vm_goes(two: Any, compute: Any) -> None:
    result = discard(compute, "burst-1", reasons={"burst-1": "burst-1 is deaf"})
    assert result["sentences"] == [
        "burst-1 is deaf; it is deleted; its last serial lines:\n  two\n  three"
    ]
    assert result["deleted"] == ["burst-1"]
    assert "zones/z/instances/burst-1" not in two.resources
    assert "zones/z/instances/burst-2" in two.resources


def test_what_is_kept_is_heard_and_stays(two: Any, compute: Any) -> None:
    reasons = {"burst-1": "burst-1 is deaf"}
    result = discard(compute, "burst-1", reasons=reasons, keep=["burst-1"])
    assert result["sentences"] == ["burst-1 is deaf; its last serial lines:\n  two\n  three"]
    assert (result["changed"], result["deleted"]) == (False, [])
    assert "zones/z/instances/burst-1" in two.resources


def test_one_that_was_never_made_or_cannot_be_heard_is_told_all_the_same(
    two: Any, compute: Any
) -> None:
    reasons = {"burst-2": "burst-2 is deaf", "burst-3": "no zone has room for burst-3"}
    result = discard(compute, "burst-2", "burst-3", reasons=reasons)
    assert result["sentences"] == [
        "burst-2 is deaf; it is deleted",
        "no zone has room for burst-3",
    ]


def test_a_deletion_that_is_refused_is_told(two: Any, compute: Any) -> None:
    errors = [{"code": "RESOURCE_IN_USE", "message": "It is in use."}]
    two.operations = [{"status": "DONE", "error": {"errors": errors}}, {"status": "DONE"}]
    result = discard(compute, "burst-1", "burst-2", reasons={"burst-1": "burst-1 is deaf"})
    assert result["deleted"] == ["burst-2"]
    assert "RESOURCE_IN_USE" in result["failures"][0]
    assert "it could not be deleted: " in result["sentences"][0]


def test_check_mode_deletes_nothing(two: Any, compute: Any) -> None:
    result = discard(compute, "burst-1", "burst-9", check_mode=True)
    assert (result["changed"], result["deleted"]) == (True, ["burst-1"])
    assert {request.method for request in two.requests} == {"GET"}


def test_only_burst_vms_of_that_monitor_are_seen(two: Any, compute: Any) -> None:
    discard(compute, "burst-1")
    assert '(labels.cloudspill-controller = "c0ffee")' in two.requests[0].query["filter"]
    assert '(labels.cloudspill-role = "burst")' in two.requests[0].query["filter"]
