# SPDX-License-Identifier: GPL-3.0-or-later
"""The story of a burst, and the same with the monitor killed at a transaction of its journal."""

from __future__ import annotations

from tests.burst.bench import Bench

# What writes to the journal in the undisturbed story, in order (`test_story.py` holds it to that).
STEPS = (
    "_prepare",
    "begin_watch",
    *("begin_run", "record_process") * 2,
    *("record_decision", "plan_vm", "begin_move", "vm_up"),
    *("mark_stopping", "hand_out", "confirm_run", "end_move", "end_decision"),
    *("record_decision", "begin_move", "end_run"),
    *("begin_run", "record_process", "end_move", "end_decision"),
    *("record_decision", "begin_move", "mark_stopping", "hand_out", "confirm_run"),
    *("end_move", "end_decision"),
    *("mark_stopping", "end_run", "begin_move", "end_run", "end_move", "vm_gone", "end_watch"),
)
OUT = STEPS.index("record_decision")
HOME = STEPS.index("record_decision", OUT + 1)
AGAIN = STEPS.index("record_decision", HOME + 1)
END = len(STEPS) - 7


def instants(begin: int, end: int) -> list[str]:
    """Names of the instants just before and just after each commit from `begin` up to `end`."""
    return [
        f"{number + 1}:{when}:{STEPS[number]}"
        for number in range(begin, end)
        for when in ("before", "after")
    ]


def tell(bench: Bench, kill_at: str | None = None, upto: int = END) -> None:
    """Out, home, out again, and a stop while tasks are away; or the stop before the part `upto`."""
    bench.start(kill_at)
    bench.until(bench.at_home)
    for begin, percent, there in (
        (OUT, 100, bench.away),
        (HOME, 10, bench.at_home),
        (AGAIN, 100, bench.away),
    ):
        if begin < upto:
            bench.load(percent)
            bench.until(there)
    bench.stop()


def survives(bench: Bench, instant: str) -> None:
    """Kill the monitor at that instant; all the same the story goes on to its end."""
    number, when, _ = instant.split(":")
    upto = next(part for part in (OUT, HOME, AGAIN, END) if int(number) <= part or part == END)
    tell(bench, f"{number}:{when}", upto)
    assert bench.deaths == 1, "the instant never came"
    assert bench.vms() == []
    bench.audit()
