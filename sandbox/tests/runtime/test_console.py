# SPDX-License-Identifier: GPL-3.0-or-later
"""The serial port from conmon's log."""

from __future__ import annotations

from pathlib import Path

import pytest

from cloudspill_sandbox.runtime.console import KEPT, READ_LIMIT, SerialConsole

STAMP = b"2026-01-02T03:04:05.678901234+00:00 stdout "


@pytest.fixture
def log(tmp_path: Path) -> Path:
    return tmp_path / "console"


def append(log: Path, *lines: bytes) -> None:
    with log.open("ab") as file:
        file.writelines(STAMP + line for line in lines)


def test_a_machine_that_never_ran_has_written_nothing(log: Path) -> None:
    assert SerialConsole(log).read(0) == (b"", 0)


def test_bytes_are_the_machine_s_own(log: Path) -> None:
    append(log, b"F Booting\r\n", b"P login:\n", b"F  root\r\n", b"F \n")
    assert SerialConsole(log).read(0) == (b"Booting\r\nlogin: root\r\n\n", 23)


def test_reading_goes_on_where_it_ended(log: Path) -> None:
    console = SerialConsole(log)
    append(log, b"F one\n")
    _, position = console.read(0)
    append(log, b"F two\n")
    assert console.read(position) == (b"two\n", 8)
    assert console.read(8) == (b"", 8)


def test_a_line_that_is_being_written_waits_for_its_end(log: Path) -> None:
    console = SerialConsole(log)
    append(log, b"F one\n", b"F tw")
    assert console.read(0) == (b"one\n", 4)
    with log.open("ab") as file:
        file.write(b"o\n")
    assert console.read(4) == (b"two\n", 8)


def test_a_new_log_goes_on_with_the_same_positions(log: Path) -> None:
    console = SerialConsole(log)
    append(log, b"F one\n")
    console.read(0)
    log.rename(log.with_name("full"))
    append(log, b"F two\n")
    assert console.read(0) == (b"one\ntwo\n", 8)


def test_output_is_the_same_after_a_restart_of_the_sandbox(log: Path) -> None:
    append(log, b"F one\n")
    SerialConsole(log).read(0)
    assert SerialConsole(log).read(0) == (b"one\n", 4)


def test_a_read_is_bounded_and_can_be_continued(log: Path) -> None:
    append(log, b"F " + b"x" * (READ_LIMIT + 10) + b"\n")
    console = SerialConsole(log)
    content, position = console.read(0)
    assert (len(content), position) == (READ_LIMIT, READ_LIMIT)
    assert console.read(position) == (b"x" * 10 + b"\n", READ_LIMIT + 11)


def test_a_position_beyond_the_end_is_the_end(log: Path) -> None:
    append(log, b"F one\n")
    assert SerialConsole(log).read(100) == (b"", 4)


def test_a_negative_position_counts_from_the_end(log: Path) -> None:
    console = SerialConsole(log)
    append(log, b"F one\n", b"F two\n")
    assert console.read(-4) == (b"two\n", 8)
    assert console.read(-100) == (b"one\ntwo\n", 8)
    append(log, b"F " + b"x" * 2 * READ_LIMIT + b"\n", b"F end\n")
    assert console.read(-4) == (b"end\n", 2 * READ_LIMIT + 13)


def test_old_output_goes_and_positions_stay_true(log: Path) -> None:
    console = SerialConsole(log)
    line = b"x" * 1023 + b"\n"
    for _ in range(3):
        append(log, *[b"F " + line] * (KEPT // 2048))
        console.read(0)
    end = 3 * KEPT // 2
    content, position = console.read(0)
    assert content == line * (READ_LIMIT // 1024)
    assert position == end - KEPT + READ_LIMIT, "reading begins with the oldest byte kept"
    append(log, b"F last\n")
    assert console.read(end) == (b"last\n", end + 5)
    assert console.read(-KEPT)[1] == end + 5 - KEPT + READ_LIMIT


def test_output_beyond_what_is_kept_is_counted_too(log: Path) -> None:
    append(log, *[b"F " + b"x" * 1023 + b"\n"] * (KEPT // 512))
    assert SerialConsole(log).read(-3) == (b"xx\n", 2 * KEPT)


def test_a_new_log_under_the_old_one_s_inode_is_told_by_its_size(log: Path) -> None:
    append(log, b"F a first log that was full\n")
    console = SerialConsole(log)
    _, position = console.read(0)
    with log.open("wb") as file:  # the same inode
        file.write(STAMP + b"F new\n")
    assert console.read(position) == (b"new\n", position + 4)
