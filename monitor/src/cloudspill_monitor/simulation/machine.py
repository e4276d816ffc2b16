# SPDX-License-Identifier: GPL-3.0-or-later
"""The task model: what the machine would measure for a value of the trace and a placement."""

from __future__ import annotations

from dataclasses import dataclass

from cloudspill_monitor.policy_types import LOCAL, SATURATED, Sample, TaskLoad

VM = "vm"
"""Where a task is that is not at home."""


@dataclass(frozen=True, slots=True)
class ModelTask:
    """A task that demands `share` of the trace's value plus `demand` percent of the machine."""

    name: str
    movable: bool
    share: float = 0.0
    demand: float = 0.0

    def percent(self, value: float) -> float:
        """Demand in percent of the machine while the trace stands at `value`."""
        return self.share * value + self.demand


@dataclass(frozen=True, slots=True)
class Machine:
    """A machine of `cores` with these tasks; what no task has a share in stays at home.

    A VM is taken to be large enough. At home, demand beyond 100 % is cut in proportion. Raises
    ValueError when the shares add up to more than the trace.
    """

    cores: int
    tasks: tuple[ModelTask, ...]

    def __post_init__(self) -> None:
        if sum(task.share for task in self.tasks) > 1 + 1e-9:
            raise ValueError("the tasks' shares add up to more than the trace")
        if self.cores < 1:
            raise ValueError(f"a machine has at least one core, not {self.cores}")

    def line(self, away: frozenset[str]) -> tuple[float, float]:
        """Factor and offset that make the demand at home (percent) out of the trace's value."""
        factor = 1.0 - sum(t.share for t in self.tasks if t.name in away)
        return factor, sum(t.demand for t in self.tasks if t.name not in away)

    def sample(self, value: float, away: frozenset[str]) -> Sample:
        """What the monitor would measure while the trace stands at `value`."""
        factor, offset = self.line(away)
        demand = value * factor + offset
        got = min(1.0, 100.0 / demand) if demand > 0 else 1.0
        cpu = clip(demand)
        return Sample(
            cpu, self.cores, tuple(self._load(t, value, away, got, cpu) for t in self.tasks)
        )

    def _load(
        self, task: ModelTask, value: float, away: frozenset[str], got: float, cpu: float
    ) -> TaskLoad:
        cores = task.percent(value) / 100.0 * self.cores
        if task.name in away:
            return TaskLoad(task.name, VM, task.movable, cores, ceiling=max(1.0, cores))
        return TaskLoad(
            task.name,
            LOCAL,
            task.movable,
            cores * got,
            ceiling=max(1.0, cores),
            lower_bound=cpu >= SATURATED,
        )


def clip(demand: float) -> float:
    """CPU in use when `demand` percent of a machine is asked for."""
    return 100.0 if demand > 100.0 else demand if demand > 0.0 else 0.0


def classic_tasks(
    count: int = 4, movable: int = 2, share: float = 1.0, demand: float = 0.0
) -> tuple[ModelTask, ...]:
    """The forerunner's tasks: `count` equal ones, of which the last `movable` may move."""
    return tuple(
        ModelTask(f"Task {n}", n > count - movable, share / count, demand)
        for n in range(1, count + 1)
    )
