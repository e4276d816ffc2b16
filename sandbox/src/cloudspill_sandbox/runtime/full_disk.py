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
import errno
import os
from pathlib import Path

from cloudspill_sandbox.runtime import guest_mounts
from cloudspill_sandbox.runtime.processes import ProcessId

_SOURCE = "full-disk"
_STAGE = Path("/run/full-disk")
_SMALLEST = "size=64k,nr_inodes=512,mode=0700"


def fill(init: ProcessId) -> None:
    """Leave no free space on the root file system of a machine; idempotent.

    Args:
        init: its init.

    Raises:
        MachineError: the kernel refused, or the machine is gone; then nothing has been changed.
    """
    guest_mounts.inside(init, _fill, "full disk")


def empty(init: ProcessId) -> None:
    """Take away what `fill` laid over; no error when there is nothing.

    Raises:
        MachineError: the kernel refused, or the machine is gone.
    """
    guest_mounts.inside(init, _empty, "full disk")


def _fill(table: int) -> None:
    mounts = guest_mounts.mounts(table)
    if any(source == _SOURCE for _, source in mounts):
        return
    inner = {point for point, _ in mounts}
    _STAGE.mkdir(mode=0o700, exist_ok=True)
    guest_mounts.mount("tmpfs", _SOURCE, _STAGE, _SMALLEST)
    try:
        for folder in _root_folders():
            _cover(folder, [point for point in inner if folder in point.parents])
        _use_up(_STAGE)
    except OSError:
        _empty(table)
        raise
    finally:
        guest_mounts.unmount(_STAGE)  # the overlays hold it
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
            tree = guest_mounts.open_tree(point)
            stack.callback(os.close, tree)
            kept.append((point, tree))
        options = f"lowerdir={folder},upperdir={upper},workdir={work}"
        # Programs such as sudo are in these folders, and work on a full disk too.
        guest_mounts.mount("overlay", _SOURCE, folder, options, nosuid=False)
        for point, tree in kept:
            guest_mounts.move_mount(tree, point)


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
    for point, source in reversed(guest_mounts.mounts(table)):
        if source == _SOURCE:
            guest_mounts.unmount(point)


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
