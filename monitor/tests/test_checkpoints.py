# SPDX-License-Identifier: GPL-3.0-or-later
"""Checkpoints: whole or not at all, whatever is in the archive, and whenever it is killed."""

from __future__ import annotations

import hashlib
import io
import os
import resource
import signal
import subprocess
import sys
import tarfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from cloudspill_monitor.checkpoints import CheckpointError, Waiting, install, pack, pack_folders

from .conftest import task

STATE = (Path("state"),)


@pytest.fixture
def here(tmp_path: Path) -> Path:
    return _folder(tmp_path / "here", {"state/count": "1", "state/old": "x", "script.py": "mine"})


@pytest.fixture
def there(tmp_path: Path) -> Path:
    return _folder(tmp_path / "there", {"state/count": "2", "state/deep/new": "y"})


@pytest.fixture
def archive(there: Path, tmp_path: Path) -> Path:
    path = tmp_path / "came.tar"
    pack(there, STATE, path)
    return path


def test_what_is_packed_is_what_is_installed(tmp_path: Path) -> None:
    long = "n" * 200
    made = _folder(tmp_path / "a", {f"state/{long}": "long", "state/ünï": "name", "alone": "file"})
    (made / "state" / "empty").mkdir()
    (made / "alone").chmod(0o750)
    os.utime(made / "alone", (1e9, 1e9 + 0.25))
    other = tmp_path / "b"
    other.mkdir()
    packed = pack(made, (Path("state"), Path("alone")), tmp_path / "c.tar")
    data = (tmp_path / "c.tar").read_bytes()
    assert (packed.sha256, packed.size) == (hashlib.sha256(data).hexdigest(), len(data))
    install(tmp_path / "c.tar", other, (Path("state"), Path("alone")))
    assert _content(other) == _content(made)
    assert (other / "state" / "empty").is_dir()
    found = (other / "alone").stat()
    assert (found.st_mode & 0o7777, found.st_mtime) == (0o750, 1e9 + 0.25)


def test_a_task_without_a_checkpoint_yet_can_be_packed(here: Path, tmp_path: Path) -> None:
    packed = pack(here, (Path("none/yet"), Path("state")), tmp_path / "c.tar")
    assert packed.missing == (Path("none/yet"),)
    with tarfile.open(tmp_path / "c.tar") as tar:
        assert tar.getnames() == ["state", "state/count", "state/old"]


@pytest.mark.parametrize(
    ("path", "named"),
    [
        ("/etc/hostname", "/etc/hostname is not inside"),
        ("../here/script.py", "script.py is not inside"),
        ("link", "link is a symbolic link"),
        ("linked/count", "linked is a symbolic link"),
        ("fifo", "fifo is not a file or directory"),
    ],
)
def test_what_cannot_move_is_named_and_nothing_is_packed(
    here: Path, tmp_path: Path, path: str, named: str
) -> None:
    (here / "link").symlink_to("state/count")
    (here / "linked").symlink_to("state")
    os.mkfifo(here / "fifo")
    before = sorted(tmp_path.iterdir())
    with pytest.raises(CheckpointError, match=named):
        pack(here, (Path("state"), Path(path)), tmp_path / "c.tar")
    assert sorted(tmp_path.iterdir()) == before


def test_the_checkpoint_paths_hold_what_came_and_nothing_else(here: Path, archive: Path) -> None:
    install(archive, here, STATE)
    assert _content(here) == {"state/count": "2", "state/deep/new": "y", "script.py": "mine"}


@pytest.mark.parametrize("size", [0, tarfile.RECORDSIZE])
def test_an_archive_of_nothing_changes_nothing(here: Path, tmp_path: Path, size: int) -> None:
    before = _content(here)
    (tmp_path / "empty.tar").write_bytes(bytes(size))
    install(tmp_path / "empty.tar", here, STATE)
    assert _content(here) == before


def test_a_vm_cannot_replace_what_is_not_the_checkpoint(here: Path, there: Path) -> None:
    (there / "script.py").write_text("theirs")
    pack(there, (*STATE, Path("script.py")), there / "c.tar")
    install(there / "c.tar", here, STATE)
    assert (here / "script.py").read_text() == "mine"
    assert (here / "state" / "count").read_text() == "2"


