# SPDX-License-Identifier: GPL-3.0-or-later
"""`simulate`: three rules on one trace, as a table, JSON or a picture."""

from __future__ import annotations

import os
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, TextIO

from cloudspill_monitor.config import BurstConfig, MonitorConfig
from cloudspill_monitor.config_file import ConfigError, load
from cloudspill_monitor.policy_types import PolicyConfig
from cloudspill_monitor.simulation.machine import Machine, ModelTask, classic_tasks
from cloudspill_monitor.simulation.replay import Cloud, Replay, replay
from cloudspill_monitor.simulation.rules import HpaRule, ThresholdRule
from cloudspill_monitor.simulation.trace import Trace, TraceError, read_trace

_PICTURES = (".png", ".svg")


class SimulationError(Exception):
    """The simulation cannot be run; the message says why."""


@dataclass(frozen=True, slots=True)
class Load:
    """The task model: see `simulate --help`."""

    cores: int
    share: float
    demand: float
    boot_seconds: float


@dataclass(frozen=True, slots=True)
class Comparison:
    """What each rule made of `trace`."""

    trace: Trace
    machine: Machine
    policy: PolicyConfig
    replays: tuple[Replay, ...]

    def as_json(self) -> dict[str, Any]:
        """For `--output json`."""
        return {
            "trace": self.trace.name,
            "seconds": self.trace.seconds,
            "row_seconds": self.trace.row_seconds,
            "irregular_rows": self.trace.irregular,
            "threshold_high": self.policy.threshold_high,
            "threshold_low": self.policy.threshold_low,
            "rules": [
                {
                    "rule": result.rule,
                    "moves": [asdict(move) for move in result.moves],
                    "seconds_above": result.seconds_above,
                    "vms": len(result.vm_lives),
                    "vm_seconds": result.vm_seconds,
                    "cost_usd": result.cost,
                }
                for result in self.replays
            ],
        }

    def print(self, out: TextIO) -> None:
        """The table."""
        trace = self.trace
        hours = trace.seconds / 3600.0
        out.write(
            f"{trace.name}: {len(trace.values)} rows of {trace.row_seconds:g} s, {hours:.1f} h; "
            f"thresholds {self.policy.threshold_low:g} and {self.policy.threshold_high:g} %\n"
        )
        if trace.irregular:
            out.write(f"note: {trace.irregular} time stamps are uneven; rows are taken as even\n")
        out.write(f"{'':<24}" + "".join(f"{r.rule:>12}" for r in self.replays) + "\n")
        above = f"s above {self.policy.threshold_high:g} %"
        for heading, cells in (
            ("moves out", [f"{_count(r, 'out')}" for r in self.replays]),
            ("moves home", [f"{_count(r, 'in')}" for r in self.replays]),
            (above, [f"{r.seconds_above:.0f}" for r in self.replays]),
            ("VMs made", [f"{len(r.vm_lives)}" for r in self.replays]),
            ("VM seconds", [f"{r.vm_seconds:.0f}" for r in self.replays]),
            ("cost, USD", [f"{r.cost:.4f}" for r in self.replays]),
        ):
            out.write(f"{heading:<24}" + "".join(f"{cell:>12}" for cell in cells) + "\n")

    def draw(self, path: Path) -> None:
        """The picture. Raises SimulationError when it cannot be drawn."""
        try:
            from cloudspill_monitor.simulation import plot
        except ImportError as error:
            raise SimulationError(
                f"--plot: {error}; install cloudspill-monitor[plot] for plots"
            ) from error
        try:
            plot.draw(self, path)
        except OSError as error:
            raise SimulationError(f"--plot {path}: {error.strerror}") from error


def check_plot(path: Path) -> None:
    """Refuse a picture that `Comparison.draw` could not write. Raises SimulationError.

    Meant for before the replay, which may take long.
    """
    if path.suffix.lower() not in _PICTURES:
        raise SimulationError(f"--plot {path}: must end in {' or '.join(_PICTURES)}")
    if path.is_dir():
        raise SimulationError(f"--plot {path}: is a directory")
    if not path.parent.is_dir():
        raise SimulationError(f"--plot {path}: there is no directory {path.parent}")
    if not os.access(path if path.exists() else path.parent, os.W_OK):
        raise SimulationError(f"--plot {path}: cannot be written by this account")


def simulate(
    trace_path: Path,
    config_path: Path | None,
    row_seconds: float | None,
    column: str | None,
    load_model: Load,
) -> Comparison:
    """Replay the trace under the literal, the guarded and HPA's rule. Raises SimulationError."""
    try:
        config = load(config_path) if config_path is not None else None
        trace = read_trace(trace_path, column, row_seconds)
    except (ConfigError, TraceError) as error:
        raise SimulationError(str(error)) from error
    guarded = _policy(config, guard=True)
    burst = config.burst if config else BurstConfig()
    machine = Machine(load_model.cores, _tasks(config, load_model))
    cloud = Cloud(
        boot_seconds=load_model.boot_seconds,
        idle_timeout=burst.idle_timeout,
        price_per_hour=burst.price_per_hour,
    )
    high, interval = guarded.threshold_high, guarded.interval
    replays = (
        *(
            replay(trace, ThresholdRule(rule), machine, cloud, threshold=high, interval=interval)
            for rule in (_policy(config, guard=False), guarded)
        ),
        replay(trace, HpaRule(high), machine, cloud, threshold=high, interval=interval),
    )
    return Comparison(trace, machine, guarded, replays)


def _policy(config: MonitorConfig | None, *, guard: bool) -> PolicyConfig:
    if config is None:
        return PolicyConfig(guard=guard)
    return config.model_copy(update={"guard": guard}).policy()


def _tasks(config: MonitorConfig | None, load_model: Load) -> tuple[ModelTask, ...]:
    if config is None:
        return classic_tasks(share=load_model.share, demand=load_model.demand)
    share = load_model.share / len(config.tasks)
    return tuple(
        ModelTask(task.name, task.movable, share, load_model.demand) for task in config.tasks
    )


def _count(result: Replay, direction: str) -> int:
    return sum(move.direction == direction for move in result.moves)
