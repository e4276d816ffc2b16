# SPDX-License-Identifier: GPL-3.0-or-later
"""`cloudspill-sandbox faults`, as a person types it."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from cloudspill_sandbox.exits import NOT_RUNNING

from .shell import COMMAND, Shell


@pytest.fixture(scope="module")
def shell(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Shell]:
    """A running sandbox in memory."""
    subject = Shell(tmp_path_factory.mktemp("faults"))
    try:
        assert subject("up", "--in-memory").returncode == 0
        yield subject
    finally:
        subject("down")


@pytest.fixture(autouse=True)
def _no_faults(shell: Shell) -> Iterator[None]:
    yield
    assert shell("faults", "clear").returncode == 0


def listed(shell: Shell) -> list[dict[str, object]]:
    faults: list[dict[str, object]] = json.loads(shell("faults", "list", "--json").stdout)["faults"]
    return faults


def test_what_was_armed_is_listed_until_it_is_cleared(shell: Shell) -> None:
    assert listed(shell) == []
    assert shell.status()["faults"] == []
    first = shell("faults", "add", "stock-out", "--match", "burst-*", "--count", "2").stdout.strip()
    words = ("network-cut", "--after", "5", "--for", "60", "--from", "api", "--count", "forever")
    second = shell("faults", "add", *words).stdout.strip()
    cut = listed(shell)[1]
    assert (cut["after"], cut["for"], cut["from"], cut["count"]) == (5, 60, "api", "forever")
    assert shell.status()["faults"] == [first, second]
    assert f"{first}, {second}" in shell("status").stdout
    table = shell("faults", "list").stdout
    assert first in table
    assert "burst-*" in table
    assert "0 of 2" in table
    assert shell("faults", "clear", first).stdout.strip() == first
    assert [fault["id"] for fault in listed(shell)] == [second]
    assert shell("faults", "clear").stdout.strip() == second
    assert "no faults are armed" in shell("faults", "list").stderr


def test_a_list_that_is_piped_is_cut_off_nowhere(shell: Shell) -> None:
    words = ("slow", "--delay", "1.5", "--zone", "northamerica-northeast1-a")
    shell("faults", "add", *words, "--method", "compute.instances.getSerialPortOutput")
    table = shell("faults", "list").stdout
    said = "zone=northamerica-northeast1-a method=compute.instances.getSerialPortOutput delay=1.5"
    assert said in table


def test_waiting_for_what_does_not_strike_ends_with_a_status_of_its_own(shell: Shell) -> None:
    fault = shell("faults", "add", "quota").stdout.strip()
    waited = shell("faults", "wait", fault, "--timeout", "0.1")
    assert waited.returncode == 4
    assert f"{fault} has fired 0 times in 0.1 s" in waited.stderr


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("add", "earthquake"), "no fault is called 'earthquake'; the kinds are quota"),
        (("add", "crash", "--from", "api"), "crash takes no `from`; it takes after, count"),
        (("add", "quota", "--count", "many"), "`count` wants a whole number from 1 or `forever`"),
        (("add", "quota", "--method", "compute.instances.destroy"), "no method"),
        (("wait", "nothing"), "no fault is called nothing; there are: none"),
        (("clear", "nothing"), "no fault is called nothing; there are: none"),
    ],
)
def test_what_cannot_be_is_refused_in_a_sentence_and_changes_nothing(
    shell: Shell, words: tuple[str, ...], said: str
) -> None:
    done = shell("faults", *words)
    assert done.returncode == 1
    assert said in done.stderr
    assert "Traceback" not in done.stderr
    assert listed(shell) == []


def test_the_kinds_are_listed(shell: Shell) -> None:
    shown = shell("faults", "kinds").stdout
    assert "stock-out" in shown
    assert "disk-full" in shown


def test_without_a_sandbox_it_says_how_to_start_one(tmp_path: Path) -> None:
    done = Shell(tmp_path)("faults", "list")
    assert done.returncode == 3
    assert "cloudspill-sandbox up" in done.stderr


def test_who_waits_for_a_fault_does_not_hold_up_a_stop(tmp_path: Path) -> None:
    shell = Shell(tmp_path)
    try:
        assert shell("up", "--in-memory").returncode == 0
        fault = shell("faults", "add", "crash").stdout.strip()
        words = [COMMAND, "faults", "wait", fault, "--timeout", "600"]
        with subprocess.Popen(words, env=shell.environment, stderr=subprocess.PIPE) as waiting:
            shell("faults", "wait", fault, "--timeout", "0.5")  # the other is waiting by then
            assert shell("down").returncode == 0  # within the shell's own time limit
            assert waiting.wait(timeout=10) == NOT_RUNNING
    finally:
        shell("down")
