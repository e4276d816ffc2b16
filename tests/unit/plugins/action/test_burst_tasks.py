# SPDX-License-Identifier: GPL-3.0-or-later
"""Tasks are handed over one after another, and what goes wrong leaves them where they are."""

from __future__ import annotations

import socket
from dataclasses import replace
from pathlib import Path

import pytest

from tests.unit.burst_keeper.local_vm import LocalVm

from .conftest import NAME, Tasks
from .monitor_stand_in import MonitorStandIn, counted

pytestmark = pytest.mark.timeout(150)
MEBIBYTE = 1 << 20


def program(folder: Path, text: str) -> str:
    """What takes ssh's place."""
    path = folder / "ssh"
    path.write_text(f"#!/bin/sh\n{text}\n")
    path.chmod(0o755)
    return str(path)


def test_tasks_go_out_and_come_home_with_what_they_have_counted(
    tasks: Tasks, monitor: MonitorStandIn
) -> None:
    out = tasks.run()
    assert out.status == 0, out.output
    assert monitor.said == [
        ("vm_ready", NAME),
        ("handover", "Task 3"),
        ("confirm", "Task 3"),
        ("handover", "Task 4"),
        ("confirm", "Task 4"),
    ]
    ready = monitor.asked[0]
    assert (ready["zone"], ready["instance_id"], ready["spot"]) == ("us-west1-b", "42", True)
    assert ready["ssh_command"] == [tasks.login]
    assert {answer["state"] for answer in monitor.answers.values()} == {"running"}

    monitor.direction, monitor.move = "home", 8
    home = tasks.run()
    assert home.status == 0, home.output
    assert [answer["state"] for answer in monitor.answers.values()] == ["stopped", "stopped"]
    for task in monitor.runs:
        assert counted(monitor.delivered(task)) > int(monitor.checkpoint)
        assert monitor.delivered(task).stat().st_mode & 0o777 == 0o600


def test_a_hand_over_that_was_done_is_answered_as_the_first_time(
    tasks: Tasks, monitor: MonitorStandIn
) -> None:
    assert tasks.run().status == 0
    first = dict(monitor.answers)
    again = tasks.run()
    assert again.status == 0, again.output
    assert [answer["pid"] for answer in monitor.answers.values()] == [
        answer["pid"] for answer in first.values()
    ]


def test_an_archive_of_many_megabytes_goes_there_and_back(
    tasks: Tasks, monitor: MonitorStandIn
) -> None:
    monitor.padding, monitor.runs = 40 * MEBIBYTE, {"Task 3": 3}
    assert tasks.run().status == 0
    monitor.direction, monitor.move = "home", 8
    home = tasks.run()
    assert home.status == 0, home.output
    assert monitor.delivered("Task 3").stat().st_size > 40 * MEBIBYTE


def test_a_play_whose_move_is_over_ends_with_that_sentence(
    tasks: Tasks, monitor: MonitorStandIn
) -> None:
    play = tasks.run(burst_tasks_move=6)
    assert play.status != 0
    assert "move 6 is over: this play ends (stale-move)" in play.output
    assert monitor.said == [("vm_ready", NAME)]


def test_the_first_hand_over_that_is_refused_ends_those_that_would_follow(
    tasks: Tasks, monitor: MonitorStandIn
) -> None:
    monitor.refusals["handover", "Task 3"] = ("Task 3 goes on here: no space", "disk-full-here")
    play = tasks.run()
    assert play.status != 0
    assert play.output.count("fatal:") == 1
    assert "Task 3 goes on here: no space (disk-full-here)" in play.output
    assert ("handover", "Task 4") not in monitor.said


def test_what_the_keeper_refuses_is_said_and_not_confirmed(
    tasks: Tasks, monitor: MonitorStandIn
) -> None:
    monitor.direction = "home"
    play = tasks.run()
    assert play.status != 0
    assert f"Task 3: the keeper of {NAME} refuses: " in play.output
    assert "(unknown-run)" in play.output
    assert monitor.said == [("handover", "Task 3")]


def test_a_task_that_has_ended_meanwhile_is_passed_over(
    tasks: Tasks, monitor: MonitorStandIn
) -> None:
    monitor.skip = {"Task 3"}
    play = tasks.run()
    assert play.status == 0, play.output
    assert ("confirm", "Task 3") not in monitor.said
    assert list(monitor.answers) == ["Task 4"]


def test_of_a_vm_that_cannot_be_reached_nothing_is_asked(
    tasks: Tasks, monitor: MonitorStandIn
) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))  # bound and not listening: a connection is refused
        host = {
            "ansible_connection": "ssh",
            "ansible_host": "127.0.0.1",
            "ansible_port": taken.getsockname()[1],
        }
        for direction in ("out", "home"):
            monitor.direction = direction
            play = tasks.run(host=host)
            assert play.status != 0
            assert f"{NAME} does not let us in by ssh: " in play.output
            assert "Connection refused" in play.output
    assert monitor.asked == []


def test_a_connection_that_breaks_in_a_hand_over_is_said(
    tasks: Tasks, monitor: MonitorStandIn, tmp_path: Path
) -> None:
    monitor.direction = "home"
    broken = program(tmp_path, "read line; echo 'client_loop: send disconnect' >&2; exit 255")
    play = replace(tasks, login=broken).run()
    assert play.status != 0
    assert f"Task 3: the connection to {NAME} broke: client_loop: send disconnect" in play.output
    assert monitor.said == [("handover", "Task 3")]


def test_a_checkpoint_that_finds_no_space_here_is_said_and_not_confirmed(
    tasks: Tasks, monitor: MonitorStandIn, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert tasks.run().status == 0
    monitor.direction, monitor.move = "home", 8
    monitor.delivered("Task 3").symlink_to("/dev/full")
    play = tasks.run()
    assert play.status != 0
    assert "Task 3: no space left here: " in play.output
    assert ("confirm", "Task 3") not in monitor.said[5:]


def test_check_mode_asks_nobody(tasks: Tasks, monitor: MonitorStandIn) -> None:
    play = tasks.run("--check")
    assert play.status == 0, play.output
    assert monitor.asked == []


def test_a_vm_whose_stream_does_not_come_about_gets_no_task(
    tasks: Tasks, monitor: MonitorStandIn, machine: LocalVm
) -> None:
    monitor.hearts[NAME] = None  # type: ignore[assignment]  # it opens none
    try:
        play = tasks.run(burst_tasks_timeout=2)
    finally:
        del monitor.hearts[NAME]
    assert play.status != 0
    assert f"the keeper of {NAME} has heard nothing from the monitor" in play.output
    assert monitor.said == [("vm_ready", NAME)]
