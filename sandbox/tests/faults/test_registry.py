# SPDX-License-Identifier: GPL-3.0-or-later
"""Faults: what they mean, how often they strike, what of them outlives a restart."""

from __future__ import annotations

import asyncio

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cloudspill_sandbox.engine.clock import Clock
from cloudspill_sandbox.engine.store import Store
from cloudspill_sandbox.faults.fault import KEPT_FIRINGS
from cloudspill_sandbox.faults.kinds import KINDS, Scope
from cloudspill_sandbox.faults.order import FaultError, parse
from cloudspill_sandbox.faults.registry import Faults

INSERT = "compute.instances.insert"


def strike_all(faults: Faults, name: str, method: str = INSERT, zone: str = "us-west1-b") -> int:
    """Let every fault strike that means a call; return how many did."""
    number = 0
    for fault in faults.striking(Scope.CALL, frozenset({name}), zone, method):
        faults.strike(fault, method, name)
        number += 1
    return number


def test_a_fault_strikes_what_it_means_and_only_so_often(faults: Faults) -> None:
    faults.add({"kind": "unavailable", "match": "burst-*", "zone": "us-west1-b", "count": 2})
    assert strike_all(faults, "web") == 0
    assert strike_all(faults, "burst-1", zone="us-west1-a") == 0
    assert [strike_all(faults, "burst-1") for _ in range(3)] == [1, 1, 0]
    (fault,) = faults
    assert (fault.state, fault.fired) == ("spent", 2)
    assert not faults.calls_armed


def test_a_kind_s_own_methods_hold_unless_others_are_named(faults: Faults) -> None:
    faults.add({"kind": "quota"})
    assert strike_all(faults, "vm", "compute.instances.get") == 0
    faults.add({"kind": "quota", "method": "compute.*.get"})
    assert strike_all(faults, "vm", "compute.instances.get") == 1


def test_a_fault_for_ever_counts_all_and_remembers_the_last(faults: Faults) -> None:
    faults.add({"kind": "unavailable", "count": "forever"})
    for number in range(KEPT_FIRINGS + 5):
        assert strike_all(faults, f"vm-{number}") == 1
    (fault,) = faults
    assert (fault.state, fault.fired) == ("armed", KEPT_FIRINGS + 5)
    assert [f.target for f in fault.firings][-1] == f"vm-{KEPT_FIRINGS + 4}"
    assert len(fault.firings) == KEPT_FIRINGS


def test_a_fault_remembers_all_that_goes_on(faults: Faults) -> None:
    fault = faults.add({"kind": "network-cut", "count": "forever"})
    for number in range(KEPT_FIRINGS + 5):
        faults.strike(fault, "run", f"vm-{number}", lasts=True)
    faults.end(fault.id, 3)
    (cut,) = faults
    assert len(cut.active) == KEPT_FIRINGS + 4
    assert [firing.number for firing in cut.firings] == [*range(1, KEPT_FIRINGS + 6)]


def test_faults_outlive_a_restart_with_what_they_did_until_they_are_cleared(
    faults: Faults, store: Store, clock: Clock
) -> None:
    faults.add({"kind": "unavailable", "count": 3})
    faults.add({"kind": "network-cut", "from": "api", "for": 60})
    strike_all(faults, "vm")
    again = Faults(store, clock)
    assert [fault.view() for fault in again] == [fault.view() for fault in faults]
    again.clear(["unavailable-1"])
    assert [fault.id for fault in Faults(store, clock)] == ["network-cut-2"]
    assert again.add({"kind": "quota"}).id == "quota-3"


async def test_clearing_what_is_not_there_clears_nothing(faults: Faults) -> None:
    faults.add({"kind": "quota"})
    with pytest.raises(LookupError, match="no fault is called other; there are: quota-1"):
        faults.clear(["quota-1", "other"])
    assert [fault.id for fault in faults] == ["quota-1"]
    assert [fault.id for fault in faults.clear([])] == ["quota-1"]
    assert list(faults) == []


