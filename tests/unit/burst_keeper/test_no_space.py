# SPDX-License-Identifier: GPL-3.0-or-later
"""The VM's disk is full: a refusal that says so, nothing half done, and it goes on when there is
room again."""

from __future__ import annotations

import contextlib
import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.unit.burst_keeper.bench import Bench, Stream, contents, tar_of

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="needs root, to mount a small disk")
BIG = b"x" * 400_000


@pytest.fixture
def folder(tmp_path: Path) -> Iterator[Path]:
    """Where a VM has a disk of 1 MiB."""
    disk = tmp_path / "disk"
    disk.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", str(disk)], check=True)
    try:
        yield tmp_path
    finally:
        subprocess.run(["umount", str(disk)], check=True)


def fill(bench: Bench) -> Path:
    """Leave no room on the disk."""
    ballast = bench.disk / "ballast"
    with ballast.open("wb", buffering=0) as file, contextlib.suppress(OSError):
        while file.write(b"x" * 4096):
            pass
    return ballast


async def test_an_archive_that_does_not_fit_is_refused_and_nothing_of_it_stays(
    bench: Bench, stream: Stream
) -> None:
    too_big = b"x" * 2_000_000
    for answer in (
        await bench.start(7, tar_of(count=too_big)),
        (await bench.call(tar_of(count=too_big), do="prepare", move=1, slug="T"))[0],
        await bench.start(7, tar_of(one=BIG, two=b"x" * 200_000)),  # fits once, not unpacked too
    ):
        assert answer["kind"] == "no-space"
        assert "no space left on this VM" in answer["error"]
    for name in ("incoming", "staging", "tasks", "runs"):
        assert list((bench.disk / name).iterdir()) == []
    assert (await bench.start(7, tar_of(count=b"41")))["state"] == "running"


async def test_a_stopped_task_is_packed_as_soon_as_there_is_room(
    bench: Bench, stream: Stream
) -> None:
    await bench.start(7, tar_of(count=BIG))
    ballast = fill(bench)
    ballast.open("r+b").close()
    os.truncate(ballast, ballast.stat().st_size - 64 * 1024)  # records fit, the archive does not
    refused, _ = await bench.call(do="stop", move=1, run=7)
    assert refused["kind"] == "no-space"
    assert (await stream.ask("pull", run=7))["kind"] == "no-space"
    stopped = await stream.run(7, state="stopped")
    assert stopped["sha256"] is None
    assert list((bench.disk / "archives").iterdir()) == []
    ballast.unlink()
    answer, archive = await bench.call(do="stop", move=1, run=7)
    assert contents(archive) == {"count": BIG}
    assert answer["state"] == "stopped"


async def test_a_start_on_a_full_disk_leaves_no_trace_and_the_lease_goes_on(
    bench: Bench, stream: Stream
) -> None:
    ballast = fill(bench)
    assert (await bench.start(7))["kind"] == "no-space"
    assert (await stream.ask("fence", move=1))["kind"] == "no-space"
    assert (await bench.start(7))["kind"] == "stale-move"
    await stream.more_ticks(5)
    assert stream.ticks[-1]["expires_in"] > 28
    ballast.unlink()
    assert (await bench.start(8, move=2))["state"] == "running"
    assert [spec.run for spec in bench.units.started] == [8]
