# SPDX-License-Identifier: GPL-3.0-or-later
"""Archives: whole or not at all, and nothing in or out of a folder that should not be."""

from __future__ import annotations

import io
import os
import tarfile
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from cloudspill_burst import archives
from cloudspill_burst.protocol import Refusal


def tar(folder: Path, *members: tarfile.TarInfo | tuple[str, bytes]) -> Path:
    path = folder / "given.tar"
    with tarfile.open(path, "w") as packed:
        for member in members:
            if isinstance(member, tarfile.TarInfo):
                packed.addfile(member)
            else:
                info = tarfile.TarInfo(member[0])
                info.size, info.mode = len(member[1]), 0o640
                packed.addfile(info, io.BytesIO(member[1]))
    return path


def special(name: str, kind: bytes, target: str = "") -> tarfile.TarInfo:
    info = tarfile.TarInfo(name)
    info.type, info.linkname = kind, target
    return info


def names(archive: Path) -> list[str]:
    with tarfile.open(archive) as packed:
        return packed.getnames()


def test_what_is_packed_is_unpacked_the_same(tmp_path: Path) -> None:
    work = tmp_path / "work"
    (work / "state" / "deep").mkdir(parents=True)
    (work / "state" / "deep" / "count").write_text("41")
    (work / "run.sh").write_text("#!/bin/sh")
    (work / "run.sh").chmod(0o750)
    (work / "other").write_text("stays")
    packed = archives.pack(work, ("state", "run.sh", "absent"), tmp_path / "out.tar")
    assert packed.left_out == ("absent",)
    assert packed.size == (tmp_path / "out.tar").stat().st_size
    assert packed.sha256 == archives.digest(tmp_path / "out.tar")
    there = tmp_path / "there"
    archives.unpack(tmp_path / "out.tar", there, (os.getuid(), os.getgid()))
    assert (there / "state" / "deep" / "count").read_text() == "41"
    assert (there / "run.sh").stat().st_mode & 0o777 == 0o750
    assert not (there / "other").exists()


def test_unpacking_replaces_what_is_there(tmp_path: Path) -> None:
    there = tmp_path / "there"
    (there / "count").mkdir(parents=True)
    (there / "state").write_text("a file where a folder comes")
    archives.unpack(tar(tmp_path, ("count", b"1"), ("state/x", b"2")), there, None)
    assert (there / "count").read_bytes() == b"1"
    assert (there / "state" / "x").read_bytes() == b"2"


@pytest.mark.parametrize(
    "member",
    [
        ("/etc/passwd", b"x"),
        ("../x", b"x"),
        ("a/../../x", b"x"),
        special("link", tarfile.SYMTYPE, "/etc/passwd"),
        special("a/link", tarfile.SYMTYPE, "../../x"),
        special("hard", tarfile.LNKTYPE, "fine"),
        special("null", tarfile.CHRTYPE),
        special("pipe", tarfile.FIFOTYPE),
    ],
)
def test_an_archive_that_leaves_its_folder_is_refused_whole(
    tmp_path: Path, member: tarfile.TarInfo | tuple[str, bytes]
) -> None:
    there = tmp_path / "there"
    with pytest.raises(Refusal) as refused:
        archives.unpack(tar(tmp_path, ("fine", b"x"), member), there, None)
    assert refused.value.kind == "bad-request"
    assert not there.exists()


def test_links_that_stay_inside_are_kept_and_no_file_goes_through_one(tmp_path: Path) -> None:
    there = tmp_path / "there"
    given = tar(
        tmp_path,
        special("a/b/c", tarfile.SYMTYPE, "../.."),
        ("a/b/c/k", b"through"),
        special("current", tarfile.SYMTYPE, "a/real"),
        ("a/real", b"x"),
    )
    archives.unpack(given, there, None)
    assert (there / "current").read_bytes() == b"x"
    assert not (there / "k").exists()
    assert (there / "a" / "b" / "c" / "k").read_bytes() == b"through"


def test_a_link_in_the_folder_is_replaced_not_followed(tmp_path: Path) -> None:
    outside, there = tmp_path / "outside", tmp_path / "there"
    outside.mkdir()
    there.mkdir()
    (outside / "x").write_text("precious")
    (there / "state").symlink_to(outside)
    (there / "x").symlink_to(outside / "x")
    archives.unpack(tar(tmp_path, ("state/x", b"new"), ("x", b"new")), there, None)
    assert (outside / "x").read_text() == "precious"
    assert (there / "x").read_bytes() == (there / "state" / "x").read_bytes() == b"new"


