# SPDX-License-Identifier: GPL-3.0-or-later
"""Overlay mounts, by the system calls themselves: no process per mount.

https://docs.kernel.org/filesystems/overlayfs.html
"""

from __future__ import annotations

import ctypes
import os
import re
from collections.abc import Sequence
from pathlib import Path

_UMOUNT_NOFOLLOW = 8
_MNT_DETACH = 2
_OPTIONS_LIMIT = 4095
"""mount(2) takes one page of options."""


def overlay_options(lowers: Sequence[Path], upper: Path, work: Path) -> str:
    """Return the mount options of an overlay; `lowers` from top to bottom.

    Renames of directories work as on a disk (redirect_dir); layers may be copied and stacked
    anew, so nothing that ties an upper layer to one lower file system is kept (index, metacopy).

    Raises:
        ValueError: they do not fit in a page, because the chain is too long, or a path holds a
            character that the options give a meaning.
    """
    paths = [*lowers, upper, work]
    for path in paths:
        if any(character in str(path) for character in ",:\\"):
            raise ValueError(f"{path} holds a comma, colon or backslash; move the state elsewhere")
    options = ",".join(
        (
            f"lowerdir={':'.join(map(str, lowers))}",
            f"upperdir={upper}",
            f"workdir={work}",
            "redirect_dir=on,index=off,metacopy=off",
        )
    )
    if len(os.fsencode(options)) > _OPTIONS_LIMIT:
        raise ValueError(f"a chain of {len(lowers)} layers is longer than the kernel mounts")
    return options


def mount_overlay(target: Path, options: str) -> None:
    """Mount an overlay on a directory.

    Raises:
        OSError: the kernel refused.
    """
    libc = ctypes.CDLL(None, use_errno=True)
    done = libc.mount(b"overlay", os.fsencode(target), b"overlay", 0, options.encode())
    if done != 0:
        number = ctypes.get_errno()
        raise OSError(number, f"mount of an overlay: {os.strerror(number)}", str(target))


def unmount(target: Path, *, detach: bool = False) -> None:
    """Unmount `target`; no error when nothing is mounted there.

    Args:
        target: the mount point.
        detach: let go even while a process of the host is inside.

    Raises:
        OSError: it is busy.
    """
    if not target.is_mount():
        return
    libc = ctypes.CDLL(None, use_errno=True)
    flags = _UMOUNT_NOFOLLOW | (_MNT_DETACH if detach else 0)
    if libc.umount2(os.fsencode(target), flags) != 0:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number), str(target))


def mounts_below(*roots: Path) -> list[Path]:
    """Return the mount points at or below `roots`, innermost first."""
    points = []
    for line in Path("/proc/self/mountinfo").read_text().splitlines():
        escaped = line.split(" ")[4]
        point = Path(re.sub(r"\\(\d{3})", lambda match: chr(int(match[1], 8)), escaped))
        if any(point == root or root in point.parents for root in roots):
            points.append(point)
    return points[::-1]