async def test_who_waits_for_a_fault_hears_when_it_strikes(faults: Faults) -> None:
    faults.add({"kind": "unavailable", "count": 2})
    waiting = asyncio.create_task(faults.fired("unavailable-1", 2, 30))
    await asyncio.sleep(0)
    strike_all(faults, "vm")
    await asyncio.sleep(0)
    assert not waiting.done()
    strike_all(faults, "vm")
    assert (await waiting).fired == 2
    assert (await faults.fired("unavailable-1", 3, 0)).fired == 2


async def test_who_waits_for_a_fault_that_is_cleared_hears_that_it_is_gone(faults: Faults) -> None:
    faults.add({"kind": "quota"})
    waiting = asyncio.create_task(faults.fired("quota-1", 1, 30))
    await asyncio.sleep(0)
    faults.clear([])
    with pytest.raises(LookupError, match="no fault is called quota-1"):
        await waiting


async def test_a_pause_ends_by_time_by_clearing_and_when_the_sandbox_stops(
    faults: Faults, clock: Clock
) -> None:
    for end in (lambda: clock.advance(60), lambda: faults.clear([]), faults.end_waits):
        identity = faults.add({"kind": "slow", "delay": 60}).id
        pause = asyncio.create_task(faults.pause(identity, 60))
        await asyncio.sleep(0)
        assert not pause.done()
        end()
        await asyncio.wait_for(pause, 5)


@pytest.mark.parametrize("kind", KINDS.values(), ids=lambda kind: kind.name)
def test_every_kind_can_be_ordered_with_what_it_needs_and_nothing_else(kind: object) -> None:
    values = {
        "match": "vm-*",
        "zone": "us-west1-b",
        "count": "forever",
        "method": "compute.*",
        "step": "boot",
        "delay": 1.5,
        "after": 2,
        "for": 3,
        "from": "all",
        "when": "after",
        "status": 429,
        "error": "409:conflict:It is taken: try another",
    }
    known = KINDS[kind.name]  # type: ignore[attr-defined]
    taken = {option: values[option] for option in known.options}
    order = parse({"kind": known.name} | taken, [INSERT])
    assert order.document() == {"kind": known.name} | taken
    for option in values.keys() - taken.keys():
        with pytest.raises(FaultError, match=f"{known.name} takes no `{option}`"):
            parse({"kind": known.name, option: values[option]} | taken, [INSERT])
    for option in known.needs:
        with pytest.raises(FaultError, match=f"{known.name} needs `{option}`"):
            parse({"kind": known.name}, [INSERT])


@pytest.mark.parametrize(
    ("document", "said"),
    [
        (
            {"kind": "operation-fails", "error": "499:odd:No such status"},
            "`error` wants STATUS:REASON:MESSAGE with an HTTP status",
        ),
        (
            {"kind": "operation-slow", "delay": 1, "method": "storage.objects.get"},
            "no method of Compute Engine, which alone has operations that fail, matches "
            "'storage.objects.get'; docs/fidelity.md lists them",
        ),
        (
            {"kind": "crash", "zone": "us-wst1-b"},
            "no zone is called 'us-wst1-b' (do you mean us-west1-b?)",
        ),
    ],
)
def test_what_could_never_strike_is_refused(document: dict[str, object], said: str) -> None:
    with pytest.raises(FaultError) as caught:
        parse(document, [INSERT, "storage.objects.get"], ["us-west1-b", "asia-east1-a"])
    assert str(caught.value).startswith(said)


@given(
    st.recursive(
        st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
        lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    )
    | st.fixed_dictionaries(
        {"kind": st.sampled_from(sorted(KINDS))},
        optional={
            name: st.none() | st.integers() | st.floats() | st.text() | st.lists(st.integers())
            for name in ("count", "delay", "after", "for", "from", "when", "error", "match")
        },
    )
)
def test_whatever_is_no_fault_is_refused_in_one_sentence(document: object) -> None:
    try:
        kept = parse(document, [INSERT]).document()
    except FaultError as error:
        kept = None
        said = str(error)
    assert parse(kept, [INSERT]).document() == kept if kept else len(said) > 20
