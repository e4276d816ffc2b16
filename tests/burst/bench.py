# SPDX-License-Identifier: GPL-3.0-or-later
"""A whole burst in one folder, without root and without a cloud: monitor, VMs, tasks, auditor.

The monitor is the product's program, the keepers are the product's; between them are scripts for
the playbooks, a wire that can be cut, and processes for VMs.
"""

from __future__ import annotations

import os
import shutil
import signal
import sqlite3
import subprocess
import sys
import tarfile
import tempfile
import time
from collections.abc import Callable
from contextlib import closing, suppress
from pathlib import Path
from typing import Any

import yaml

from cloudspill_monitor import control, procfs
from tests.burst import intervals

HERE = Path(__file__).parent
PATIENCE = 60.0  # seconds; what is waited for takes one or two on an idle machine
_POLL = 0.05
_MARK = "BENCH"
MARGIN = 1.0


class Bench:
    """`mover` goes to VMs and home as the CPU is staged; `stayer` never moves."""

    def __init__(self, folder: Path, **burst: Any) -> None:
        self.folder = folder
        self.cloud = Path(tempfile.mkdtemp(prefix="burst-"))  # short: sockets are in it
        self.state = folder / "state"
        self.intervals = folder / "intervals"
        self.cpu = folder / "cpu"
        self.steps = folder / "steps"
        self.intervals.mkdir()
        self.movers = tuple(burst.pop("movers", ("mover",)))
        self._burst, self._mover = burst, dict(burst.pop("mover", {}))
        self.write_config()
        self.load(10)
        self._monitor: subprocess.Popen[bytes] | None = None
        self.deaths = 0

    # The operator's doings

    def load(self, percent: int) -> None:
        """What the machine's CPU shall be taken for."""
        self.cpu.write_text(str(percent))

    def start(self, kill_at: str | None = None) -> None:
        """Start the monitor; an earlier one has ended."""
        if self._monitor is not None:
            self._monitor.wait()
        environment = {
            **os.environ,
            _MARK: str(self.folder),
            "BURST_CPU_FILE": str(self.cpu),
            "BURST_STEPS_FILE": str(self.steps),
            "BURST_SCRIPTS": "yes",
            "BURST_WALL_STEP_FILE": str(self.folder / "wall-step"),
            "PYTHONPATH": f"{HERE.parents[1]}{os.pathsep}{os.environ.get('PYTHONPATH', '')}",
        }
        if kill_at is not None:
            environment["BURST_KILL_AT"] = kill_at
        words = [sys.executable, "-m", "tests.burst.program", "run", str(self.config), "--plain"]
        with (self.folder / "monitor.log").open("ab") as log:
            self._monitor = subprocess.Popen(
                words, env=environment, stdout=log, stderr=log, start_new_session=True
            )

    def signal(self, number: signal.Signals) -> None:
        """Send the monitor a signal."""
        assert self._monitor is not None
        self._monitor.send_signal(number)

    def ask(self, **request: Any) -> dict[str, Any]:
        """Ask the monitor."""
        return control.ask(self.state, request)

    def kill(self) -> None:
        """End the monitor without a word."""
        assert self._monitor is not None
        self._monitor.kill()
        self._monitor.wait()
        self.deaths += 1

    def end_for_good(self) -> None:
        """End the monitor without a word, and start no other."""
        self.kill()
        self._monitor = None

    def stop(self) -> None:
        """Ask the monitor to end, and see that it has ended everything."""
        self.until(self.asked_to_stop)
        self.until(lambda: not self.processes())

    def asked_to_stop(self, status: int = 0) -> bool:
        """Ask the monitor to end, once; whether it has, with that exit status."""
        assert self._monitor is not None
        if not getattr(self._monitor, "asked", False) and self._answers():
            self._monitor.send_signal(signal.SIGTERM)
            self._monitor.asked = True  # type: ignore[attr-defined]
        return self._monitor.poll() == status

    def hold(self, point: str) -> None:
        """Let the playbook wait at a point, and wait until it does."""
        (self.cloud / f"at-{point}").unlink(missing_ok=True)
        (self.cloud / f"hold-{point}").touch()

    def reached(self, point: str) -> bool:
        """Whether a playbook has come to the point."""
        return (self.cloud / f"at-{point}").exists()

    def let_go(self, point: str) -> None:
        """Let the playbook go on."""
        (self.cloud / f"hold-{point}").unlink()

    def kill_playbook(self) -> None:
        """End the playbook without a word."""
        for words in self.processes():
            if "play.py" in words:
                os.kill(int(words.split()[0]), signal.SIGKILL)

    def fate(self, name: str, vm: str | None = None) -> Path:
        """A file of a VM (of the only one) that directs it; see `guest.py`."""
        return self.cloud / (vm or self.vms()[0]) / name

    def checkpointed(self, task: str = "mover") -> int:
        """The counter in the checkpoint that waits at home; 0 when there is none."""
        path = self.state / "checkpoints" / f"{task}.tar"
        with suppress(OSError, tarfile.TarError, KeyError), tarfile.open(path) as archive:
            file = archive.extractfile("progress")
            return int(file.read()) if file is not None else 0
        return 0

    # What is waited for

    def until(self, condition: Callable[[], object]) -> None:
        """Wait for a condition; a monitor that was killed meanwhile is started again."""
        deadline = time.monotonic() + PATIENCE
        while not condition():
            if time.monotonic() > deadline:
                self._let_monitor_tell()
                raise AssertionError(self.told())
            self._revive()
            time.sleep(_POLL)

    def _let_monitor_tell(self) -> None:
        if self._monitor is not None and self._monitor.poll() is None:
            self._monitor.send_signal(signal.SIGUSR1)
            time.sleep(1.0)  # for a test that fails anyway

    def _revive(self) -> None:
        if self._monitor is not None and self._monitor.poll() == -signal.SIGKILL:
            self.deaths += 1
            self.start()

    def at_home(self) -> bool:
        """Whether every task runs here, as the monitor and the tasks themselves say."""
        return self._placed(dict.fromkeys((*self.movers, "stayer"), "local"))

    def away(self) -> bool:
        """Whether the movers run at VMs."""
        places = self.places()
        return all(places.get(task, "local") != "local" for task in self.movers) and self._placed(
            {task: places[task] for task in self.movers} | {"stayer": "local"}
        )

    def _placed(self, places: dict[str, str]) -> bool:
        if self.places() != places or not self._answers():
            return False
        running = self.running()
        return all(
            [self.place_of(one) for one in running if one.task == task] == [place]
            for task, place in places.items()
        )

    def places(self) -> dict[str, str]:
        """Where each task's live run is, by the journal; unconfirmed ones are nowhere."""
        return {
            task: place
            for task, place, confirmed in self.rows(
                "SELECT task, place, confirmed FROM runs WHERE ended_wall IS NULL"
            )
            if confirmed
        }

    def rows(self, query: str) -> list[tuple[Any, ...]]:
        """What the journal holds."""
        path = self.state / "journal.db"
        if not path.exists():
            return []
        with suppress(sqlite3.OperationalError), closing(sqlite3.connect(path)) as db:
            return db.execute(query).fetchall()
        return []

    def _answers(self) -> bool:
        with suppress(control.ControlError, OSError):
            return bool(control.ask(self.state, {"do": "status"}))
        return False

    def until_gone(self) -> None:
        """Wait until no VM exists, whatever the monitor does."""
        deadline = time.monotonic() + PATIENCE
        while self.vms():
            assert time.monotonic() < deadline, self.told()
            time.sleep(_POLL)

    def status_of(self, task: str) -> dict[str, Any]:
        """The task as `status` shows it; empty while there is none."""
        with suppress(control.ControlError, OSError):
            tasks = control.ask(self.state, {"do": "status"})["tasks"]
            return next(one for one in tasks if one["name"] == task)
        return {"phase": ""}

    def failure(self) -> dict[str, Any]:
        """The last failure as `status` shows it; empty when there is none."""
        with suppress(control.ControlError, OSError):
            return control.ask(self.state, {"do": "status"}).get("failure") or {}
        return {}

    def running(self) -> list[intervals.Interval]:
        """The intervals of processes that run now."""
        live = {
            path.name
            for path in self.intervals.iterdir()
            if procfs.live([pid := int(path.name.split(".")[2])]) and self._is_ours(pid)
        }
        return intervals.read(self.intervals, live)

    def place_of(self, one: intervals.Interval) -> str:
        """The VM whose folder the interval was spent in, or local."""
        path = Path(one.place)
        if path.is_relative_to(self.cloud):
            return path.relative_to(self.cloud).parts[0]
        return "local"

    def vms(self) -> list[str]:
        """The VMs that exist."""
        return [path.parent.name for path in self.cloud.glob("*/guest.pid") if _alive(path)]

    # What must be so

    def audit(self, safe: dict[str, int] | None = None) -> list[intervals.Interval]:
        """No task ran twice at a time, none lost what was safe; returns the intervals."""
        found = intervals.read(self.intervals)
        assert {one.task for one in found} == {*self.movers, "stayer"}
        faults = intervals.faults(found, safe)
        assert faults == [], "\n".join([*faults, self.told()])
        return found

    def processes(self) -> list[str]:
        """Everything of this bench that runs."""
        found = []
        for entry in Path("/proc").iterdir():
            if entry.name.isdigit() and self._is_ours(int(entry.name)):
                found += [
                    f"{stat.pid} {procfs.command_line(stat.pid)!r}"
                    for stat in procfs.live([int(entry.name)])
                ]
        return found

    def _is_ours(self, pid: int) -> bool:
        return procfs.environment_value(pid, _MARK) == str(self.folder)

    def told(self) -> str:
        """What the monitor and the keepers said, for a test that fails."""
        logs = [self.folder / "monitor.log", *self.cloud.glob("*/keeper.log")]
        said = [f"== {path.parent.name}/{path.name}\n{_tail(path)}" for path in logs]
        state = [str(row) for row in self.rows("SELECT * FROM runs")]
        state += [str(row) for row in self.rows("SELECT * FROM moves")]
        state += [str(row) for row in self.rows("SELECT * FROM vms")]
        return "\n".join([*said, "== journal", *state, "== processes", *self.processes()])

    def close(self) -> None:
        """End whatever is left."""
        if self._monitor is not None:
            self._monitor.kill()
            self._monitor.wait()
        while left := self.processes():
            for words in left:
                with suppress(ProcessLookupError):
                    os.kill(int(words.split()[0]), signal.SIGKILL)
            time.sleep(_POLL)
        shutil.rmtree(self.cloud)

    def write_config(self, *, without: tuple[str, ...] = ()) -> None:
        """Write the monitor's configuration; `without` has tasks that it does not know."""
        task = {
            "command": [str(HERE / "interval_task.py"), str(self.intervals)],
            "checkpoint_paths": ["progress"],
            "checkpoint_interval": 0.3,
            "env": {_MARK: str(self.folder), **self._mover.pop("env", {})},
            "restart": "always",
            "stop_grace": 5,
        }
        tasks = []
        for name in (*self.movers, "stayer"):
            (self.folder / name).mkdir(exist_ok=True)
            own = {"movable": False} if name == "stayer" else self._mover
            tasks.append({"name": name, "cwd": str(self.folder / name), **task, **own})
        tasks = [task for task in tasks if task["name"] not in without]
        self.config = self.folder / "monitor.yml"
        self.config.write_text(
            yaml.safe_dump(
                {
                    "interval": 0.1,
                    "high_duration": 0.1,
                    "low_duration": 0.1,
                    "guard": False,
                    "min_dwell": 0,
                    "retry_backoff": 0.2,
                    "max_backoff": 0.4,
                    "state_dir": str(self.state),
                    "tasks": tasks,
                    "burst": {
                        "inventory": str(self.cloud),
                        "lease": 20,  # a busy machine takes seconds to start a monitor again
                        "lease_margin": MARGIN,
                        "playbook_timeout": 20,
                        "idle_timeout": 600,
                        **self._burst,
                    },
                }
            )
        )


def now() -> float:
    """CLOCK_BOOTTIME."""
    return time.clock_gettime(time.CLOCK_BOOTTIME)


def _alive(path: Path) -> bool:
    with suppress(OSError, ValueError):
        return bool(procfs.live([int(path.read_text())]))
    return False


def _tail(path: Path) -> str:
    return path.read_text(errors="replace")[-6000:] if path.exists() else "(nothing)"
