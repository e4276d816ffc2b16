# SPDX-License-Identifier: GPL-3.0-or-later
"""Guest images stay while anybody uses them and go as a whole."""

from __future__ import annotations

import contextlib
import fcntl
import os
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from cloudspill_sandbox.runtime.guest_image.in_use import (
    UNUSED_FOR,
    image_in_use,
    is_there,
    remove_unused,
)

DAY = 24 * 3600.0


@pytest.fixture
def images(tmp_path: Path) -> Path:
    return tmp_path


def image(images: Path, name: str, *, idle: float) -> Path:
    """Make an image that was used last `idle` seconds ago."""
    folder = images / name
    (folder / "etc").mkdir(parents=True)
    used = time.time() - idle
    os.utime(folder, (used, used))
    return folder


def sweep(images: Path, needed: frozenset[str] = frozenset()) -> list[str]:
    """Remove what is unused; return what stays."""
    remove_unused(images, lambda: set(needed), time.time())
    return sorted(entry.name for entry in images.iterdir())


def test_images_of_two_checkouts_stay_while_both_are_used(images: Path) -> None:
    image(images, "mine", idle=0)
    image(images, "theirs", idle=UNUSED_FOR - DAY)
    assert sweep(images) == ["mine", "theirs"]


def test_an_image_goes_when_nobody_used_it_for_a_week(images: Path) -> None:
    image(images, "old", idle=UNUSED_FOR + DAY)
    image(images, "mine", idle=0)
    assert sweep(images) == ["mine"]


def test_an_image_that_disks_stand_on_stays(images: Path) -> None:
    image(images, "old", idle=UNUSED_FOR + DAY)
    assert sweep(images, frozenset({"old"})) == ["old"]


def test_an_image_stays_while_a_sandbox_runs_on_it_however_long(images: Path) -> None:
    old = image(images, "old", idle=0)
    with image_in_use(old), image_in_use(old):
        long_ago = time.time() - UNUSED_FOR - DAY
        os.utime(old, (long_ago, long_ago))
        assert sweep(images) == ["old"]
    assert sweep(images) == ["old"], "the week begins when the last use ends"


def test_the_use_of_an_image_is_noted_even_if_its_user_is_killed(images: Path) -> None:
    old = image(images, "old", idle=UNUSED_FOR + DAY)
    with image_in_use(old):
        assert time.time() - old.stat().st_mtime < DAY


def test_asking_for_an_image_counts_as_use(images: Path) -> None:
    old = image(images, "old", idle=UNUSED_FOR + DAY)
    assert is_there(old)
    assert sweep(images) == ["old"]
    assert not is_there(images / "never")


def test_no_image_is_left_in_parts_when_its_removal_is_cut_short(
    images: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    old = image(images, "old", idle=UNUSED_FOR + DAY)
    with monkeypatch.context() as context:
        context.setenv("PATH", str(images / "no-programs"))  # the removal cannot begin
        with pytest.raises(OSError, match="rm"):
            sweep(images)
    assert not is_there(old)
    assert sweep(images) == []


def test_an_image_that_goes_while_it_is_asked_for_is_gone(images: Path) -> None:
    old = image(images, "old", idle=0)
    remover = os.open(old, os.O_RDONLY)
    fcntl.flock(remover, fcntl.LOCK_EX)
    with ThreadPoolExecutor(1) as thread:
        asked = thread.submit(is_there, old)
        while len(opened(old)) < 2:
            assert not asked.done()
        old.rename(images / ".removing-old")
        os.close(remover)
        assert not asked.result()


def opened(path: Path) -> list[Path]:
    """Return this process's descriptors of a directory."""
    found = []
    for entry in Path("/proc/self/fd").iterdir():
        with contextlib.suppress(FileNotFoundError):
            if entry.readlink() == path:
                found.append(entry)
    return found
