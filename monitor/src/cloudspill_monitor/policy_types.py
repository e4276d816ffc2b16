# SPDX-License-Identifier: GPL-3.0-or-later
"""The values that the policy takes and returns."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal

LOCAL = "local"
"""The place of a task that runs on this machine; any other place is the name of a VM."""

ANNOUNCED = "vm (not made)"
"""Where a dry run counts a task that would have been moved."""

SATURATED = 95.0
"""Percent of the machine from which on a task measured here may want more CPU than it got."""

Direction = Literal["out", "in"]


@dataclass(frozen=True, slots=True)
class PolicyConfig:
    """Thresholds in percent of the whole machine, all times in seconds.

    Raises ValueError when a value is not finite, a duration is not positive, or the low threshold
    is not below the high one.
    """

    threshold_high: float = 75.0
    threshold_low: float = 60.0
    high_duration: float = 10.0
    low_duration: float = 10.0
    interval: float = 1.0
    guard: bool = True
    min_dwell: float = 60.0
    backoff_window: float = 600.0
    retry_backoff: float = 30.0
    max_backoff: float = 3600.0

    def __post_init__(self) -> None:
        for name in ("high_duration", "low_duration", "interval", "retry_backoff", "max_backoff"):
            value = getattr(self, name)
            if not (math.isfinite(value) and value > 0):
                raise ValueError(f"{name} must be more than 0 s, not {value}")
        for name in ("min_dwell", "backoff_window"):
            value = getattr(self, name)
            if not (math.isfinite(value) and value >= 0):
                raise ValueError(f"{name} must be 0 s or more, not {value}")
        if not 0 <= self.threshold_low < self.threshold_high <= 100:
            raise ValueError(
                f"threshold_low ({self.threshold_low:g}) must be below threshold_high "
                f"({self.threshold_high:g}), both within 0 to 100 %"
            )


@dataclass(frozen=True, slots=True)
class TaskLoad:
    """One live task, as measured.

    `cpu` is CPU time over wall time in cores (None: not measured yet). `lower_bound` says that it
    was measured where the CPU was all in use, so that the task may want more than it got, at
    most `ceiling` cores (one per thread that it has).
    """

    name: str
    place: str = LOCAL
    movable: bool = True
    cpu: float | None = None
    ceiling: float = math.inf
    lower_bound: bool = False

    def need(self, cores: int) -> float:
        """Cores to count on for this task on a machine of `cores`: its demand, or more."""
        most = min(self.ceiling, float(cores))
        if self.cpu is None:
            return most
        return max(self.cpu, most) if self.lower_bound else self.cpu


@dataclass(frozen=True, slots=True)
class Sample:
    """CPU in percent of the whole machine over the last interval, and the live tasks.

    Raises ValueError when `cpu` is not a number within 0 to 100.
    """

    cpu: float
    cores: int
    tasks: tuple[TaskLoad, ...] = ()

    def __post_init__(self) -> None:
        if not 0.0 <= self.cpu <= 100.0:  # false for NaN too
            raise ValueError(f"a CPU sample must be within 0 to 100 %, not {self.cpu}")


@dataclass(frozen=True, slots=True)
class ScaleOut:
    """Move `tasks` from here to VMs."""

    tasks: tuple[str, ...]
    reason: str


@dataclass(frozen=True, slots=True)
class ScaleIn:
    """Bring `tasks` home."""

    tasks: tuple[str, ...]
    reason: str


@dataclass(frozen=True, slots=True)
class Hold:
    """Move nothing."""

    reason: str


@dataclass(frozen=True, slots=True)
class TimersReset:
    """Samples are missing: nothing that was measured before counts towards a duration."""

    reason: str


Action = ScaleOut | ScaleIn | Hold | TimersReset


@dataclass(frozen=True, slots=True)
class Moving:
    """A move under way since `since` (seconds)."""

    direction: Direction
    since: float
    tasks: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Failure:
    """The last move failed, `count` times in a row; its direction waits until `retry_at`."""

    direction: Direction
    count: int
    retry_at: float
    reason: str


@dataclass(frozen=True, slots=True)
class Timers:
    """Since when CPU has been high or low at every sample (None: it is not), in seconds.

    While it is low, `peak` is the highest sample of the present window of ``low_duration`` and
    `peak_before` that of the window before; windows are counted from `low_since`.
    """

    last_sample_at: float | None = None
    high_since: float | None = None
    low_since: float | None = None
    window: int = 0
    peak: float = 0.0
    peak_before: float = 0.0


@dataclass(frozen=True, slots=True)
class State:
    """What the policy remembers from one sample to the next (times in seconds).

    `drained`: the operator wants every task home, and kept there.
    """

    timers: Timers = Timers()
    moving: Moving | None = None
    last_out_at: float | None = None
    last_in_at: float | None = None
    strikes: int = 0
    failure: Failure | None = None
    drained: bool = False


@dataclass(frozen=True, slots=True)
class Band:
    """CPU from `floor` to `ceiling` percent (inclusive); it takes at least `duration` seconds in
    it, at every sample, before anything can be decided.
    """

    floor: float
    ceiling: float
    duration: float


@dataclass(frozen=True, slots=True)
class Quiet:
    """Before `until`, samples within `floor` to `ceiling` percent (inclusive) change nothing."""

    until: float
    floor: float
    ceiling: float
