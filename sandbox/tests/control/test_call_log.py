# SPDX-License-Identifier: GPL-3.0-or-later
"""The log of API calls: whole lines, a bounded size, nothing lost to who follows it."""

from __future__ import annotations

import contextlib
import itertools
from pathlib import Path

import pytest

from cloudspill_sandbox.control.call_log import LONGEST_TEXT, CallLog, followed, kept, older
from cloudspill_sandbox.engine.call_record import CallRecord


def call(number: int, **other: str) -> CallRecord:
    what = {"method": "compute.instances.get", "http_method": "GET", "host": "h", "path": "/p"}
    return CallRecord(**(what | other), time=float(number), principal="a@b", status=200,
                      milliseconds=0.5)  # fmt: skip


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "calls.jsonl"


def times(path: Path) -> list[float]:
    return [record.time for record in kept(path)]


def test_a_log_is_gone_on_with(path: Path) -> None:
    for number in (1, 2):
        with CallLog(path) as log:
            log.record(call(number, refusal="notFound: The resource 'ä\n' was not found"))
    assert [*kept(path)] == [call(n, refusal="notFound: The resource 'ä\n' was not found")
                             for n in (1, 2)]  # fmt: skip
    assert len(path.read_bytes().splitlines()) == 2


def test_two_files_hold_the_newest_calls_and_never_more(path: Path) -> None:
    with CallLog(path, max_bytes=5000) as log:
        for number in range(1000):
            log.record(call(number, path="/" + "p" * 100))
            assert path.stat().st_size <= 5000
    left = times(path)
    assert left == [float(number) for number in range(1000 - len(left), 1000)]
    assert 20 < len(left) < 60
    assert {each.name for each in path.parent.iterdir()} == {path.name, older(path).name}


def test_a_long_path_takes_a_bounded_line(path: Path) -> None:
    with CallLog(path) as log:
        log.record(call(1, path="/" + "p" * 100_000))
    (record,) = kept(path)
    assert len(record.path) == LONGEST_TEXT + 1


def test_a_line_that_a_kill_cut_short_is_left_out(path: Path) -> None:
    with CallLog(path) as log:
        log.record(call(1))
    with path.open("ab") as file:
        file.write(b'{"time": 2.0, "meth')
    assert times(path) == [1.0]


def test_without_a_log_there_are_no_calls(path: Path) -> None:
    assert times(path) == []


def test_a_full_disk_fails_no_call(path: Path) -> None:
    with CallLog(Path("/dev/full")) as log:
        log.record(call(1))
        assert path.parent.exists()


def test_who_follows_misses_nothing_when_the_file_is_changed(path: Path) -> None:
    with CallLog(path, max_bytes=600) as log:
        log.record(call(0))
        numbers = itertools.count(1)

        def pause() -> None:
            log.record(call(next(numbers)))

        with contextlib.closing(followed(path, pause)) as coming:
            seen = [record.time for record in itertools.islice(coming, 20)]
    assert seen == [float(number) for number in range(1, 21)]


def test_a_log_may_be_followed_before_there_is_one(path: Path) -> None:
    def pause() -> None:
        with CallLog(path) as log:
            log.record(call(1))

    with contextlib.closing(followed(path, pause)) as coming:
        assert next(coming).time == 1.0