def _member(name: str, kind: bytes = tarfile.REGTYPE, link: str = "") -> tarfile.TarInfo:
    member = tarfile.TarInfo(name)
    member.type, member.linkname = kind, link
    return member


HOSTILE = {
    "absolute": [_member("/tmp/state")],
    "dots": [_member("state/../../out")],
    "symbolic link": [_member("state/link", tarfile.SYMTYPE, "/etc")],
    "hard link": [_member("state/hard", tarfile.LNKTYPE, "/etc/passwd")],
    "device": [_member("state/disk", tarfile.BLKTYPE)],
    "pipe": [_member("state/pipe", tarfile.FIFOTYPE)],
    "twice": [_member("state/count"), _member("./state/count")],
}


@pytest.mark.parametrize("members", HOSTILE.values(), ids=HOSTILE)
def test_a_hostile_archive_is_refused_and_changes_nothing(
    here: Path, tmp_path: Path, members: list[tarfile.TarInfo]
) -> None:
    before = _content(tmp_path)
    path = tmp_path / "bad.tar"
    with tarfile.open(path, "w") as tar:
        for member in [_member("state/fine"), *members]:
            tar.addfile(member)
    with pytest.raises(CheckpointError, match="it holds"):
        install(path, here, STATE)
    waiting = Waiting(tmp_path)
    with pytest.raises(ValueError, match="it holds"):
        waiting.keep("t", path)
    path.unlink()
    assert _content(tmp_path) == before


def test_a_local_link_is_not_followed_out_of_the_folder(
    here: Path, archive: Path, tmp_path: Path
) -> None:
    outside = _folder(tmp_path / "outside", {"new": "untouched"})
    (here / "state" / "deep").symlink_to(outside)
    with pytest.raises(CheckpointError, match="symbolic link"):
        install(archive, here, STATE)
    assert _content(outside) == {"new": "untouched"}


def test_an_archive_that_was_cut_short_changes_nothing(here: Path, there: Path) -> None:
    (there / "state" / "big").write_bytes(b"b" * 100_000)
    pack(there, STATE, there / "c.tar")
    whole = (there / "c.tar").read_bytes()
    before = _content(here)
    for size in (100, 700, 20_000, 60_000):
        (there / "c.tar").write_bytes(whole[:size])
        with pytest.raises(CheckpointError):
            install(there / "c.tar", here, STATE)
        assert _content(here) == before


@contextmanager
def _room(size: int) -> Iterator[None]:
    """No file can grow beyond `size` bytes: to a writer a disk that is full."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


def test_a_full_disk_leaves_what_was_there(here: Path, there: Path, tmp_path: Path) -> None:
    (there / "state" / "zz").write_bytes(b"z" * 100_000)  # comes last: others are written by then
    archive = tmp_path / "c.tar"
    pack(there, STATE, archive)
    packed, before = archive.read_bytes(), _content(here)
    with _room(50_000):
        with pytest.raises(CheckpointError, match=f"cannot be installed in {here}"):
            install(archive, here, STATE)
        with pytest.raises(CheckpointError, match="cannot be packed"):
            pack(there, STATE, archive)
    assert _content(here) == before
    assert archive.read_bytes() == packed
    assert not archive.with_name("c.tar.new").exists()


KILL = """
import os, pathlib, signal, sys
from cloudspill_monitor.checkpoints import Waiting
from cloudspill_monitor.config import TaskConfig
state, cwd, left = pathlib.Path(sys.argv[1]), pathlib.Path(sys.argv[2]), int(sys.argv[3])
task = TaskConfig(name="t", command=("true",), cwd=cwd, checkpoint_paths=(pathlib.Path("state"),))
waiting = Waiting(state)
steps = ("os.mkdir", "os.rename", "os.remove", "os.rmdir", "os.utime", "shutil.rmtree")
def killer(event, _):
    global left
    if event in steps:
        left -= 1
        if left == 0:
            os.kill(os.getpid(), signal.SIGKILL)
sys.addaudithook(killer)
while not waiting.ready(task):
    pass
