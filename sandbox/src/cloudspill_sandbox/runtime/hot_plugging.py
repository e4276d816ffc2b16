# SPDX-License-Identifier: GPL-3.0-or-later
"""Disks that come to a running machine and go from it.

A disk is a folder below /mnt/disks in the machine, as those are that it booted with. What a program
has open on a disk that goes stays open for it, as after a lazy unmount.
"""

from __future__ import annotations

import contextlib
import os
from pathlib import Path

from cloudspill_sandbox.runtime import guest_mounts
from cloudspill_sandbox.runtime.processes import ProcessId

_DISKS = Path("/mnt/disks")


def plug(init: ProcessId, device: str, folder: Path, *, read_only: bool) -> None:
    """Mount a folder of the host as a machine's disk; what is mounted on it comes with it.

    Nothing is done where it is mounted already, so this may be repeated.

    Args:
        init: the machine's.

    Raises:
        MachineError: the kernel refused, or the machine is gone.
        OSError: there is no such folder.
    """
    tree = guest_mounts.open_tree(folder)
    point, plugged = _DISKS / device, folder.stat()

    def mount(_: int) -> None:
        point.mkdir(parents=True, exist_ok=True)
        if not os.path.samestat(point.lstat(), plugged):
            guest_mounts.move_mount(tree, point)

    try:
        if read_only:
            guest_mounts.make_read_only(tree)
        guest_mounts.inside(init, mount, f"disk {device}")
    finally:
        os.close(tree)


def unplug(init: ProcessId, device: str) -> None:
    """Take a disk away from a machine; no error when it has none of this name.

    Raises:
        MachineError: the kernel refused, or the machine is gone.
    """
    point = _DISKS / device

    def unmount(table: int) -> None:
        if any(mounted == point for mounted, _ in guest_mounts.mounts(table)):
            guest_mounts.unmount(point)
            with contextlib.suppress(OSError):  # the guest may have put something there
                point.rmdir()

    guest_mounts.inside(init, unmount, f"less of disk {device}")
