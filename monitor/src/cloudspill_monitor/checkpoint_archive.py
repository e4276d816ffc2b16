# SPDX-License-Identifier: GPL-3.0-or-later
"""Checkpoints as tar archives: packed when a task leaves, installed before it is started here.

A task's checkpoint is what its `checkpoint_paths` hold, all of it: what comes back takes the place
of what is there. An archive comes from a VM, so it is taken for hostile: what is not a plain file
or directory below those paths is refused or left out.
"""

from __future__ import annotations

import hashlib
import io
import os
import shutil
import stat
import tarfile
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import BinaryIO

_STAGED = ".cloudspill-"
_BLOCK = 1 << 20


class CheckpointError(Exception):
    """A checkpoint cannot be packed or installed; the message says which, why, and what to do.

    Nothing was replaced: what could be read before is as it was.
    """


@dataclass(frozen=True, slots=True)
class Packed:
    """An archive: its SHA-256 (hexadecimal), its size in bytes, and the paths that do not exist.

    A task that has written no checkpoint yet moves without one.
    """

    sha256: str
    size: int
    missing: tuple[Path, ...] = ()


def pack(cwd: Path, paths: Sequence[Path], archive: Path) -> Packed:
    """Write what `paths` (relative to `cwd`) hold to the file `archive`, whole or not at all.

    Raises CheckpointError: the disk is full, a path leads out of `cwd`, or there is something
    that is neither a file nor a directory.
    """
    with _explained(f"the checkpoint cannot be packed into {archive}"):
        missing = [path for path in paths if not os.path.lexists(cwd / _inside(path))]
        present = [path for path in paths if path not in missing]
        _refuse_links(cwd, present)
        names = (name for path in present for name in _tree(cwd, path))
        summed = _write(archive, ((cwd / name, name) for name in names))
    return Packed(summed.hash.hexdigest(), summed.size, tuple(missing))


def pack_folders(folders: Mapping[str, tuple[Path, Sequence[Path]]], archive: Path) -> None:
    """Write to `archive` what each task takes along: its slug, and paths relative to its cwd.

    The names in it begin with the slug. Links are followed, for what they lead to may not be
    there. Raises CheckpointError, also when a path does not exist.
    """
    with _explained(f"what tasks take along cannot be packed into {archive}"):
        _write(
            archive,
            (
                (cwd / name, Path(slug) / name)
                for slug, (cwd, paths) in folders.items()
                for path in paths
                for name in _tree(cwd, _inside(path), follow=True)
            ),
        )


def install(archive: Path, cwd: Path, paths: Sequence[Path]) -> None:
    """Make `paths` (relative to `cwd`) hold what `archive` holds; an empty one changes nothing.

    Everything is written beside its place first, so a full disk is met before anything is
    replaced. Killed in between, it can be done again. Raises CheckpointError.
    """
    with (
        _explained(f"the checkpoint {archive} cannot be installed in {cwd}"),
        _opened(archive) as tar,
    ):
        members = {
            name: member
            for name, member in _members(tar).items()
            if any(_below(name, path) for path in paths)
        }
        if not members:
            return
        _refuse_links(cwd, (Path(name) for name in members))
        for name, member in members.items():
            if member.isdir():
                (cwd / name).mkdir(parents=True, exist_ok=True)
            else:
                (cwd / name).parent.mkdir(parents=True, exist_ok=True)
        staged = _stage(tar, cwd, members)
        for fresh, target in staged.items():
            fresh.replace(target)
        kept = {part for name in members for part in (Path(name), *Path(name).parents)}
        for path in paths:
            _remove_others(cwd, path, kept)
        for directory in {target.parent for target in staged.values()}:
            sync_directory(directory)


def check_sum(archive: Path, sha256: str) -> None:
    """See that `archive` is what was sent. Raises ValueError, OSError."""
    with archive.open("rb") as file:
        found = hashlib.file_digest(file, "sha256").hexdigest()
    if found != sha256:
        raise ValueError(f"{archive} has the sum {found}, and {sha256 or 'none'} was announced")


def check_members(archive: Path) -> None:
    """See that `archive` holds nothing that would be refused here. Raises ValueError, OSError."""
    try:
        with _opened(archive) as tar:
            _members(tar)
    except (CheckpointError, tarfile.TarError, EOFError) as error:
        raise ValueError(f"{archive}: {error}") from error


