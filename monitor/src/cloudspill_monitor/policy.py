# SPDX-License-Identifier: GPL-3.0-or-later
"""When tasks spill out and when they come home: pure functions on plain values.

:func:`decide` takes what is known and one sample, and returns what is known next and the actions
to take, each with its reason in words. There is no I/O here and no clock: `now` is passed in, in
seconds on any clock that never steps back.

The rule: CPU above ``threshold_high`` at every sample for ``high_duration`` scales out; below
``threshold_low`` at every sample for ``low_duration`` scales in. The guard adds that tasks come
home only when the CPU predicted with them stays below ``threshold_high``, not before a dwell time,
and later each time that a home-coming had to be undone.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

from cloudspill_monitor.policy_types import (
    LOCAL,
    Action,
    Band,
    Failure,
    Hold,
    Moving,
    PolicyConfig,
    Quiet,
    Sample,
    ScaleIn,
    ScaleOut,
    State,
    TaskLoad,
    Timers,
    TimersReset,
)


def decide(
    config: PolicyConfig, state: State, sample: Sample, now: float
) -> tuple[State, tuple[Action, ...]]:
    """Judge one sample taken at `now` (seconds).

    Returns the next state and at least one action; the last one is the judgement itself
    (:class:`ScaleOut`, :class:`ScaleIn` or :class:`Hold`). A scale action leaves the state moving
    until :func:`completed` is called. Raises ValueError when `now` lies before the last sample.
    """
    state, notices = _observe(config, state, sample, now)
    action = _judge(config, state, sample, now)
    if isinstance(action, ScaleOut | ScaleIn):
        state = _begin(config, state, action, now)
    return state, (*notices, action)


def completed(config: PolicyConfig, state: State, now: float, failure: str | None = None) -> State:
    """The move that was under way has ended at `now`; `failure` says why if it failed.

    Both timers start afresh, because the machine that they measured is another one now. A failed
    move is tried again after ``retry_backoff`` doubled per failure in a row, at most
    ``max_backoff``. Raises ValueError when no move is under way.
    """
    moving = state.moving
    if moving is None:
        raise ValueError("no move is under way, so none can be completed")
    state = replace(state, moving=None, timers=_stopped(state.timers.last_sample_at))
    if failure is not None:
        count = state.failure.count + 1 if state.failure else 1
        retry_at = now + _grown(config.retry_backoff, count - 1, config.max_backoff)
        return replace(state, failure=Failure(moving.direction, count, retry_at, failure))
    if moving.direction == "out":
        return replace(state, failure=None, last_out_at=now)
    return replace(state, failure=None, last_in_at=now)


def drain(state: State, *, on: bool) -> State:
    """The operator wants every task home at once, whatever the CPU and the guard say, and kept
    there; or (`on` false) the rule to hold again, both durations from now on.

    Either way, what has failed before may be tried at once; and tasks that go out afterwards undo
    no home-coming of the rule's.
    """
    fresh = reset(state, state.timers.last_sample_at)
    return replace(fresh, drained=on, failure=None, last_in_at=None)


def dwell(config: PolicyConfig, state: State) -> float:
    """Seconds that tasks now stay away at least: ``min_dwell`` doubled per undone home-coming."""
    return _grown(config.min_dwell, state.strikes, config.max_backoff)


def quiet(config: PolicyConfig, state: State, sample: Sample, now: float) -> Quiet:
    """How long the judgement of `sample` holds, as long as what is away stays the same.

    A replay may leave out the samples inside these bounds (:func:`coast` accounts for them)
    and come to exactly the decisions that it would have come to with all of them.
    """
    within, timers = band(config, sample.cpu), state.timers
    floor, ceiling = within.floor, within.ceiling
    ends: tuple[float, ...] = ()
    if timers.high_since is not None:
        ends = (timers.high_since + config.high_duration, _retry_at(state, "out"))
    elif timers.low_since is not None and any(t.place != LOCAL for t in sample.tasks):
        ends = (
            timers.low_since + config.low_duration,
            _retry_at(state, "in"),
            _home_at(config, state),
        )
        settled = timers.peak == timers.peak_before == sample.cpu
        if not settled:
            ends = (*ends, timers.low_since + (timers.window + 1) * config.low_duration)
        if settled or max(ends[:3]) <= now:
            floor = ceiling = sample.cpu  # any other sample may satisfy the guard, or move the peak
    return Quiet(min((at for at in ends if at > now), default=math.inf), floor, ceiling)


def band(config: PolicyConfig, cpu: float) -> Band:
    """The side of the thresholds on which `cpu` (percent) lies."""
    high, low = config.threshold_high, config.threshold_low
    if cpu > high:
        return Band(math.nextafter(high, math.inf), math.inf, config.high_duration)
    if cpu < low:
        return Band(-math.inf, math.nextafter(low, -math.inf), config.low_duration)
    return Band(low, high, math.inf)


def coast(config: PolicyConfig, state: State, last_at: float, peak: float) -> State:
    """The state after samples up to `last_at`, at most `peak` percent, covered by :func:`quiet`."""
    timers = state.timers
    window = timers.window
    if timers.low_since is not None:
        window = max(window, math.floor((last_at - timers.low_since) / config.low_duration))
    peak = max(timers.peak, peak)
    return _with_timers(
        state,
        Timers(last_at, timers.high_since, timers.low_since, window, peak, timers.peak_before),
    )


def reset(state: State, last_at: float | None) -> State:
    """Both durations start afresh: after samples up to `last_at` that stayed in no :func:`band`
    for its duration, or (None) because those so far were judged by another configuration.
    """
    return _with_timers(state, _stopped(last_at))


def _observe(
    config: PolicyConfig, state: State, sample: Sample, now: float
) -> tuple[State, tuple[Action, ...]]:
    timers = state.timers
    last = timers.last_sample_at
    notices: tuple[Action, ...] = ()
    if last is not None:
        if now < last:
            raise ValueError(f"this sample ({now} s) is older than the last one ({last} s)")
        if now - last > 2 * config.interval:
            timers = _stopped(last)
            notices = (
                TimersReset(
                    f"no sample for {now - last:.1f} s (one is due every {config.interval:g} s): "
                    "both timers start afresh"
                ),
            )
    return _with_timers(state, _advance(config, timers, sample.cpu, now)), notices


def _advance(config: PolicyConfig, timers: Timers, cpu: float, now: float) -> Timers:
    if cpu > config.threshold_high:
        return Timers(now, now if timers.high_since is None else timers.high_since)
    if cpu >= config.threshold_low:
        return Timers(now)
    since = timers.low_since
    if since is None:
        return Timers(now, None, now, 0, cpu, cpu)
    if now >= since + (timers.window + 1) * config.low_duration:
        window = max(timers.window + 1, math.floor((now - since) / config.low_duration))
        return Timers(now, None, since, window, cpu, timers.peak)
    return Timers(now, None, since, timers.window, max(timers.peak, cpu), timers.peak_before)


def _stopped(last_sample_at: float | None) -> Timers:
    return Timers(last_sample_at)


def _with_timers(state: State, timers: Timers) -> State:
    # Written out: dataclasses.replace() would be half of the cost of a decision.
    return State(
        timers,
        state.moving,
        state.last_out_at,
        state.last_in_at,
        state.strikes,
        state.failure,
        state.drained,
    )


def _judge(config: PolicyConfig, state: State, sample: Sample, now: float) -> Action:
    if state.moving is not None:
        way = "to a VM" if state.moving.direction == "out" else "home"
        names = ", ".join(state.moving.tasks)
        return Hold(f"moving {names} {way} for {now - state.moving.since:.0f} s")
    if state.drained:
        return _judge_drained(state, sample, now)
    if state.timers.high_since is not None:
        return _judge_high(config, state, sample, now, state.timers.high_since)
    if state.timers.low_since is not None:
        return _judge_low(config, state, sample, now, state.timers.low_since)
    return Hold(
        f"CPU {sample.cpu:.1f} % is between the thresholds "
        f"{config.threshold_low:g} and {config.threshold_high:g} %"
    )


def _judge_drained(state: State, sample: Sample, now: float) -> Action:
    away = _away(sample)
    if not away:
        return Hold("drained: every task is at home, and stays there")
    if now < _retry_at(state, "in"):
        return _hold_after_failure(state, now)
    return ScaleIn(tuple(t.name for t in away), "drained: every task is wanted at home")


def _judge_high(
    config: PolicyConfig, state: State, sample: Sample, now: float, since: float
) -> Action:
    measured = f"CPU {sample.cpu:.1f} % has been above {config.threshold_high:g} %"
    held = now - since
    if now < since + config.high_duration:
        return Hold(f"{measured} for {held:.0f} of {config.high_duration:g} s")
    movable = tuple(t.name for t in sample.tasks if t.movable and t.place == LOCAL)
    if not movable:
        return Hold(f"{measured} for {held:.0f} s, but there is no further task to move")
    if now < _retry_at(state, "out"):
        return _hold_after_failure(state, now)
    return ScaleOut(
        movable, f"{measured} for {held:.0f} s (the rule asks {config.high_duration:g} s)"
    )


def _judge_low(
    config: PolicyConfig, state: State, sample: Sample, now: float, since: float
) -> Action:
    away = _away(sample)
    if not away:
        return Hold(f"CPU {sample.cpu:.1f} %: every task is at home")
    measured = f"CPU {sample.cpu:.1f} % has been below {config.threshold_low:g} %"
    held = now - since
    if now < since + config.low_duration:
        return Hold(f"{measured} for {held:.0f} of {config.low_duration:g} s")
    if now < _retry_at(state, "in"):
        return _hold_after_failure(state, now)
    rule = f"{measured} for {held:.0f} s (the rule asks {config.low_duration:g} s)"
    if not config.guard:
        return ScaleIn(tuple(t.name for t in away), rule)
    home_at = _home_at(config, state)
    if now < home_at:
        because = f" after {state.strikes} undone home-coming(s)" if state.strikes else ""
        return Hold(f"{measured}, but tasks stay away another {home_at - now:.0f} s{because}")
    return _judge_fitting(config, state, sample, measured, rule)


def _judge_fitting(
    config: PolicyConfig, state: State, sample: Sample, measured: str, rule: str
) -> Action:
    # From the peak of the low window, not from its last sample. Where only a peak that is passing
    # keeps some of them away, waiting for it (two windows at most) makes one move out of two.
    away = _away(sample)
    peak = max(state.timers.peak, state.timers.peak_before)
    fitting = _fitting(config, peak, sample, away)
    soon = _fitting(config, sample.cpu, sample, away)
    if 0 < len(fitting.tasks) < len(soon.tasks):
        return Hold(
            f"{measured}, and {', '.join(soon.tasks)} may come home together once the peak of "
            f"{peak:.1f} % is over for {config.low_duration:g} s"
        )
    predicted = f"{fitting.predicted:.1f} %"
    if not fitting.tasks:
        return Hold(
            f"{measured}, but with {_least(away)} home it is predicted at {predicted}, "
            f"not below {config.threshold_high:g} %"
        )
    return ScaleIn(
        fitting.tasks,
        f"{rule}, and with {', '.join(fitting.tasks)} home it is predicted at {predicted}, "
        f"below {config.threshold_high:g} %",
    )


_ROUNDING = 1e-6  # percent: a sum of measurements that equals the threshold is not below it


@dataclass(frozen=True, slots=True)
class _Fitting:
    tasks: tuple[str, ...]
    predicted: float  # percent: with `tasks` home, or with the least of them if none fits


def _fitting(config: PolicyConfig, base: float, sample: Sample, away: list[TaskLoad]) -> _Fitting:
    """The tasks that may come home together to a machine at `base` percent, the least demanding
    first. A task counts at what it may need (:meth:`TaskLoad.need`), so that the prediction errs
    towards staying away.
    """
    predicted = base
    chosen: list[str] = []
    for task in sorted(away, key=lambda t: t.need(sample.cores)):
        with_task = predicted + 100.0 * task.need(sample.cores) / sample.cores
        if with_task > config.threshold_high - _ROUNDING:
            return _Fitting(tuple(chosen), predicted if chosen else with_task)
        predicted = with_task
        chosen.append(task.name)
    return _Fitting(tuple(chosen), predicted)


def _away(sample: Sample) -> list[TaskLoad]:
    return [task for task in sample.tasks if task.place != LOCAL]


def _least(away: list[TaskLoad]) -> str:
    return away[0].name if len(away) == 1 else f"even one of {', '.join(t.name for t in away)}"


def _begin(config: PolicyConfig, state: State, action: ScaleOut | ScaleIn, now: float) -> State:
    if isinstance(action, ScaleIn):
        return replace(state, moving=Moving("in", now, action.tasks))
    window = max(config.backoff_window, dwell(config, state))
    undone = state.last_in_at is not None and now - state.last_in_at < window
    strikes = state.strikes + 1 if undone else 0
    return replace(state, moving=Moving("out", now, action.tasks), strikes=strikes)


def _hold_after_failure(state: State, now: float) -> Hold:
    failure = state.failure
    assert failure is not None
    return Hold(
        f"the last attempt failed ({failure.reason}); the next one is in "
        f"{failure.retry_at - now:.0f} s"
    )


def _retry_at(state: State, direction: str) -> float:
    failure = state.failure
    return failure.retry_at if failure and failure.direction == direction else -math.inf


def _home_at(config: PolicyConfig, state: State) -> float:
    if state.last_out_at is None or not config.guard:
        return -math.inf
    return state.last_out_at + dwell(config, state)


def _grown(base: float, doublings: int, most: float) -> float:
    # The exponent is bounded because 2.0 ** 1100 overflows after years of failures.
    return min(base * 2.0 ** min(doublings, 64), max(most, base))
