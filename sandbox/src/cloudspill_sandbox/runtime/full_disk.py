# SPDX-License-Identifier: GPL-3.0-or-later
"""A machine's disk without a free byte.

A root file system is an overlay whose upper layer is a folder of the host: it has no size of its
own. So another overlay, whose upper layer has no space and no inode left, is laid over each folder
of the root inside the machine. All that is there is read as before; whatever is opened by its
path to be written, created, removed, or renamed meets the kernel's own ENOSPC, and `df` shows a
full file system. Taking the overlays away gives everything back, and nothing can have been lost.

Known limits: what was open for writing before goes on being written; nothing can be removed while
the disk is full; a socket below the root folders (not /run) answers only who connected before;
a reboot from inside ends it.
"""

from __future__ import annotations

import contextlib
import ctypes
import errno
import os
import re
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

from cloudspill_sandbox.runtime.interface import MachineError
from cloudspill_sandbox.runtime.processes import ProcessId

_MS_NOSUID = 2
_UMOUNT_NOFOLLOW, _MNT_DETACH = 8, 2
_CLONE_FS, _CLONE_NEWNS = 0x200, 0x20000
_AT_FDCWD, _AT_RECURSIVE = -100, 0x8000
_SYS_OPEN_TREE, _SYS_MOVE_MOUNT = 428, 429
_OPEN_TREE_CLONE, _MOVE_FROM_EMPTY_PATH = 1, 4
"""https://man7.org/linux/man-pages/man2/move_mount.2.html; the numbers are every architecture's."""

_SOURCE = "full-disk"
_STAGE = Path("/run/full-disk")
_SMALLEST = "size=64k,nr_inodes=512,mode=0700"

_libc = ctypes.CDLL(None, use_errno=True)


def fill(init: ProcessId) -> None:
    """Leave no free space on the root file system of a machine; idempotent.

    Args:
        init: its init.

    Raises:
        MachineError: the kernel refused, or the machine is gone; then nothing has been changed.
    """
    _inside(init, _fill)


def empty(init: ProcessId) -> None:
    """Take away what `fill` laid over; no error when there is nothing.

    Raises:
        MachineError: the kernel refused, or the machine is gone.
    """
    _inside(init, _empty)


def _inside(init: ProcessId, work: Callable[[int], None]) -> None:
    """Run something in the mounts of a process: in a thread of its own, which then ends.

    Nothing of the machine may be run there, for it would have the sandbox's rights: no program,
    and no module or codec that Python would only now look for among the machine's files.

    Args:
        work: gets a descriptor of the machine's mountinfo; its own /proc does not know us.
    """
    failures: list[BaseException] = []

    def body() -> None:
        try:
            with _opened(f"/proc/{init.pid}/mountinfo") as table:
                with _opened(f"/proc/{init.pid}/ns/mnt") as namespace:
                    _require(init)
                    _check(_libc.unshare(_CLONE_FS), "part from the sandbox's root")
                    _check(_libc.setns(namespace, _CLONE_NEWNS), "enter its mounts")
                work(table)
        except BaseException as error:  # noqa: BLE001 - told to whoever waits, outside
            failures.append(error)

    thread = threading.Thread(target=body, name="full-disk")
    thread.start()
    thread.join()
    for failure in failures:
        if isinstance(failure, OSError):
            raise MachineError(f"no full disk in the machine of process {init.pid}: {failure}")
        raise failure


def _require(init: ProcessId) -> None:
    """Ask once its files are open: before, its id may have become another's, even the host's."""
    if not init.exists():
        raise ProcessLookupError(errno.ESRCH, "it has ended")


@contextlib.contextmanager
def _opened(path: str) -> Iterator[int]:
    descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        yield descriptor
    finally:
        os.close(descriptor)


def _fill(table: int) -> None:
    mounts = _mounts(table)
    if any(source == _SOURCE for _, source in mounts):
        return
    inner = {point for point, _ in mounts}
    _STAGE.mkdir(mode=0o700, exist_ok=True)
    _mount("tmpfs", _SOURCE, _STAGE, _SMALLEST)
    try:
        for folder in _root_folders():
            _cover(folder, [point for point in inner if folder in point.parents])
        _use_up(_STAGE)
    except OSError:
        _empty(table)
        raise
    finally:
        _unmount(_STAGE)  # the overlays hold it
        _STAGE.rmdir()


