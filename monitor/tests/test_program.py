# SPDX-License-Identifier: GPL-3.0-or-later
"""The program as its user meets it: started, killed, asked, reloaded, stopped."""

from __future__ import annotations

import json
import os
import pty
import select
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from cloudspill_monitor import procfs
from cloudspill_monitor.journal import Journal

TASKS = """\
state_dir: state
interval: 0.1
tasks:
  - {name: one, command: sleep 600}
  - {name: two, command: sleep 600}
"""
PROGRAM = [sys.executable, "-m", "cloudspill_monitor"]


class Program:
    """The program in a directory with a configuration."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.started: list[subprocess.Popen[str]] = []
        self.write(TASKS)

    def write(self, text: str) -> None:
        (self.directory / "monitor.yml").write_text(text)

    def call(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [*PROGRAM, *arguments],
            cwd=self.directory,
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )

    def run(self) -> subprocess.Popen[str]:
        with (self.directory / f"out{len(self.started)}").open("w") as out:
            process = subprocess.Popen(
                [*PROGRAM, "run", "--dry-run", "--output", "json"], cwd=self.directory, stdout=out
            )
        self.started.append(process)  # type: ignore[arg-type]
        self.until(lambda: bool(self.said("sample")))
        return process  # type: ignore[return-value]

    def said(self, kind: str) -> list[dict[str, Any]]:
        text = (self.directory / f"out{len(self.started) - 1}").read_text()
        lines = (json.loads(line) for line in text.splitlines(keepends=True) if line[-1] == "\n")
        return [line for line in lines if line["kind"] == kind]

    def until(self, condition: Callable[[], bool]) -> None:
        deadline = time.monotonic() + 60.0
        while not condition():
            assert time.monotonic() < deadline, (self.directory / "out0").read_text()
            time.sleep(0.02)

    def pids(self) -> dict[str, int]:
        return {task["name"]: task["pid"] for task in self.said("sample")[-1]["tasks"]}


@pytest.fixture
def program(tmp_path: Path) -> Iterator[Program]:
    made = Program(tmp_path)
    yield made
    for process in made.started:
        process.kill()
        process.wait()
    if not made.started:
        return
    journal = Journal(tmp_path / "state" / "journal.db")
    for run in journal.live_runs():
        for member in procfs.live(procfs.sessions().get(run.pid or -1, [])):
            os.kill(member.pid, signal.SIGKILL)
    journal.close()


def alive(pid: int) -> bool:
    return bool(procfs.live(procfs.sessions().get(pid, [])))


def test_a_killed_monitor_is_taken_over_and_no_task_runs_twice(program: Program) -> None:
    first = program.run()
    program.until(lambda: None not in program.pids().values())
    before = program.pids()
    for _ in range(3):
        program.started[-1].kill()
        program.started[-1].wait()
        assert all(alive(pid) for pid in before.values())
        program.run()
        assert program.pids() == before
    assert first.poll() == -signal.SIGKILL
    running = [
        pid
        for pids in procfs.sessions().values()
        for pid in pids
        if procfs.command_line(pid) == b"sleep\x00600\x00"
        and procfs.environment_value(pid, "CLOUDSPILL_TASK") in ("one", "two")
        and str(program.directory) in str(Path(f"/proc/{pid}/cwd").readlink())
    ]
    assert len(running) == 2


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_asked_to_end_it_ends_its_tasks_first(program: Program, number: signal.Signals) -> None:
    process = program.run()
    program.until(lambda: None not in program.pids().values())
    pids = program.pids()
    process.send_signal(number)
    assert process.wait(30) == 0
    assert not any(alive(pid) for pid in pids.values())
    assert not (program.directory / "state" / "control.sock").exists()


def test_a_second_monitor_is_refused_and_told_who_is_there(program: Program) -> None:
    process = program.run()
    second = program.call("run", "--dry-run")
    assert second.returncode == 1
    assert f"in use by the monitor with process id {process.pid} on " in second.stderr
    assert process.poll() is None


def test_a_hangup_reads_the_configuration_again(program: Program) -> None:
    process = program.run()
    program.until(lambda: None not in program.pids().values())
    kept, gone = program.pids()["one"], program.pids()["two"]
    program.write(TASKS.replace("name: two", "name: three"))
    process.send_signal(signal.SIGHUP)
    program.until(lambda: (program.pids().get("three") or 0) > 0 and not alive(gone))
    assert program.pids()["one"] == kept
    program.write("threshold_low: 99\n" + TASKS)
    process.send_signal(signal.SIGHUP)
    program.until(lambda: bool(program.said("error")))
    assert "monitor.yml:1: threshold_low" in program.said("error")[0]["text"]
    assert process.poll() is None


def test_status_tells_of_a_running_and_of_an_ended_monitor(program: Program) -> None:
    assert program.call("status").returncode == 3
    process = program.run()
    running = program.call("status", "--output", "json")
    assert running.returncode == 0
    assert json.loads(running.stdout)["pid"] == process.pid
    assert "one: running, local, process" in program.call("status").stdout
    process.terminate()
    process.wait(30)
    ended = program.call("status", "--output", "json")
    assert ended.returncode == 3
    assert {run["task"]: run["outcome"] for run in json.loads(ended.stdout)["runs"]} == {
        "one": "stopped",
        "two": "stopped",
    }


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("treshold: 1\n" + TASKS, "monitor.yml:1: unknown key 'treshold'"),
        (TASKS.replace("sleep 600", "no-such-command"), "'no-such-command' does not exist"),
        ("high_duration: 0\n" + TASKS, "monitor.yml:1: high_duration"),
    ],
)
def test_run_refuses_a_bad_configuration_and_changes_nothing(
    program: Program, text: str, said: str
) -> None:
    program.write(text)
    result = program.call("run", "--dry-run")
    assert result.returncode == 1
    assert said in result.stderr
    assert "Traceback" not in result.stderr
    assert not (program.directory / "state").exists()
    assert program.call("check").returncode == 1


def test_a_journal_of_another_version_is_refused(program: Program) -> None:
    import sqlite3
    from contextlib import closing

    (program.directory / "state").mkdir()
    path = program.directory / "state" / "journal.db"
    Journal(path).close()
    with closing(sqlite3.connect(path)) as db:
        db.execute("PRAGMA user_version = 99")
    result = program.call("run", "--dry-run")
    assert result.returncode == 1
    assert "journal of version 99" in result.stderr


def test_a_journal_that_cannot_be_written_is_refused(program: Program) -> None:
    import sqlite3
    from contextlib import closing

    (program.directory / "state").mkdir()
    path = program.directory / "state" / "journal.db"
    Journal(path).close()
    with closing(sqlite3.connect(path, isolation_level=None)) as db:
        db.execute("BEGIN IMMEDIATE")
        result = program.call("run", "--dry-run")
    assert (result.returncode, "Traceback" in result.stderr) == (1, False), result.stderr
    assert "journal.db: database is locked" in result.stderr


def test_a_state_directory_that_cannot_be_read_is_said_in_words(program: Program) -> None:
    (program.directory / "state").mkdir()
    (program.directory / "state" / "lock").symlink_to("lock")  # cannot be opened by root either
    for command in (["status"], ["check"], ["run", "--dry-run"]):
        result = program.call(*command)
        assert (result.returncode, "Traceback" in result.stderr) == (1, False), result.stderr
        assert "state/lock" in result.stderr


def test_a_task_that_dies_at_once_does_not_hurt_the_others(program: Program) -> None:
    program.write(TASKS + "  - {name: broken, command: sh -c 'exit 9'}\n")
    program.run()
    program.until(lambda: any("2 times in a row" in e["text"] for e in program.said("task")))
    assert alive(program.pids()["one"])


def test_simulate_prints_the_three_rules_and_draws(program: Program) -> None:
    pytest.importorskip("matplotlib", reason="the plot extra is not installed")
    (program.directory / "t.csv").write_text("value\n" + "100\n" * 600)
    result = program.call("simulate", "t.csv", "--output", "json")
    rules = {rule["rule"]: rule for rule in json.loads(result.stdout)["rules"]}
    assert {name: len(rule["moves"]) for name, rule in rules.items()} == {
        "literal": 46,
        "guarded": 1,
        "hpa": 1,
    }
    for name, magic in (("p.png", b"\x89PNG"), ("p.svg", b"<?xml")):
        assert program.call("simulate", "t.csv", "--plot", name).returncode == 0
        assert (program.directory / name).read_bytes().startswith(magic)


@pytest.mark.parametrize(
    ("plot", "said"),
    [
        ("p.gif", "--plot p.gif: must end in .png or .svg"),
        ("p", "--plot p: must end in .png or .svg"),
        ("nowhere/p.png", "--plot nowhere/p.png: there is no directory nowhere"),
        ("taken.svg", "--plot taken.svg: is a directory"),
    ],
)
def test_simulate_refuses_a_plot_that_it_could_not_write_before_it_works(
    program: Program, plot: str, said: str
) -> None:
    (program.directory / "taken.svg").mkdir()
    # No trace: what is refused before it is read is refused at once.
    result = program.call("simulate", "absent.csv", "--plot", plot)
    assert (result.returncode, result.stderr.strip()) == (1, said)


def test_simulate_refuses_a_bad_trace(program: Program) -> None:
    (program.directory / "t.csv").write_text("value\n1\nnan\n")
    result = program.call("simulate", "t.csv")
    assert (result.returncode, "t.csv, line 3" in result.stderr) == (1, True)


def test_a_drain_is_an_order_that_outlives_the_monitor(program: Program) -> None:
    refused = program.call("drain")
    assert (refused.returncode, "no monitor runs" in refused.stderr) == (1, True)
    process = program.run()
    done = program.call("drain", "--timeout", "50")
    assert done.returncode == 0, done.stderr
    assert "every task is at home and stays there" in done.stdout
    assert "drained since" in program.call("status").stdout
    process.kill()
    process.wait()
    program.run()
    assert "drained since" in program.call("status").stdout
    off = program.call("drain", "--off", "--output", "json")
    assert json.loads(off.stdout) == {"drained": False, "done": True}
    program.until(lambda: program.said("sample")[-1]["drained_wall"] is None)


@pytest.mark.parametrize("command", ["run", "check", "status", "drain", "reap", "simulate"])
def test_every_command_explains_itself(program: Program, command: str) -> None:
    result = program.call(command, "--help")
    assert result.returncode == 0
    assert "--output" in result.stdout
    assert "--install-completion" in program.call("--help").stdout


@pytest.mark.parametrize(("terminal", "drawn"), [("xterm", True), ("dumb", False)])
def test_a_terminal_that_cannot_draw_gets_plain_lines(
    program: Program, terminal: str, drawn: bool
) -> None:
    ours, theirs = pty.openpty()
    process = subprocess.Popen(
        [*PROGRAM, "run", "--dry-run"],
        cwd=program.directory,
        stdout=theirs,
        env=os.environ | {"TERM": terminal},
        text=True,
    )
    program.started.append(process)
    shown = b""
    try:
        while b"mem" not in shown:
            assert select.select([ours], [], [], 60)[0], shown
            shown += os.read(ours, 65536)
    finally:
        process.terminate()
        os.close(ours)
        os.close(theirs)
    assert process.wait(30) == 0
    assert (b"\x1b[" in shown) is drawn, shown
