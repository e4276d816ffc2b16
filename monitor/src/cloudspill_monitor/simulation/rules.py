# SPDX-License-Identifier: GPL-3.0-or-later
"""The rules that a replay compares, behind one interface."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import Protocol, TypeVar

from cloudspill_monitor import policy
from cloudspill_monitor.policy_types import (
    LOCAL,
    Action,
    Band,
    Hold,
    PolicyConfig,
    Quiet,
    Sample,
    ScaleIn,
    ScaleOut,
    State,
)

S = TypeVar("S")


class Rule(Protocol[S]):
    """A scaling rule with a state of type S; see the functions of the same names in `policy`."""

    @property
    def name(self) -> str:
        """How the report calls it."""
        ...

    def start(self) -> S:
        """The state before the first sample."""
        ...

    def decide(self, state: S, sample: Sample, now: float) -> tuple[S, tuple[Action, ...]]:
        """Judge one sample."""
        ...

    def completed(self, state: S, now: float) -> S:
        """The move that was decided has been carried out."""
        ...

    def quiet(self, state: S, sample: Sample, now: float) -> Quiet:
        """Which of the samples to come change nothing."""
        ...

    def band(self, cpu: float) -> Band:
        """The range around `cpu` that it must keep to for something to be decided."""
        ...

    def coast(self, state: S, last_at: float, peak: float) -> S:
        """Account for samples that were left out because of `quiet`."""
        ...

    def reset(self, state: S, last_at: float) -> S:
        """Account for samples that were left out because of `band`."""
        ...


@dataclass(frozen=True)
class ThresholdRule:
    """The monitor's own policy, under the name `literal` or `guarded`."""

    config: PolicyConfig

    @property
    def name(self) -> str:
        """How the report calls it."""
        return "guarded" if self.config.guard else "literal"

    def start(self) -> State:
        """The state before the first sample."""
        return State()

    def decide(self, state: State, sample: Sample, now: float) -> tuple[State, tuple[Action, ...]]:
        """Judge one sample."""
        return policy.decide(self.config, state, sample, now)

    def completed(self, state: State, now: float) -> State:
        """The move that was decided has been carried out."""
        return policy.completed(self.config, state, now)

    def quiet(self, state: State, sample: Sample, now: float) -> Quiet:
        """Which of the samples to come change nothing."""
        return policy.quiet(self.config, state, sample, now)

    def band(self, cpu: float) -> Band:
        """The range around `cpu` that it must keep to for something to be decided."""
        return policy.band(self.config, cpu)

    def coast(self, state: State, last_at: float, peak: float) -> State:
        """Account for samples that were left out because of `quiet`."""
        return policy.coast(self.config, state, last_at, peak)

    def reset(self, state: State, last_at: float) -> State:
        """Account for samples that were left out because of `band`."""
        return policy.reset(state, last_at)


@dataclass(frozen=True, slots=True)
class HpaState:
    """Recommendations within the stabilization window, and what goes on."""

    next_sync: float = 0.0
    looked_at: float = -math.inf
    wanted: tuple[tuple[float, int], ...] = ()
    replicas: int = 1
    moving_to: int | None = None


@dataclass(frozen=True)
class HpaRule:
    """Kubernetes' HorizontalPodAutoscaler with its defaults, this machine and one VM as replicas.

    ``desired = ceil(replicas * utilization / target)``, nothing within a tolerance of 10 %, one
    look every 15 s, scale-in only to the maximum wanted within 300 s, at once outwards
    (kubernetes.io/docs/tasks/run-application/horizontal-pod-autoscale). Two replicas hold what
    can move on the VM; utilization is the mean over both, a VM counted as large as this machine.
    """

    target: float
    name: str = "hpa"
    sync_period: float = 15.0
    tolerance: float = 0.1
    stabilization: float = 300.0

    def start(self) -> HpaState:
        """The state before the first sample."""
        return HpaState()

    def decide(
        self, state: HpaState, sample: Sample, now: float
    ) -> tuple[HpaState, tuple[Action, ...]]:
        """Judge one sample, if a look is due."""
        if now < state.next_sync:
            return state, (Hold("the next look is not due"),)
        wanted = self._wanted(state.replicas, sample)
        # A look counts from the time at which it was due, whichever sample came to it first.
        next_sync = self._after(now)
        due = next_sync - self.sync_period
        window = (*state.wanted, (due, wanted))
        while window[0][0] <= due - self.stabilization:
            window = window[1:]
        state = replace(state, next_sync=next_sync, looked_at=now, wanted=window)
        if state.moving_to is not None:
            return state, (Hold("a move is under way"),)
        reason = f"{wanted} replica(s) wanted at {sample.cpu:.1f} % with {state.replicas}"
        if wanted > state.replicas:
            tasks = tuple(t.name for t in sample.tasks if t.movable and t.place == LOCAL)
            if tasks:
                return replace(state, moving_to=2), (ScaleOut(tasks, reason),)
        elif max(w for _, w in window) < state.replicas:
            tasks = tuple(t.name for t in sample.tasks if t.place != LOCAL)
            return replace(state, moving_to=1), (ScaleIn(tasks, reason),)
        return state, (Hold(reason),)

    def completed(self, state: HpaState, now: float) -> HpaState:  # noqa: ARG002 - the interface's
        """The move that was decided has been carried out."""
        return replace(state, replicas=state.moving_to or state.replicas, moving_to=None)

    def quiet(self, state: HpaState, sample: Sample, now: float) -> Quiet:
        """Nothing changes before the next look, nor while it would find the same again."""
        same = all(wanted == state.replicas for _, wanted in state.wanted)
        if same and state.moving_to is None and state.looked_at == now:
            return Quiet(math.inf, sample.cpu, sample.cpu)
        return Quiet(state.next_sync, -math.inf, math.inf)

    def coast(self, state: HpaState, last_at: float, peak: float) -> HpaState:  # noqa: ARG002
        """Samples between looks are not seen; looks that were left out found the same again."""
        if last_at < state.next_sync:
            return state
        next_sync = self._after(last_at)
        last_look = next_sync - self.sync_period
        window = ((last_look, state.replicas),)
        return replace(state, next_sync=next_sync, wanted=window)

    def band(self, cpu: float) -> Band:  # noqa: ARG002
        """A look judges whatever it finds."""
        return Band(-math.inf, math.inf, 0.0)

    def reset(self, state: HpaState, last_at: float) -> HpaState:  # noqa: ARG002
        """Samples between looks are not seen."""
        return state

    def _after(self, now: float) -> float:
        return (math.floor(now / self.sync_period) + 1) * self.sync_period

    def _wanted(self, replicas: int, sample: Sample) -> int:
        away = sum(100.0 * (t.cpu or 0.0) / sample.cores for t in sample.tasks if t.place != LOCAL)
        ratio = (sample.cpu + away) / replicas / self.target
        if abs(ratio - 1.0) <= self.tolerance:
            return replicas
        return min(2, max(1, math.ceil(replicas * ratio)))