def _cover(folder: Path, inner: list[Path]) -> None:
    """Lay an overlay over a folder; what is mounted inside stays to be seen."""
    upper, work = _STAGE / f"{folder.name}.u", _STAGE / f"{folder.name}.w"
    upper.mkdir()
    work.mkdir()
    above = folder.stat()
    os.chown(upper, above.st_uid, above.st_gid)
    upper.chmod(above.st_mode & 0o7777)
    with contextlib.ExitStack() as stack:
        kept = []
        for point in sorted(inner):
            tree = _open_tree(point)
            stack.callback(os.close, tree)
            kept.append((point, tree))
        _mount("overlay", _SOURCE, folder, f"lowerdir={folder},upperdir={upper},workdir={work}")
        for point, tree in kept:
            _move_mount(tree, point)


def _use_up(folder: Path) -> None:
    """Take every byte and every inode of a file system."""
    with contextlib.suppress(_FullError), (folder / "bytes").open("wb", buffering=0) as file:
        while True:
            _write(file.fileno())
    number = 0
    while True:
        try:
            (folder / f"inode-{number}").touch()
        except OSError as error:
            if error.errno != errno.ENOSPC:
                raise
            return
        number += 1


class _FullError(Exception):
    """No byte is left."""


def _write(descriptor: int) -> None:
    try:
        os.write(descriptor, bytes(4096))
    except OSError as error:
        if error.errno == errno.ENOSPC:
            raise _FullError from None
        raise


def _empty(table: int) -> None:
    for point, source in reversed(_mounts(table)):
        if source == _SOURCE:
            _unmount(point)


def _root_folders() -> list[Path]:
    """Return the folders of the root that lie on its own file system."""
    device = Path("/").stat().st_dev
    with os.scandir("/") as entries:
        return sorted(
            Path(entry.path)
            for entry in entries
            if entry.is_dir(follow_symlinks=False)
            and entry.stat(follow_symlinks=False).st_dev == device
        )


def _mounts(table: int) -> list[tuple[Path, str]]:
    """Return mount points and sources, the oldest first."""
    os.lseek(table, 0, os.SEEK_SET)
    text = b""
    while part := os.read(table, 1 << 16):
        text += part
    found = []
    for line in os.fsdecode(text).splitlines():
        fields, _, rest = line.partition(" - ")
        point = re.sub(r"\\(\d{3})", lambda match: chr(int(match[1], 8)), fields.split(" ")[4])
        found.append((Path(point), rest.split(" ")[1]))
    return found


def _mount(kind: str, source: str, target: Path, options: str) -> None:
    done = _libc.mount(
        source.encode(), os.fsencode(target), kind.encode(), _MS_NOSUID, options.encode()
    )
    _check(done, f"mount {kind} on {target}")


def _open_tree(point: Path) -> int:
    """Return a copy of the mounts at and below a point, which are mounted nowhere yet."""
    flags = _OPEN_TREE_CLONE | os.O_CLOEXEC | _AT_RECURSIVE
    tree: int = _libc.syscall(_SYS_OPEN_TREE, _AT_FDCWD, os.fsencode(point), flags)
    _check(min(tree, 0), f"copy the mount of {point}")
    return tree


def _move_mount(tree: int, point: Path) -> None:
    done = _libc.syscall(
        _SYS_MOVE_MOUNT, tree, b"", _AT_FDCWD, os.fsencode(point), _MOVE_FROM_EMPTY_PATH
    )
    _check(done, f"keep what is mounted on {point}")


def _unmount(target: Path) -> None:
    done = _libc.umount2(os.fsencode(target), _UMOUNT_NOFOLLOW | _MNT_DETACH)
    _check(done, f"unmount {target}")


def _check(result: int, action: str) -> None:
    if result != 0:
        code = ctypes.get_errno()
        raise OSError(code, f"{action}: {os.strerror(code)}")
