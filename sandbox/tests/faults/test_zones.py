# SPDX-License-Identifier: GPL-3.0-or-later
"""Which zones are left to a call that may choose: instances in bulk, of a region.

https://cloud.google.com/compute/docs/instances/multiple/about-bulk-creation: Compute Engine picks
zones by where there is room.
"""

from __future__ import annotations

from typing import Any

import pytest

from cloudspill_sandbox.engine.errors import ApiError
from cloudspill_sandbox.engine.store import Store
from cloudspill_sandbox.faults.hooks import FaultHooks
from cloudspill_sandbox.faults.registry import Faults

METHOD = "compute.regionInstances.bulkInsert"
ZONES = ("a", "b", "c")
INSERT = "compute.instances.insert"


@pytest.fixture
def hooks(faults: Faults, store: Store) -> FaultHooks:
    faults.methods.add(METHOD)
    return FaultHooks(faults, store)


def usable(hooks: FaultHooks, most: int = 1, *, strike: bool = True) -> list[str]:
    return list(hooks.usable_zones(METHOD, frozenset({"vm-#"}), ZONES, most, strike=strike))


def fired(faults: Faults) -> list[int]:
    return [fault.fired for fault in faults]


@pytest.mark.parametrize("kind", ["unreachable", "stock-out"])
def test_a_zone_in_which_nothing_can_be_made_is_passed_over(
    faults: Faults, hooks: FaultHooks, kind: str
) -> None:
    fault = faults.add({"kind": kind, "zone": "a", "count": 2})
    assert usable(hooks, strike=False) == ["b"]
    assert usable(hooks) == ["b"]
    assert usable(hooks, 3) == ["b", "c"]
    struck = faults.get(fault.id)
    assert struck is not None
    assert [(each.cause, each.target) for each in struck.firings] == [(METHOD, "zones/a")] * 2
    assert usable(hooks, 3) == ["a", "b", "c"]  # it was to strike twice


@pytest.mark.parametrize(
    "order",
    [
        {"kind": "unreachable", "zone": "a", "match": "other-*"},
        {"kind": "unreachable", "zone": "a", "method": "compute.instances.*"},
        {"kind": "unreachable", "zone": "b"},
        {"kind": "stock-out"},
        {"kind": "operation-quota", "zone": "a"},
    ],
)
def test_other_faults_choose_no_zone(
    faults: Faults, hooks: FaultHooks, order: dict[str, Any]
) -> None:
    faults.add(order)
    assert usable(hooks) == ["a"]
    assert fired(faults) == [0]


def test_where_no_zone_answers_the_call_is_refused(faults: Faults, hooks: FaultHooks) -> None:
    for zone in ZONES:
        faults.add({"kind": "unreachable", "zone": zone})
    with pytest.raises(ApiError) as caught:
        usable(hooks)
    assert (caught.value.status, caught.value.reason) == (503, "backendError")
    assert fired(faults) == [1, 1, 1]


def test_who_only_wants_to_know_is_not_refused(faults: Faults, hooks: FaultHooks) -> None:
    """Permissions are asked for first, and a caller without them must hear of that."""
    for zone in ZONES:
        faults.add({"kind": "unreachable", "zone": zone})
    assert usable(hooks, strike=False) == ["a"]
    assert fired(faults) == [0, 0, 0]


async def test_where_no_zone_has_room_it_is_the_creations_that_fail(
    faults: Faults, hooks: FaultHooks
) -> None:
    faults.add({"kind": "unreachable", "zone": "a"})
    for zone in ("b", "c"):
        faults.add({"kind": "stock-out", "zone": zone})
    assert usable(hooks) == ["b"]
    assert fired(faults) == [1, 0, 0]
    with pytest.raises(ApiError, match="does not have enough resources"):
        await hooks.before_step("instances.insert.provision", "projects/p/zones/b/instances/vm-1")