def sync_directory(directory: Path) -> None:
    """Make the names in `directory` outlive a power cut. Raises OSError."""
    descriptor = os.open(directory, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


class _Summed:
    """Counts and sums what is written through it."""

    def __init__(self, file: BinaryIO) -> None:
        self._file = file
        self.hash = hashlib.sha256()
        self.size = 0

    def write(self, data: bytes) -> int:
        self.hash.update(data)
        self.size += len(data)
        return self._file.write(data)


def _write(archive: Path, entries: Iterable[tuple[Path, Path]]) -> _Summed:
    """Write a tar of sources under names, each name once; whole or not at all."""
    fresh = archive.with_name(f"{archive.name}.new")
    try:
        with fresh.open("wb") as file:
            os.fchmod(file.fileno(), 0o600)
            summed = _Summed(file)
            with tarfile.open(fileobj=summed, mode="w|", format=tarfile.PAX_FORMAT) as tar:  # type: ignore[call-overload]
                for name, source in {name: source for source, name in entries}.items():
                    _add(tar, source, name)
            file.flush()
            os.fsync(file.fileno())
        fresh.replace(archive)
        sync_directory(archive.parent)
    except BaseException:
        fresh.unlink(missing_ok=True)
        raise
    return summed


def _tree(
    cwd: Path, path: Path, *, follow: bool = False, above: tuple[tuple[int, int], ...] = ()
) -> Iterator[Path]:
    """`path` and everything below it, directories before what is in them."""
    found = (cwd / path).stat(follow_symlinks=follow)
    if stat.S_ISDIR(found.st_mode):
        this = found.st_dev, found.st_ino
        if this in above:
            raise CheckpointError(f"{cwd / path} is a link to a directory that it is in")
        if path.parts:
            yield path
        for name in sorted(os.listdir(cwd / path)):  # noqa: PTH208 - names, not paths
            yield from _tree(cwd, path / name, follow=follow, above=(*above, this))
    elif stat.S_ISREG(found.st_mode):
        yield path
    else:
        what = "a symbolic link" if stat.S_ISLNK(found.st_mode) else "not a file or directory"
        raise CheckpointError(f"{cwd / path} is {what}, which cannot move; list what can")


def _add(tar: tarfile.TarFile, source: Path, name: Path) -> None:
    member = tarfile.TarInfo(name.as_posix())
    descriptor = os.open(source, os.O_RDONLY | os.O_NONBLOCK)  # not to wait for a pipe's writer
    try:
        found = os.fstat(descriptor)
        member.mode, member.mtime = stat.S_IMODE(found.st_mode) & 0o777, found.st_mtime
        if stat.S_ISDIR(found.st_mode):
            member.type = tarfile.DIRTYPE
            tar.addfile(member)
            return
        member.size = found.st_size
        with open(descriptor, "rb", closefd=False) as file:
            tar.addfile(member, file)
    finally:
        os.close(descriptor)


@contextmanager
def _opened(archive: Path) -> Iterator[tarfile.TarFile]:
    with archive.open("rb") as file:
        whole = file if os.fstat(file.fileno()).st_size else io.BytesIO(bytes(tarfile.RECORDSIZE))
        with tarfile.open(fileobj=whole, mode="r:") as tar:  # nothing at all is an empty archive
            yield tar


def _members(tar: tarfile.TarFile) -> dict[str, tarfile.TarInfo]:
    found: dict[str, tarfile.TarInfo] = {}
    for member in tar:
        name = PurePosixPath(member.name)
        if name.is_absolute() or ".." in name.parts or "\0" in member.name:
            raise CheckpointError(f"it holds {member.name!r}, which leads out of the task's folder")
        if not (member.isdir() or (member.isreg() and not member.issparse())):
            raise CheckpointError(f"it holds {member.name!r}, which is no plain file or directory")
        if name.parts and found.setdefault(str(name), member) is not member:
            raise CheckpointError(f"it holds {member.name!r} twice")
    return found


def _stage(
    tar: tarfile.TarFile, cwd: Path, members: dict[str, tarfile.TarInfo]
) -> dict[Path, Path]:
    files = [(cwd / name, member) for name, member in members.items() if member.isreg()]
    for target, _ in files:
        if target.is_dir():
            raise CheckpointError(f"{target} is a directory, and a file in the archive")
    for directory in {target.parent for target, _ in files}:
        for left in directory.glob(f"{_STAGED}*"):  # by a monitor that was killed
            left.unlink()
    staged: dict[Path, Path] = {}
    try:
        for number, (target, member) in enumerate(files):
            fresh = target.with_name(f"{_STAGED}{number}")
            staged[fresh] = target
            _extract(tar, member, fresh)
    except BaseException:
        for fresh in staged:
            with suppress(OSError):
                fresh.unlink(missing_ok=True)
        raise
    return staged


def _extract(tar: tarfile.TarFile, member: tarfile.TarInfo, fresh: Path) -> None:
    source = tar.extractfile(member)
    assert source is not None  # it is a file
    descriptor = os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, 0o600)
    with open(descriptor, "wb") as file:  # noqa: PTH123 - a descriptor, not a path
        shutil.copyfileobj(source, file, _BLOCK)
        file.flush()
        if os.fstat(descriptor).st_size != member.size:
            raise CheckpointError(f"it ends within {member.name!r}")
        os.fchmod(descriptor, member.mode & 0o777)
        os.utime(descriptor, (member.mtime, member.mtime))
        os.fsync(descriptor)


def _remove_others(cwd: Path, path: Path, kept: set[Path]) -> None:
    place = cwd / path
    if path not in kept:
        if place.is_dir() and not place.is_symlink():
            shutil.rmtree(place)
        else:
            place.unlink(missing_ok=True)
    elif place.is_dir():
        for name in os.listdir(place):  # noqa: PTH208 - names, not paths
            _remove_others(cwd, path / name, kept)


def _below(name: str, path: Path) -> bool:
    return Path(name).is_relative_to(path)


def _inside(path: Path) -> Path:
    if path.is_absolute() or ".." in path.parts:
        raise CheckpointError(f"{path} is not inside the task's folder")
    return path


def _refuse_links(cwd: Path, paths: Iterable[Path]) -> None:
    """What is reached through a link may lie anywhere."""
    for parent in {cwd / parent for path in paths for parent in path.parents if parent.parts}:
        if parent.is_symlink():
            raise CheckpointError(
                f"{parent} is a symbolic link, so what is below it cannot move with the task"
            )


@contextmanager
def _explained(what: str) -> Iterator[None]:
    try:
        yield
    except CheckpointError as error:
        raise CheckpointError(f"{what}: {error}") from error
    except (OSError, tarfile.TarError, ValueError, EOFError) as error:
        raise CheckpointError(f"{what}: {error}") from error