"""


def test_an_installation_that_was_killed_anywhere_is_done_again(
    tmp_path: Path, archive: Path
) -> None:
    data, killed = archive.read_bytes(), 0
    for step in range(1, 100):
        base = tmp_path / str(step)
        cwd = _folder(base / "cwd", {"state/count": "1", "state/old/er": "x", "mine": "m"})
        waiting = Waiting(base)
        (base / "came").write_bytes(data)
        waiting.receive("t", base / "came", hashlib.sha256(data).hexdigest())
        arguments = [sys.executable, "-c", KILL, str(base), str(cwd), str(step)]
        ended = subprocess.run(arguments, check=False)
        if ended.returncode == 0:
            break
        assert ended.returncode == -signal.SIGKILL
        killed += 1
        config = task("true", cwd=cwd, checkpoint_paths=["state"])
        assert (cwd / "state" / "count").read_text() in ("1", "2")
        while not waiting.ready(config):
            pass
        assert _content(cwd) == {"state/count": "2", "state/deep/new": "y", "mine": "m"}
        assert not waiting.path("t").exists()
    assert killed >= 6


def test_what_waits_is_only_replaced_by_what_was_sent(tmp_path: Path, archive: Path) -> None:
    waiting = Waiting(tmp_path)
    right = hashlib.sha256(archive.read_bytes()).hexdigest()
    waiting.path("t").write_bytes(b"as it was")
    for wrong in ("", "0" * 64):
        with pytest.raises(ValueError, match="was announced"):
            waiting.receive("t", archive, wrong)
    assert waiting.path("t").read_bytes() == b"as it was"
    waiting.receive("t", archive, right)
    assert hashlib.sha256(waiting.path("t").read_bytes()).hexdigest() == right
    assert not archive.exists()


def test_files_that_a_task_takes_along_lie_in_its_folder(here: Path, tmp_path: Path) -> None:
    (here / "bin").mkdir()
    (here / "bin" / "run").symlink_to(here / "script.py")
    (here / "script.py").chmod(0o755)
    pack_folders({"t_1": (here, (Path("bin"),)), "t_2": (here, STATE)}, tmp_path / "f.tar")
    with tarfile.open(tmp_path / "f.tar") as tar:
        names = ["t_1/bin", "t_1/bin/run", "t_2/state", "t_2/state/count", "t_2/state/old"]
        assert tar.getnames() == names
        run = tar.getmember("t_1/bin/run")
        content = tar.extractfile(run)
        assert content is not None
        assert (run.isreg(), run.mode, content.read()) == (True, 0o755, b"mine")


@pytest.mark.parametrize(
    ("name", "why"), [("absent", "No such file"), ("ring", "a link to a directory that it is in")]
)
def test_files_that_cannot_be_taken_along_are_named(
    here: Path, tmp_path: Path, name: str, why: str
) -> None:
    (here / "ring").mkdir()
    (here / "ring" / "back").symlink_to(here / "ring")
    with pytest.raises(CheckpointError, match=why):
        pack_folders({"t": (here, (Path("state"), Path(name)))}, tmp_path / "f.tar")
    assert not list(tmp_path.glob("f.tar*"))


def test_a_sparse_member_cannot_fill_the_disk(here: Path, tmp_path: Path) -> None:
    member = _member("state/sparse")
    member.pax_headers = {
        "GNU.sparse.major": "1",
        "GNU.sparse.minor": "0",
        "GNU.sparse.name": "state/sparse",
        "GNU.sparse.realsize": str(1 << 50),
    }
    member.size = 512
    with tarfile.open(tmp_path / "s.tar", "w", format=tarfile.PAX_FORMAT) as tar:
        tar.addfile(member, io.BytesIO(b"1\n1125899906842624\n0\n".ljust(512, b"\0")))
    with pytest.raises(CheckpointError, match="no plain file"):
        install(tmp_path / "s.tar", here, STATE)


def _folder(path: Path, files: dict[str, str]) -> Path:
    for name, text in files.items():
        (path / name).parent.mkdir(parents=True, exist_ok=True)
        (path / name).write_text(text)
    return path


def _content(folder: Path) -> dict[str, str]:
    files = (path for path in folder.rglob("*") if path.is_file())
    return {str(path.relative_to(folder)): path.read_text() for path in files}