@pytest.mark.parametrize("damage", [b"", b"no tar at all" * 100])
def test_a_damaged_archive_is_refused(tmp_path: Path, damage: bytes) -> None:
    (tmp_path / "given.tar").write_bytes(damage)
    with pytest.raises(Refusal, match="damaged"):
        archives.unpack(tmp_path / "given.tar", tmp_path / "there", None)


def test_an_archive_that_was_cut_is_refused(tmp_path: Path) -> None:
    given = tar(tmp_path, ("a", b"x" * 100_000))
    given.write_bytes(given.read_bytes()[:50_000])
    with pytest.raises(Refusal, match="damaged"):
        archives.unpack(given, tmp_path / "there", None)


def test_packing_follows_no_link_of_the_task(tmp_path: Path) -> None:
    work = tmp_path / "work"
    (work / "state").mkdir(parents=True)
    (tmp_path / "secret").write_text("secret")
    (work / "state" / "link").symlink_to(tmp_path / "secret")
    (work / "parent").symlink_to(tmp_path)
    (work / "state" / "count").write_text("1")
    os.mkfifo(work / "pipe")
    asked = ("state", "parent/secret", "pipe", "../secret", "/etc/hostname")
    packed = archives.pack(work, asked, tmp_path / "out.tar")
    assert names(tmp_path / "out.tar") == ["state", "state/count"]
    assert set(packed.left_out) == {"state/link", *asked[1:]}


def test_a_live_checkpoint_is_that_of_one_moment(tmp_path: Path) -> None:
    """Two files that always say the same change when one of them is packed already."""
    work = tmp_path / "work"
    work.mkdir()
    for name in ("first", "last"):
        (work / name).write_text("old")
    time.sleep(0.05)  # a younger file is packed again in any case
    passes: list[bool] = []

    class Changing(tuple[str, ...]):
        """Paths of files that change while they are packed for the first time."""

        __slots__ = ()

        def __iter__(self) -> Iterator[str]:
            yield "first"
            packing = (tmp_path / "out.tar.new").exists()
            if packing and not any(passes):
                for name in ("first", "last"):
                    (work / name).write_text("new")
            passes.append(packing)
            yield "last"

    archives.pack_live(work, Changing(["first", "last"]), tmp_path / "out.tar")
    with tarfile.open(tmp_path / "out.tar") as packed:
        first, last = (packed.extractfile(name) for name in ("first", "last"))
        assert first is not None
        assert last is not None
        assert first.read() == last.read() == b"new"
    assert passes.count(True) > 1


def test_a_file_that_could_have_changed_without_a_trace_is_waited_for(tmp_path: Path) -> None:
    work = tmp_path / "work"
    work.mkdir()
    (work / "count").write_text("41")
    archives.pack_live(work, ("count",), tmp_path / "out.tar")
    assert (tmp_path / "out.tar").stat().st_ctime - (work / "count").stat().st_ctime > 0.015


def test_a_checkpoint_that_never_stands_still_is_refused_and_nothing_is_left(
    tmp_path: Path,
) -> None:
    work = tmp_path / "work"
    work.mkdir()

    class Restless(tuple[str, ...]):
        """Paths of a file that changes whenever somebody looks, however busy the machine is."""

        __slots__ = ()

        def __iter__(self) -> Iterator[str]:
            (work / "count").write_text(str(time.monotonic()))
            return super().__iter__()

    with pytest.raises(Refusal, match="changes without end"):
        archives.pack_live(work, Restless(["count"]), tmp_path / "out.tar")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["work"]


def test_a_file_that_shrinks_while_it_is_packed_is_packed_again(tmp_path: Path) -> None:
    work = tmp_path / "work"
    work.mkdir()
    (work / "big").write_bytes(b"x" * (64 << 20))
    time.sleep(0.05)
    shrinker = threading.Timer(0.01, lambda: os.truncate(work / "big", 10))
    shrinker.start()
    packed = archives.pack_live(work, ("big",), tmp_path / "out.tar")
    shrinker.join()
    assert packed.size in {10240, (64 << 20) + 10240}
