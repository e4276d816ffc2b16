# SPDX-License-Identifier: GPL-3.0-or-later
"""The replay: one trace through one rule, tick by tick, leaving out ticks that change nothing."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TypeVar

from cloudspill_monitor.billing import cost
from cloudspill_monitor.policy_types import Band, Direction, Sample, ScaleIn, ScaleOut
from cloudspill_monitor.simulation.machine import Machine, clip
from cloudspill_monitor.simulation.rules import Rule
from cloudspill_monitor.simulation.trace import Trace

S = TypeVar("S")

_EDGE = 1e-9  # ticks: the first tick of a row belongs to it, whatever the division makes of it


@dataclass(frozen=True, slots=True)
class Cloud:
    """What a VM takes (seconds) and costs. `idle_timeout` None: it is kept until the end."""

    boot_seconds: float = 45.0
    handover_seconds: float = 1.5
    idle_timeout: float | None = 600.0
    price_per_hour: float = 0.0475


@dataclass(frozen=True, slots=True)
class Move:
    """Tasks that were moved: decided at `at`, done at `done_at` (seconds of the trace)."""

    at: float
    done_at: float
    direction: Direction
    tasks: tuple[str, ...]
    reason: str


@dataclass(frozen=True, slots=True)
class Replay:
    """What a rule made of a trace. `away` holds which tasks were away from which second on."""

    rule: str
    moves: tuple[Move, ...]
    seconds_above: float
    vm_lives: tuple[tuple[float, float], ...]
    away: tuple[tuple[float, frozenset[str]], ...]
    cost: float

    @property
    def vm_seconds(self) -> float:
        """Seconds that VMs existed."""
        return sum(end - start for start, end in self.vm_lives)


class _Vm:
    """The one VM: made when a move needs it, deleted when it was idle for long enough."""

    def __init__(self, cloud: Cloud) -> None:
        self._cloud = cloud
        self._since: float | None = None
        self._idle_since: float | None = None
        self.lives: list[tuple[float, float]] = []

    def use(self, now: float) -> float:
        """Seconds until it takes tasks."""
        self.expire(now)
        self._idle_since = None
        if self._since is not None:
            return 0.0
        self._since = now
        return self._cloud.boot_seconds

    def release(self, now: float) -> None:
        self._idle_since = now

    def expire(self, now: float) -> None:
        timeout = self._cloud.idle_timeout
        if self._since is None or self._idle_since is None or timeout is None:
            return
        if self._idle_since + timeout <= now:
            self.lives.append((self._since, self._idle_since + timeout))
            self._since = self._idle_since = None

    def end(self, now: float) -> None:
        self.expire(now)
        if self._since is not None:
            self.lives.append((self._since, now))


def replay(
    trace: Trace,
    rule: Rule[S],
    machine: Machine,
    cloud: Cloud,
    *,
    threshold: float,
    interval: float = 1.0,
    skip: bool = True,
) -> Replay:
    """Run `trace` through `rule`, one sample every `interval` seconds.

    `threshold` (percent) is what `seconds_above` counts against. `skip=False` judges every single
    sample; the outcome is the same.
    """
    ticks = Ticks(trace, machine, interval, threshold)
    state = rule.start()
    vm = _Vm(cloud)
    moves: list[Move] = []
    pending: Move | None = None
    away: frozenset[str] = frozenset()
    placements = [(0.0, away)]
    above = 0
    tick = 0
    while tick < ticks.count:
        now = tick * interval
        if pending is not None and now >= pending.done_at:
            away = _apply(pending, away)
            placements.append((now, away))
            ticks.place(away)
            if not away:
                vm.release(now)
            state = rule.completed(state, now)
            pending = None
        sample = ticks.sample(tick)
        state, actions = rule.decide(state, sample, now)
        action = actions[-1]
        if isinstance(action, ScaleOut | ScaleIn):
            pending = _start(action, now, vm, cloud)
            moves.append(pending)
        event = ticks.first_at(pending.done_at) if pending else ticks.count
        quiet = rule.quiet(state, sample, now)
        end = min(event, ticks.first_at(quiet.until)) if skip else tick + 1
        after, peak, over = ticks.walk(tick, end, quiet.floor, quiet.ceiling)
        above += over
        if after > tick + 1:
            state = rule.coast(state, (after - 1) * interval, peak)
        tick = after
        if skip and tick < event and _left(rule.band(sample.cpu), ticks.cpu(tick)):
            tick, over = _skip_short_runs(ticks, rule, after, event)
            above += over
            if tick > after:
                state = rule.reset(state, (tick - 1) * interval)
    vm.end(ticks.count * interval)
    return Replay(
        rule=rule.name,
        moves=tuple(moves),
        seconds_above=above * interval,
        vm_lives=tuple(vm.lives),
        away=tuple(placements),
        cost=sum(cost(end - start, cloud.price_per_hour) for start, end in vm.lives),
    )


def _start(action: ScaleOut | ScaleIn, now: float, vm: _Vm, cloud: Cloud) -> Move:
    boot = vm.use(now) if isinstance(action, ScaleOut) else 0.0
    direction: Direction = "out" if isinstance(action, ScaleOut) else "in"
    done_at = now + boot + cloud.handover_seconds
    return Move(now, done_at, direction, action.tasks, action.reason)


def _apply(move: Move, away: frozenset[str]) -> frozenset[str]:
    return away | set(move.tasks) if move.direction == "out" else away - set(move.tasks)


def _left(band: Band, cpu: float) -> bool:
    return not band.floor <= cpu <= band.ceiling


def _skip_short_runs(ticks: Ticks, rule: Rule[S], tick: int, end: int) -> tuple[int, int]:
    """Pass over runs of samples that leave their band before its duration: nothing can come of
    them, and they leave no timer behind.
    """
    above = 0
    while tick < end:
        band = rule.band(ticks.cpu(tick))
        enough = tick + band.duration / ticks.interval
        after, _, over = ticks.walk(
            tick, end if enough > end else math.ceil(enough), band.floor, band.ceiling
        )
        if after >= enough:
            break
        above += over
        tick = after
    return tick, above


class Ticks:
    """The sampling instants of a trace, walked a row at a time."""

    def __init__(self, trace: Trace, machine: Machine, interval: float, threshold: float) -> None:
        self.interval = interval
        self.count = max(1, math.floor(trace.seconds / interval))
        self._values = trace.values
        self._rows_per_tick = interval / trace.row_seconds
        self._ticks_per_row = trace.row_seconds / interval
        self._machine = machine
        self._threshold = threshold
        self._sampled: tuple[float, Sample] | None = None
        self.place(frozenset())

    def place(self, away: frozenset[str]) -> None:
        """From now on these tasks are away."""
        self._away = away
        self._factor, self._offset = self._machine.line(away)
        self._sampled = None

    def sample(self, tick: int) -> Sample:
        """What is measured at `tick`."""
        value = self._values[self._row(tick)]
        if self._sampled is None or self._sampled[0] != value:
            self._sampled = value, self._machine.sample(value, self._away)
        return self._sampled[1]

    def cpu(self, tick: int) -> float:
        """CPU at home, percent, at `tick`."""
        return clip(self._values[self._row(tick)] * self._factor + self._offset)

    def first_at(self, moment: float) -> int:
        """The first tick at or after `moment` (seconds), or the end of the trace."""
        if moment >= self.count * self.interval:
            return self.count
        return math.ceil(moment / self.interval - _EDGE)

    def walk(self, tick: int, end: int, floor: float, ceiling: float) -> tuple[int, float, int]:
        """Go from `tick` to `end`, or to the first tick outside `floor` to `ceiling` percent.

        Returns the tick reached (at least the next one), the highest CPU on the way, and how many
        ticks of it were above the threshold.
        """
        end = min(max(end, tick + 1), self.count)
        values, factor, offset = self._values, self._factor, self._offset
        threshold, per_row = self._threshold, self._ticks_per_row
        row = self._row(tick)
        cpu = peak = clip(values[row] * factor + offset)
        above = 0
        while True:
            row += 1
            stop = end if row >= len(values) else min(end, self._first(row))
            if cpu > threshold:
                above += stop - tick
            tick = stop
            if tick >= end:
                return tick, peak, above
            if per_row < 1.0:
                row = self._row(tick)
            cpu = clip(values[row] * factor + offset)
            if not floor <= cpu <= ceiling:
                return tick, peak, above
            peak = max(peak, cpu)

    def _row(self, tick: int) -> int:
        return min(len(self._values) - 1, math.floor(tick * self._rows_per_tick + _EDGE))

    def _first(self, row: int) -> int:
        return math.ceil(row * self._ticks_per_row - _EDGE)
