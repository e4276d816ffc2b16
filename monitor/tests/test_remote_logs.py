# SPDX-License-Identifier: GPL-3.0-or-later
"""A remote run's log at home: exact to the byte, its lines told once, whoever is killed."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cloudspill_monitor.burst.remote_logs import RemoteLog

from .full_disk import full_after


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "logs" / "task.vm.7.log"


def test_whole_lines_are_told_and_every_byte_is_kept(path: Path) -> None:
    log = RemoteLog(path)
    assert log.resume_offset == 0
    assert log.take(0, b"one\r\ntw") == ["one"]
    assert log.take(7, b"o\n\xff\n") == ["two", "�"]
    assert path.read_bytes() == b"one\r\ntwo\n\xff\n"
    assert log.resume_offset == 11
    assert log.finish() == []


def test_what_is_left_of_a_line_is_told_at_the_end(path: Path) -> None:
    log = RemoteLog(path)
    assert log.take(0, b"one\ntwo") == ["one"]
    assert log.finish() == ["two"]
    assert log.finish() == []


def test_an_overlap_is_cut(path: Path) -> None:
    log = RemoteLog(path)
    log.take(0, b"one\ntwo\n")
    assert log.take(0, b"one\n") == []
    assert log.take(4, b"two\nthree\n") == ["three"]
    assert path.read_bytes() == b"one\ntwo\nthree\n"


def test_a_gap_is_refused(path: Path) -> None:
    log = RemoteLog(path)
    log.take(0, b"one\n")
    assert log.take(8, b"three\n") == []
    assert path.read_bytes() == b"one\n"
    assert log.resume_offset == 4


def test_a_monitor_that_was_killed_goes_on_within_a_line(path: Path) -> None:
    RemoteLog(path).take(0, b"one\ntw")
    heir = RemoteLog(path)
    assert heir.resume_offset == 6
    assert heir.take(6, b"o\n") == ["two"]
    assert path.read_bytes() == b"one\ntwo\n"


def test_a_file_that_was_cut_is_made_whole_and_nothing_is_told_twice(path: Path) -> None:
    log = RemoteLog(path)
    log.take(0, b"one\ntwo\n")
    path.write_bytes(b"")
    assert log.resume_offset == 0
    assert log.take(0, b"one\ntwo\n") == []
    assert log.take(8, b"three\n") == ["three"]
    assert path.read_bytes() == b"one\ntwo\nthree\n"


def test_a_line_without_end_is_told_in_pieces(path: Path) -> None:
    log = RemoteLog(path)
    told = [line for n in range(40) for line in log.take(n * 10_000, b"x" * 10_000)]
    assert sum(len(line) for line in [*told, *log.finish()]) == 400_000
    assert max(len(line) for line in told) < 80_000
    assert path.stat().st_size == 400_000


def test_a_full_disk_is_told_once_and_the_file_is_made_whole_later(path: Path) -> None:
    said: list[str] = []
    log = RemoteLog(path, said.append)
    with full_after(6):
        assert log.take(0, b"one\ntwo\n") == ["one", "two"]
        assert path.read_bytes() == b"one\ntw"  # what there was room for
        assert log.take(8, b"three\n") == ["three"]
        assert log.resume_offset == 14  # lines go on
        log.try_again()
        assert log.resume_offset == 6
        assert log.take(6, b"o\nthree\n") == []
        assert log.failing
    assert len(said) == 1
    assert "cannot be written (File too large): lines are shown" in said[0]
    log.try_again()
    assert log.take(log.resume_offset, b"o\nthree\nfour\n") == ["four"]
    assert path.read_bytes() == b"one\ntwo\nthree\nfour\n"
    assert not log.failing


def test_a_disk_that_is_full_a_second_time_is_told_again(path: Path) -> None:
    said: list[str] = []
    log = RemoteLog(path, said.append)
    for size in (0, 2):
        with full_after(size):
            log.take(log.size, b"xx\n")
        log.try_again()
        log.take(log.size, b"yy\n")
    assert len(said) == 2


pieces = st.lists(st.tuples(st.integers(0, 60), st.integers(1, 30), st.booleans()), max_size=40)


@given(content=st.binary(max_size=60).map(lambda data: data.replace(b"\0", b"\n")), pieces=pieces)
def test_whatever_is_delivered_the_file_is_a_prefix_and_no_line_is_told_twice(
    tmp_path_factory: pytest.TempPathFactory,
    content: bytes,
    pieces: list[tuple[int, int, bool]],
) -> None:
    """Any overlapping, late or lost pieces; a killed monitor now and then."""
    path = tmp_path_factory.mktemp("logs") / "a.log"
    log, told = RemoteLog(path), []
    for offset, size, killed in [*pieces, (0, 60, False)]:
        told += log.take(offset, content[offset : offset + size])
        assert content.startswith(path.read_bytes() if path.exists() else b"")
        if killed:
            log = RemoteLog(path)
    told += log.finish()
    expected = content.split(b"\n")
    shown = expected if expected[-1] else expected[:-1]
    assert told == [line.decode(errors="replace").rstrip("\r") for line in shown]
    assert log.size == len(content)
