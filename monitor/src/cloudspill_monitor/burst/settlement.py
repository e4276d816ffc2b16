# SPDX-License-Identifier: GPL-3.0-or-later
"""What is to be done about a run at a VM, given what the VM says: a pure function.

A play, the monitor or the link may end at any instant. Whatever they left, each run that the
journal has at a VM is brought to rest by asking the one authority there is, the VM itself; and if
it cannot be asked, by waiting until its lease is certainly over.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from cloudspill_monitor.journal import Run


class Verdict(StrEnum):
    """What to do about one run."""

    STAY = "it runs there, as the journal says"
    CONFIRM = "it runs there, which the journal does not know yet"
    FENCE = "first see to it that no late message starts it"
    FETCH = "it has stopped there: fetch its checkpoint, then it is home"
    FETCH_ENDED = "it has ended there: fetch its checkpoint, then it is home"
    NEVER_BEGAN = "it was never begun there: it is home"
    LOST = "the VM cannot run it any more: it is home with what was fetched last"
    WAIT = "the VM cannot be asked, and may still run it"


@dataclass(frozen=True, slots=True)
class VmState:
    """What is known of a VM.

    `answers` says whether it can be asked now, `lease_over` that it can run nothing any more
    (its lease is certainly over, or it does not exist), `fenced_move` the last move whose late
    messages it refuses.
    """

    answers: bool
    lease_over: bool
    fenced_move: int


def judge(run: Run, state: str | None, vm: VmState, current_move: int | None) -> Verdict:
    """What to do about `run`, which is in `state` at the VM (None: the VM does not know it).

    `current_move` is a move that is under way: what it has begun is left to it.
    """
    if vm.lease_over:
        return Verdict.LOST
    if not vm.answers:
        return Verdict.WAIT
    if state == "running" and not run.confirmed:
        return Verdict.CONFIRM
    return _KNOWN[state] if state in _KNOWN else _unknown(run, vm, current_move)


_KNOWN = {
    "running": Verdict.STAY,
    "ended": Verdict.FETCH_ENDED,
    "stopped": Verdict.FETCH,
}


def _unknown(run: Run, vm: VmState, current_move: int | None) -> Verdict:
    if run.move is not None and run.move == current_move:
        return Verdict.WAIT
    if run.move is not None and run.move > vm.fenced_move:
        return Verdict.FENCE
    # Nothing can begin it there any more. Or it was released there, which is said only after the
    # journal has it home, so the journal lost that: what was fetched then waits here still.
    return Verdict.LOST if run.confirmed else Verdict.NEVER_BEGAN
