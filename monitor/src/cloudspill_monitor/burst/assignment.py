# SPDX-License-Identifier: GPL-3.0-or-later
"""Which task goes to which VM: pure functions on plain values."""

from __future__ import annotations

from collections.abc import Mapping, Sequence


def targets(count: int, usable: Mapping[str, int], room: int) -> tuple[tuple[str, ...], int]:
    """The VMs for `count` tasks: those in use that take some, and how many new ones to make.

    `usable` has the number of tasks of each VM that can take more; `room` is how many VMs may be
    made. One VM a task is as wide as it gets; those that exist come first, the emptiest first.
    """
    new = max(0, min(room, count - len(usable)))
    existing = sorted(usable, key=lambda name: (usable[name], name))
    return tuple(existing[: count - new]), new


def spread(tasks: Sequence[str], loads: Mapping[str, int]) -> dict[str, tuple[str, ...]]:
    """Each task to the VM with the fewest, given how many each has now.

    Raises ValueError when there is no VM.
    """
    if not loads:
        raise ValueError("there is no VM to spread tasks over")
    counts = dict(loads)
    given: dict[str, tuple[str, ...]] = dict.fromkeys(loads, ())
    for task in tasks:
        name = min(counts, key=lambda vm: (counts[vm], vm))
        counts[name] += 1
        given[name] = (*given[name], task)
    return given


def name(prefix: str, controller: str, number: int) -> str:
    """The name of this monitor's VM of that number; a number is never used twice."""
    return f"{prefix}-{controller[:6]}-{number}"
