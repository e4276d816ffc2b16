# SPDX-License-Identifier: GPL-3.0-or-later
"""The mounts of a running machine, changed from outside by the system calls themselves."""

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
_AT_FDCWD, _AT_RECURSIVE, _AT_EMPTY_PATH = -100, 0x8000, 0x1000
_SYS_OPEN_TREE, _SYS_MOVE_MOUNT, _SYS_MOUNT_SETATTR = 428, 429, 442
_OPEN_TREE_CLONE, _MOVE_FROM_EMPTY_PATH = 1, 4
_RDONLY = 1
"""https://man7.org/linux/man-pages/man2/move_mount.2.html,
https://man7.org/linux/man-pages/man2/mount_setattr.2.html; the numbers are every architecture's."""

_libc = ctypes.CDLL(None, use_errno=True)


def inside(init: ProcessId, work: Callable[[int], None], what: str) -> None:
    """Run something in the mounts of a process: in a thread of its own, which then ends.

    Nothing of the machine may be run there, for it would have the sandbox's rights: no program,
    and no module or codec that Python would only now look for among the machine's files.

    Args:
        work: gets a descriptor of the machine's mountinfo; its own /proc does not know us.
        what: cannot be had when the kernel refuses, in the words of the error.

    Raises:
        MachineError: the kernel refused, or the machine is gone.
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

    thread = threading.Thread(target=body, name="guest-mounts")
    thread.start()
    thread.join()
    for failure in failures:
        if isinstance(failure, OSError):
            raise MachineError(f"no {what} in the machine of process {init.pid}: {failure}")
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


def mounts(table: int) -> list[tuple[Path, str]]:
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


def mount(kind: str, source: str, target: Path, options: str, *, nosuid: bool = True) -> None:
    """Mount a file system of its own. Raises OSError."""
    done = _libc.mount(
        source.encode(), os.fsencode(target), kind.encode(), nosuid * _MS_NOSUID, options.encode()
    )
    _check(done, f"mount {kind} on {target}")


def open_tree(point: Path) -> int:
    """Return a copy of the mounts at and below a point, which are mounted nowhere yet.

    A descriptor, which whoever asked closes. Raises OSError.
    """
    flags = _OPEN_TREE_CLONE | os.O_CLOEXEC | _AT_RECURSIVE
    tree: int = _libc.syscall(_SYS_OPEN_TREE, _AT_FDCWD, os.fsencode(point), flags)
    _check(min(tree, 0), f"copy the mount of {point}")
    return tree


def move_mount(tree: int, point: Path) -> None:
    """Mount what `open_tree` copied. Raises OSError."""
    done = _libc.syscall(
        _SYS_MOVE_MOUNT, tree, b"", _AT_FDCWD, os.fsencode(point), _MOVE_FROM_EMPTY_PATH
    )
    _check(done, f"mount on {point}")


class _Attributes(ctypes.Structure):
    _fields_ = (
        ("attr_set", ctypes.c_uint64),
        ("attr_clr", ctypes.c_uint64),
        ("propagation", ctypes.c_uint64),
        ("userns_fd", ctypes.c_uint64),
    )


def make_read_only(tree: int) -> None:
    """Let nothing be written through what `open_tree` copied. Raises OSError."""
    attributes = _Attributes(attr_set=_RDONLY)
    size = ctypes.sizeof(attributes)
    done = _libc.syscall(
        _SYS_MOUNT_SETATTR, tree, b"", _AT_EMPTY_PATH, ctypes.byref(attributes), size
    )
    _check(done, "make a mount read-only")


def unmount(target: Path) -> None:
    """Take the last mount off a path, even while it is in use. Raises OSError."""
    done = _libc.umount2(os.fsencode(target), _UMOUNT_NOFOLLOW | _MNT_DETACH)
    _check(done, f"unmount {target}")


def _check(result: int, action: str) -> None:
    if result != 0:
        code = ctypes.get_errno()
        raise OSError(code, f"{action}: {os.strerror(code)}")
