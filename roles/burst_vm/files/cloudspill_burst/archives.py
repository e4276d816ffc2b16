# SPDX-License-Identifier: GPL-3.0-or-later
"""Checkpoints and task files as tar archives: unpacked under a folder, packed out of one.

The keeper is root and the folders are the tasks': nothing here follows a symbolic link that a task
may have made, and nothing in an archive gets out of its folder.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import stat
import tarfile
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Optional

from .durable import private_file, space_for, sync_folder
from .protocol import Refusal, bad_request

_SETTLING = 0.02
"""Seconds in which a file may change twice with one time stamp: a few ticks of the kernel."""
_TRIES = 20
_COPY = 1 << 20


@dataclass(frozen=True)
class Packed:
    """An archive that was made.

    Attributes:
        sha256, size: of the file, in hexadecimal and in bytes.
        left_out: what was asked for and does not exist, or is neither file nor folder.
    """

    sha256: str
    size: int
    left_out: tuple[str, ...]


def digest(path: Path) -> str:
    """Return the SHA-256 of a file in hexadecimal."""
    total = hashlib.sha256()
    with path.open("rb") as file:
        while chunk := file.read(_COPY):
            total.update(chunk)
    return total.hexdigest()


Owner = Optional[tuple[int, int]]
"""User and group of what is unpacked; None leaves them."""


def unpack(archive: Path, folder: Path, owner: Owner) -> None:
    """Unpack an archive over a folder that no task can reach yet; on return it lasts.

    Args:
        archive: a tar file of files, folders, and symbolic links that stay inside.
        folder: where to; made if it is not there.
        owner: whom everything is given to.

    Raises:
        Refusal: bad-request, the archive is damaged or holds what it must not (nothing of it was
            unpacked); no-space.
    """
    try:
        with tarfile.open(archive) as tar:
            members = [(member, _inside(member)) for member in tar]
            with space_for("the task's files"):
                own_folder(folder, owner)
                for member, path in members:
                    _unpack_member(tar, member, folder / path, folder, owner)
                for touched in {folder, *((folder / path).parent for _member, path in members)}:
                    sync_folder(touched)
    except (tarfile.TarError, EOFError, UnicodeError) as error:
        raise bad_request(f"the archive is damaged: {error}") from error


def own_folder(path: Path, owner: Owner) -> None:
    """Have a folder there, in place of whatever else is."""
    if path.is_symlink() or (path.exists() and not path.is_dir()):
        path.unlink()
    path.mkdir(exist_ok=True)
    if owner is not None:
        os.chown(path, *owner)


def _inside(member: tarfile.TarInfo) -> PurePosixPath:
    path = PurePosixPath(member.name)
    if path.is_absolute() or ".." in path.parts or "\0" in member.name:
        raise bad_request(f"the archive holds {member.name!r}, which is outside of its folder")
    if not (member.isreg() or member.isdir() or member.issym()):
        raise bad_request(f"the archive holds {member.name!r}, which is no file, folder or link")
    if member.issym():
        target = PurePosixPath(member.linkname)
        depth = len(path.parts) - 1
        for part in target.parts:
            depth += -1 if part == ".." else 1
            if depth < 0 or target.is_absolute():
                raise bad_request(f"the archive holds {member.name!r}, which points outside")
    return path


def _unpack_member(
    tar: tarfile.TarFile, member: tarfile.TarInfo, path: Path, folder: Path, owner: Owner
) -> None:
    # Folders on the way, in place of links: nothing is written through one.
    for parent in reversed(path.relative_to(folder).parents):
        own_folder(folder / parent, owner)
    if member.isdir():
        own_folder(path, owner)
        path.chmod(stat.S_IMODE(member.mode) & 0o777 | stat.S_IRWXU)
        return
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    path.unlink(missing_ok=True)
    if member.issym():
        path.symlink_to(member.linkname)
    else:
        _unpack_file(tar, member, path)
    if owner is not None:
        os.chown(path, *owner, follow_symlinks=False)


def _unpack_file(tar: tarfile.TarFile, member: tarfile.TarInfo, path: Path) -> None:
    content = tar.extractfile(member)
    assert content is not None  # for it is a regular file
    with path.open("xb") as file:
        shutil.copyfileobj(content, file, _COPY)
        file.flush()
        os.fchmod(file.fileno(), stat.S_IMODE(member.mode) & 0o777)
        os.utime(file.fileno(), (member.mtime, member.mtime))
        os.fsync(file.fileno())


def pack(folder: Path, paths: tuple[str, ...], archive: Path) -> Packed:
    """Pack what a task that does not run has left at its checkpoint paths.

    Args:
        folder: the task's folder.
        paths: files and folders in it, relative.
        archive: the file to write; it is whole or not there.

    Raises:
        Refusal: no-space.
    """
    fresh = archive.with_name(f"{archive.name}.new")
    with space_for("a checkpoint"):
        try:
            left_out: list[str] = []
            with private_file(fresh) as file:
                with tarfile.open(fileobj=file, mode="w", format=tarfile.PAX_FORMAT) as tar:
                    for found in _walk(folder, paths, left_out):
                        found.add_to(tar)
                file.flush()
                os.fsync(file.fileno())
            packed = Packed(digest(fresh), fresh.stat().st_size, tuple(left_out))
            fresh.replace(archive)
            sync_folder(archive.parent)
        except BaseException:
            fresh.unlink(missing_ok=True)
            raise
    return packed


def pack_live(folder: Path, paths: tuple[str, ...], archive: Path) -> Packed:
    """Pack the checkpoint of a running task as it was at one moment.

    It is packed again as long as a file changes meanwhile.

    Raises:
        Refusal: no-space; failed, it never stands still.
    """
    for attempt in range(_TRIES):
        before = _signature(folder, paths)
        try:
            packed = pack(folder, paths, archive)
        except (FileNotFoundError, _Shrunk):
            packed = None
        if packed is not None and before is not None and before == _signature(folder, paths):
            return packed
        archive.unlink(missing_ok=True)
        time.sleep(_SETTLING * (1 + attempt % 5))
    raise Refusal("failed", f"the checkpoint {', '.join(paths)} changes without end: not packed")


class _Shrunk(Exception):  # noqa: N818 - nothing is wrong
    """A file became shorter while it was packed."""


def _signature(folder: Path, paths: tuple[str, ...]) -> object:
    """What changes whenever a file does; None while one may change without a trace."""
    seen = []
    try:
        for found in _walk(folder, paths, []):
            seen.append((found.name, found.stat.st_ino, found.stat.st_size, found.stat.st_mtime_ns))
            if 0 <= time.time() - found.stat.st_ctime < _SETTLING:
                return None
    except FileNotFoundError:
        return None
    return seen


@dataclass(frozen=True)
class _Found:
    """A file or folder of a checkpoint: its name in the archive, and where it is."""

    name: str
    parent: int
    stat: os.stat_result

    def add_to(self, tar: tarfile.TarFile) -> None:
        info = tarfile.TarInfo(self.name)
        info.mode, info.mtime = stat.S_IMODE(self.stat.st_mode), self.stat.st_mtime
        if stat.S_ISDIR(self.stat.st_mode):
            info.type = tarfile.DIRTYPE
            tar.addfile(info)
            return
        descriptor = os.open(
            os.path.basename(self.name),  # noqa: PTH119 - relative to the parent's descriptor
            os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK,
            dir_fd=self.parent,
        )
        with os.fdopen(descriptor, "rb") as file:
            info.size = os.fstat(file.fileno()).st_size
            try:
                tar.addfile(info, file)
            except OSError as error:
                if "unexpected end of data" not in str(error):
                    raise
                raise _Shrunk from error


def _walk(folder: Path, paths: tuple[str, ...], left_out: list[str]) -> Iterator[_Found]:
    for path in paths:
        pure = PurePosixPath(path)
        if pure.is_absolute() or ".." in pure.parts:
            left_out.append(path)
            continue
        with ExitStack() as stack:
            try:
                parent = stack.enter_context(_opened(folder, None))
                for index, part in enumerate(pure.parts[:-1]):
                    parent = stack.enter_context(_opened(part, parent))
                    yield _Found(
                        str(PurePosixPath(*pure.parts[: index + 1])), parent, os.fstat(parent)
                    )
                yield from _below(str(pure), parent, left_out)
            except (FileNotFoundError, NotADirectoryError):
                left_out.append(path)


def _below(name: str, parent: int, left_out: list[str]) -> Iterator[_Found]:
    base = os.path.basename(name) or "."  # noqa: PTH119 - relative to the parent's descriptor
    found = os.stat(base, dir_fd=parent, follow_symlinks=False)
    if stat.S_ISREG(found.st_mode):
        yield _Found(name, parent, found)
    elif stat.S_ISDIR(found.st_mode):
        yield _Found(name, parent, found)
        with _opened(base, parent) as inner:
            for entry in sorted(os.listdir(inner)):  # noqa: PTH208 - of a descriptor
                yield from _below(f"{name}/{entry}" if name != "." else entry, inner, left_out)
    else:
        left_out.append(name)


@contextmanager
def _opened(path: Path | str, parent: int | None) -> Iterator[int]:
    flags = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
    descriptor = os.open(path, flags, dir_fd=parent)
    try:
        yield descriptor
    finally:
        os.close(descriptor)
