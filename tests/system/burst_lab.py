# SPDX-License-Identifier: GPL-3.0-or-later
"""A monitor with tasks of its own on a real sandbox: started, told its CPU, watched, killed."""

from __future__ import annotations

import json
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import yaml

from tests.burst import intervals
from tests.burst.intervals import Interval
from tests.system.sandbox import ROOT, Sandbox, eventually

TASK = ROOT / "tests" / "burst" / "interval_task.py"
PROGRAM = (sys.executable, "-m", "tests.burst.program", "run", "--plain", "--every", "1")
VM_DISKS = "v/*/u"
BUSY, QUIET = 95, 20  # percent, as the monitor is told

Document = dict[str, Any]


class BurstLab:
    """One state directory and its tasks, and the monitors that run on it one after another.

    Args:
        sandbox: where its VMs are.
        folder: of its tasks, configuration and state.
    """

    def __init__(self, sandbox: Sandbox, folder: Path) -> None:
        self.sandbox = sandbox
        self.folder = folder
        self.lines: list[str] = []
        self.process: subprocess.Popen[str] | None = None
        self._reader: threading.Thread | None = None
        self._cpu = folder / "cpu"
        self.cpu(QUIET)
        self._intervals = folder / "intervals"
        self._intervals.mkdir()
        # The same path here and on every VM, which keeps it when the task's own files are gone.
        self._told = Path(tempfile.mkdtemp(prefix="burst-", dir="/var/tmp"))
        self._over = threading.Event()
        self._collector = threading.Thread(target=self._collect)
        self._collector.start()

    def inventory(self, group_vars: Document, **options: Any) -> Path:
        """An inventory of the sandbox's instances with variables and options of its own."""
        folder = self.folder / "inventory"
        shutil.copytree(ROOT / "inventory" / "sandbox", folder, dirs_exist_ok=True)
        (folder / "group_vars" / "burst_vms.yml").unlink(missing_ok=True)
        path = folder / "cloud.gce.yml"
        path.write_text(yaml.safe_dump({**yaml.safe_load(path.read_text()), **options}))
        (folder / "group_vars" / "all").mkdir(exist_ok=True)
        for name in folder.glob("group_vars/all.y*ml"):
            name.rename(folder / "group_vars" / "all" / "sandbox.yml")
        (folder / "group_vars" / "all" / "lab.yml").write_text(yaml.safe_dump(group_vars))
        return folder

    def configure(self, *, tasks: int = 4, burst: Document | None = None, **keys: Any) -> None:
        """Write the configuration: the classic tasks, durations of 1 s."""
        self.document = {
            "state_dir": str(self.folder / "state"),
            "interval": 0.25,
            "high_duration": 1,
            "low_duration": 1,
            "min_dwell": 1,
            "backoff_window": 0,  # tests send tasks out again at once, on purpose
            "retry_backoff": 2,
            "tasks": [self._task(number, tasks) for number in range(1, tasks + 1)],
            **keys,
            "burst": {
                "inventory": str(ROOT / "inventory" / "sandbox"),
                "service_account": "",
                "lease": 20,
                "lease_margin": 3,
                **(burst or {}),
            },
        }
        (self.folder / "monitor.yml").write_text(yaml.safe_dump(self.document))

    def reload(self, **burst: Any) -> None:
        """Change the section `burst`, and have the running monitor read it again."""
        self.document["burst"].update(burst)
        (self.folder / "monitor.yml").write_text(yaml.safe_dump(self.document))
        since = len(self.lines)
        assert self.process is not None
        self.process.send_signal(signal.SIGHUP)
        self.says("was read again", 20, since)

    def _task(self, number: int, tasks: int) -> Document:
        cwd = self.folder / f"task-{number}"
        cwd.mkdir(exist_ok=True)
        shutil.copyfile(TASK, cwd / TASK.name)
        return {
            "name": f"Task {number}",
            "command": ["python3", "-IS", TASK.name, str(self._told)],
            "cwd": str(cwd),
            "movable": number > tasks // 2,
            "files": [TASK.name],
            "checkpoint_paths": ["progress"],
            "checkpoint_interval": 2,
            "stop_grace": 4,
        }

    def cpu(self, percent: int) -> None:
        """What the monitor shall take for the machine's CPU from now on."""
        fresh = self._cpu.with_suffix(".new")
        fresh.write_text(str(percent))
        fresh.replace(self._cpu)

    def start(self, **environment: str) -> None:
        """Start the monitor; what it says comes to `lines`."""
        assert self.process is None
        self.process = subprocess.Popen(
            [*PROGRAM, str(self.folder / "monitor.yml")],
            cwd=ROOT,
            env=self.sandbox.base
            | {"BURST_CPU_FILE": str(self._cpu), "PYTHONPATH": str(ROOT)}
            | environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        self._reader = threading.Thread(target=self._read, args=(self.process,))
        self._reader.start()

    def _read(self, process: subprocess.Popen[str]) -> None:
        assert process.stdout is not None
        for line in process.stdout:
            self.lines.append(line.rstrip("\n"))

    def spill(self) -> str:
        """Let the load rise until tasks 3 and 4 are away; their (only) VM."""
        since = len(self.lines)
        self.cpu(BUSY)
        found = [self.says(rf"Task {n} runs on ([\w-]+)", 90, since)[1] for n in (3, 4)]
        assert found[0] == found[1]
        return found[0]

    def return_home(self) -> None:
        """Let the load fall until tasks 3 and 4 run here again."""
        since = len(self.lines)
        self.cpu(QUIET)
        self.all_say([r"Task 3 started as process", r"Task 4 started as process"], 90, since)

    def fault(self, *words: str) -> str:
        """Arm a fault of the sandbox's; its id."""
        return self.sandbox.cli("faults", "add", *words).stdout.strip()

    def says(self, pattern: str, within: float = 60.0, since: int = 0) -> re.Match[str]:
        """Wait for a line; its match. `since` is how many lines there were before.

        Raises:
            AssertionError: no such line came.
        """
        found: list[re.Match[str]] = []

        def look() -> bool:
            matches = (re.search(pattern, line) for line in self.lines[since:])
            found[:] = [match for match in matches if match]
            ended = self.process is None or self.process.poll() is not None
            assert found or not ended, f"the monitor ended without {pattern!r}:\n{self.tail()}"
            return bool(found)

        try:
            eventually(look, within, f"a line like {pattern!r}")
        except AssertionError as error:
            raise AssertionError(f"{error}\n{self.tail()}") from error
        return found[0]

    def all_say(self, patterns: list[str], within: float = 60.0, since: int = 0) -> None:
        """Wait for each of these lines."""
        for pattern in patterns:
            self.says(pattern, within, since)

    def tail(self, count: int = 60) -> str:
        """The last lines that say something new."""
        routine = re.compile(r"\S+ (cpu [\d.]+ % mem|\[.*\] Task \d \d+$)")
        return "\n".join([line for line in self.lines if not routine.match(line)][-count:])

    def status(self) -> Document:
        """`cloudspill-monitor status`."""
        done = self.sandbox.run(
            *("cloudspill-monitor", "status", "--output", "json"),
            str(self.folder / "monitor.yml"),
            check=False,
        )
        document: Document = json.loads(done.stdout)
        return document

    def command(self, *words: str, check: bool = True) -> subprocess.CompletedProcess[str]:
        """A command of the monitor's program on this configuration."""
        return self.sandbox.run(
            "cloudspill-monitor", *words, str(self.folder / "monitor.yml"), check=check
        )

    def places(self) -> dict[str, str]:
        """Where each task is, as the running monitor says."""
        return {task["name"]: task["place"] for task in self.status()["tasks"]}

    def machines(self) -> list[str]:
        """The names of all instances that exist, by Google's own client."""
        return self.sandbox.resources()["instances"]

    def intervals(self) -> list[Interval]:
        """When and where each task ran, by what its processes wrote down here and on every VM."""
        self._gather()
        return intervals.read(self._intervals)

    def audit(self, safe: dict[str, int] | None = None) -> list[Interval]:
        """The intervals, which overlap nowhere and lose nothing that was safe (`safe`, by task)."""
        found = self.intervals()
        faults = intervals.faults(found, safe)
        assert not faults, "\n".join([*faults, self.tail()])
        return found

    def _collect(self) -> None:
        # A VM's disk goes with it, so what its tasks write is fetched while it is there.
        while not self._over.wait(0.2):
            self._gather()

    def _gather(self) -> None:
        below = str(self._told.relative_to("/"))
        remote: list[Path] = []
        with suppress(OSError):  # a VM's disk goes while it is looked at
            remote += self.sandbox.state_dir.glob(f"{VM_DISKS}/{below}/*")
        for told in (*self._told.iterdir(), *remote):
            with suppress(OSError):
                shutil.copyfile(told, self._intervals / told.name)

    def end(self, number: signal.Signals = signal.SIGTERM, within: float = 90.0) -> int:
        """End the monitor by a signal; its exit status."""
        process = self.process
        assert process is not None
        process.send_signal(number)
        try:
            status = process.wait(within)
        except subprocess.TimeoutExpired as error:
            process.kill()
            raise AssertionError(f"it did not end within {within} s:\n{self.tail()}") from error
        finally:
            self.process = None
        assert self._reader is not None
        self._reader.join(10)
        assert process.stdout is not None
        process.stdout.close()
        return status

    def destroy(self) -> None:
        """Nothing of it is left, whatever the test did."""
        self._over.set()
        self._collector.join()
        if self.process is not None:
            self.end(signal.SIGKILL)
        end_processes_of(self.folder)
        shutil.rmtree(self._told)


def end_processes_of(folder: Path) -> None:
    """Kill what a killed monitor left: processes that work in `folder`."""

    def left() -> list[int]:
        found = []
        for entry in Path("/proc").iterdir():
            if entry.name.isdigit():
                try:
                    inside = (entry / "cwd").resolve().is_relative_to(folder)
                except OSError:
                    continue
                if inside:
                    found.append(int(entry.name))
        return found

    for pid in left():
        try:
            subprocess.run(["kill", "-9", str(pid)], check=False, capture_output=True)
        except OSError:
            continue
    eventually(lambda: not left(), 10, f"processes in {folder} are gone")


def wait_until(condition: Callable[[], bool], within: float, what: str) -> None:
    """Wait, looking twice a second (each look may be a command)."""
    deadline = time.monotonic() + within
    while not condition():
        assert time.monotonic() < deadline, f"not within {within:.0f} s: {what}"
        time.sleep(0.5)
