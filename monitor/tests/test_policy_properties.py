# SPDX-License-Identifier: GPL-3.0-or-later
"""What holds for every load, every configuration and every outcome of a move."""

from __future__ import annotations

from dataclasses import dataclass, field, replace

from hypothesis import example, given, settings
from hypothesis import strategies as st

from cloudspill_monitor.policy import completed, decide
from cloudspill_monitor.policy_types import (
    LOCAL,
    SATURATED,
    Hold,
    PolicyConfig,
    Sample,
    ScaleIn,
    ScaleOut,
    State,
    TaskLoad,
    TimersReset,
)

VM = "vm"


@dataclass
class Machine:
    """Real demands on `cores`, shared out max-min fairly as a scheduler does, on a fake clock.

    `blind`: of a task that is away nothing is known but how it was measured here at last.
    """

    cores: int
    background: float  # cores
    demands: dict[str, tuple[float, int, bool]]  # cores, threads, movable
    blind: bool
    places: dict[str, str] = field(default_factory=dict)
    last: dict[str, TaskLoad] = field(default_factory=dict)

    def sample(self) -> Sample:
        here = {n: d for n, (d, _, _) in self.demands.items() if self.places[n] == LOCAL}
        got = _fair({**here, "": self.background}, float(self.cores))
        cpu = min(100.0, 100.0 * sum(got.values()) / self.cores)
        for name, (demand, threads, movable) in self.demands.items():
            place = self.places[name]
            if place == LOCAL or not self.blind:
                squeezed = place == LOCAL and cpu >= SATURATED
                used = got.get(name, demand)
                load = TaskLoad(name, place, movable, used, float(threads), squeezed)
            else:
                load = replace(self.last[name], place=place)
            self.last[name] = load
        return Sample(cpu, self.cores, tuple(self.last.values()))


def _fair(demands: dict[str, float], capacity: float) -> dict[str, float]:
    got: dict[str, float] = {}
    left = capacity
    for count, name in enumerate(sorted(demands, key=lambda n: demands[n])):
        got[name] = min(demands[name], left / (len(demands) - count))
        left -= got[name]
    return got


@st.composite
def machines(draw: st.DrawFn) -> Machine:
    cores = draw(st.integers(1, 16))
    demands = {}
    for index in range(draw(st.integers(1, 6))):
        threads = draw(st.integers(1, 2 * cores))
        demand = draw(st.floats(0.0, float(min(threads, cores))))
        demands[f"t{index}"] = (demand, threads, draw(st.booleans()))
    background = draw(st.floats(0.0, float(cores)))
    return Machine(cores, background, demands, draw(st.booleans()), dict.fromkeys(demands, LOCAL))


configs = st.builds(
    lambda high, ratio, up, down, dwell: PolicyConfig(
        threshold_high=high,
        threshold_low=high * ratio,
        high_duration=up,
        low_duration=down,
        min_dwell=dwell,
    ),
    st.floats(10.0, 100.0),
    st.floats(0.0, 0.99),
    st.floats(1.0, 30.0),
    st.floats(1.0, 30.0),
    st.floats(0.0, 120.0),
)


def squeezed_machine() -> Machine:
    """Six tasks that want two cores each and get two thirds of one: four would seem to fit."""
    demands = {f"t{n}": (2.0, 2, True) for n in range(6)}
    return Machine(4, 0.0, demands, True, dict.fromkeys(demands, LOCAL))


@settings(max_examples=300, deadline=None)
@example(squeezed_machine(), PolicyConfig())
@given(machines(), configs)
def test_no_ping_pong_under_any_constant_load(machine: Machine, config: PolicyConfig) -> None:
    state, outs, came_home = State(), 0, False
    for second in range(600):
        now = float(second)
        if state.moving is not None and now - state.moving.since >= 5.0:
            came_home |= state.moving.direction == "in"
            place = VM if state.moving.direction == "out" else LOCAL
            machine.places |= dict.fromkeys(state.moving.tasks, place)
            state = completed(config, state, now)
        state, actions = decide(config, state, machine.sample(), now)
        if isinstance(actions[-1], ScaleOut):
            assert not came_home, "a home-coming was followed by a new scale-out"
            outs += 1
    assert outs <= 1


samples = st.lists(
    st.tuples(
        st.floats(0.0, 100.0), st.sampled_from([1.0, 1.0, 1.0, 1.0, 1.9, 2.1, 40.0]), st.booleans()
    ),
    min_size=1,
    max_size=120,
)
# Mostly constant stretches: independent noise would hardly ever fill a duration.
stretches = st.lists(
    st.tuples(st.sampled_from([5.0, 59.9, 60.0, 70.0, 75.0, 75.1, 99.0]), st.integers(1, 30)),
    min_size=1,
    max_size=12,
).map(lambda runs: [(cpu, 1.0, index % 3 == 0) for cpu, n in runs for index in range(n)])
names = ("a", "b", "c")


@settings(max_examples=300, deadline=None)
@given(samples | stretches, st.booleans(), st.floats(1.0, 20.0), st.floats(1.0, 20.0))
def test_every_history_keeps_the_rules(
    history: list[tuple[float, float, bool]], guard: bool, up: float, down: float
) -> None:
    config = PolicyConfig(high_duration=up, low_duration=down, guard=guard)
    places = dict.fromkeys(names, LOCAL)
    state, now = State(), 0.0
    seen: list[tuple[float, float]] = []
    for cpu, step, succeeds in history:
        now += step
        if state.moving is not None and succeeds:
            places |= dict.fromkeys(
                state.moving.tasks, VM if state.moving.direction == "out" else LOCAL
            )
            state = completed(config, state, now)
            seen.clear()
        elif state.moving is not None and step == 1.9:
            state = completed(config, state, now, failure="broken")
            seen.clear()
        if seen and now - seen[-1][0] > 2 * config.interval:
            seen.clear()
        seen.append((now, cpu))
        moving_before = state.moving
        loads = tuple(TaskLoad(n, places[n], n != "a", 0.3) for n in names)
        state, actions = decide(config, state, Sample(cpu, 4, loads), now)
        assert actions
        assert all(action.reason for action in actions), "an action without a reason"
        assert all(isinstance(a, TimersReset) for a in actions[:-1])
        action = actions[-1]
        if isinstance(action, Hold):
            continue
        assert moving_before is None, "a second move began while one was under way"
        assert isinstance(action, ScaleOut | ScaleIn)
        assert action.tasks
        here = {n for n in names if places[n] == LOCAL}
        if isinstance(action, ScaleOut):
            assert set(action.tasks) <= here - {"a"}, "moved out what is not here or not movable"
            window = [c for at, c in seen if at + up >= now]
            assert seen[0][0] + up <= now, "moved before the duration was full"
            assert min(window) > config.threshold_high, "a dip did not reset the timer"
        else:
            assert set(action.tasks) <= set(names) - here, "brought home what is at home"
            window = [c for at, c in seen if at + down >= now]
            assert seen[0][0] + down <= now, "came home before the duration was full"
            assert max(window) < config.threshold_low, "a rise did not reset the timer"
