# SPDX-License-Identifier: GPL-3.0-or-later
"""The monitor's figures: moves under steady load, time to decide, speed of a replay, idle cost.

python bench/monitor.py [--idle-seconds 60] [--json FILE]
"""

from __future__ import annotations

import argparse
import json
import statistics
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from cloudspill_monitor.policy import decide
from cloudspill_monitor.policy_types import PolicyConfig, Sample, ScaleOut, State, TaskLoad
from cloudspill_monitor.simulation.machine import Machine, classic_tasks
from cloudspill_monitor.simulation.replay import Cloud, Replay, replay
from cloudspill_monitor.simulation.rules import HpaRule, Rule, ThresholdRule
from cloudspill_monitor.simulation.trace import Trace, read_trace

_TRACES = Path(__file__).with_name("traces")
_PHASES = 200


def main() -> None:
    """Measure, print a table, write JSON."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--idle-seconds", type=float, default=60.0, help="0 leaves it out")
    parser.add_argument("--json", type=Path, help="write the figures here")
    arguments = parser.parse_args()
    figures: dict[str, Any] = {
        "steady overload, 10 min": steady(),
        "time to decide": time_to_decide(),
        "replay": list(replays()),
    }
    if arguments.idle_seconds:
        print(f"measuring the idle cost for {arguments.idle_seconds:g} s ...", flush=True)
        figures["idle at 1 Hz"] = idle(arguments.idle_seconds)
    for heading, figure in figures.items():
        print(f"{heading}:")
        for row in figure if isinstance(figure, list) else [figure]:
            print("   ", ", ".join(f"{key} {value}" for key, value in row.items()))
    if arguments.json:
        arguments.json.write_text(json.dumps(figures, indent=2) + "\n")


def idle(seconds: float) -> Any:
    """What the monitor costs while nothing happens."""
    program = Path(__file__).with_name("monitor_idle.py")
    command = [sys.executable, str(program), "--seconds", str(seconds)]
    return json.loads(subprocess.run(command, capture_output=True, check=True).stdout)


def steady() -> dict[str, int]:
    """Moves in ten minutes of a machine whose four tasks want all of it."""
    trace = Trace("steady", (100.0,), 600.0)
    return {
        f"moves, {rule.name}": len(_replay(trace, rule).moves)
        for rule in (ThresholdRule(PolicyConfig(guard=False)), ThresholdRule(PolicyConfig()))
    }


def time_to_decide() -> dict[str, float]:
    """Seconds from the instant the load has been there for 10 s to the decision.

    The load goes from nothing to all at each of many phases of the sampling. The older monitor is
    modelled as it is written: it measures for a second, then sleeps for CHECK_INTERVAL.
    """
    onsets = [index / _PHASES * 2.0 for index in range(_PHASES)]
    ours = [_decided(onset, _every_second()) - onset - 10.0 for onset in onsets]
    theirs = [_decided(onset, _measure_then_sleep()) - onset - 10.0 for onset in onsets]
    return {
        "monitor, median s": round(statistics.median(ours), 2),
        "monitor, worst s": round(max(ours), 2),
        "monitor, after the rule is true by its samples s": _after_the_rule_is_true(),
        "older monitor, median s": round(statistics.median(theirs), 2),
        "older monitor, worst s": round(max(theirs), 2),
    }


def _every_second() -> Iterator[tuple[float, float]]:
    return ((float(n), float(n + 1)) for n in range(100))


def _measure_then_sleep() -> Iterator[tuple[float, float]]:
    return ((2.0 * n, 2.0 * n + 1.0) for n in range(100))


def _decided(onset: float, windows: Iterator[tuple[float, float]]) -> float:
    """When the rule fires, with samples that are means over `windows` of a load from `onset` on."""
    config, state = PolicyConfig(interval=2.0), State()
    for start, end in windows:
        cpu = 100.0 * max(0.0, min(1.0, (end - onset) / (end - start)))
        state, actions = decide(config, state, Sample(cpu, 4, (TaskLoad("t"),)), end)
        if isinstance(actions[-1], ScaleOut):
            return end
    raise AssertionError("the rule never fired")


def _after_the_rule_is_true() -> float:
    config, state = PolicyConfig(), State()
    for second in range(100):
        state, actions = decide(config, state, Sample(90.0, 4, (TaskLoad("t"),)), float(second))
        if isinstance(actions[-1], ScaleOut):
            return second - config.high_duration
    raise AssertionError("the rule never fired")


def replays() -> Iterator[dict[str, Any]]:
    """Each trace under each rule, and the CPU seconds that 100 simulated hours of it take."""
    for path in sorted(_TRACES.glob("*.csv")):
        trace = read_trace(path)
        whole = 0.0
        rules: tuple[Rule[Any], ...] = (
            ThresholdRule(PolicyConfig(guard=False)),
            ThresholdRule(PolicyConfig()),
            HpaRule(PolicyConfig().threshold_high),
        )
        for rule in rules:
            start = time.process_time()
            result = _replay(trace, rule)
            took = time.process_time() - start
            whole += took
            yield {
                "trace": trace.name,
                "rule": rule.name,
                "moves out": sum(move.direction == "out" for move in result.moves),
                "moves home": sum(move.direction == "in" for move in result.moves),
                "s above": round(result.seconds_above),
                "VM s": round(result.vm_seconds),
                "USD": round(result.cost, 4),
            }
        per_100_hours = whole * 360000.0 / trace.seconds
        yield {"trace": trace.name, "100 h, all three rules, s": round(per_100_hours, 3)}


def _replay(trace: Trace, rule: Rule[Any]) -> Replay:
    machine = Machine(4, classic_tasks())
    return replay(trace, rule, machine, Cloud(), threshold=PolicyConfig().threshold_high)


if __name__ == "__main__":
    main()
