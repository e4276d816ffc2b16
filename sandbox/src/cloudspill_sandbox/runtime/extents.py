# SPDX-License-Identifier: GPL-3.0-or-later
"""Which data of a file has not reached its disk yet.

A running machine's page cache is the host's own, so a plain copy of its disk also sees what the
machine never synced: kinder than Google's snapshot of a running instance, which holds what was
written to the disk (https://cloud.google.com/compute/docs/disks/snapshot-best-practices). A file
system with delayed allocation knows the difference: such data has no place on the disk yet.

Known limit: overwritten parts of a file that had their place before are seen as newer than they
would be, and so are renames and removals (a real journal would be up to 5 seconds behind).
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import stat
import struct
from collections.abc import Iterator
from pathlib import Path

from cloudspill_sandbox.runtime.trees import directories_below

_FS_IOC_FIEMAP = 0xC020660B
_EXTENT_LAST = 0x1
_EXTENT_DELALLOC = 0x4
_HEADER = struct.Struct("=QQLLLL")
_EXTENT = struct.Struct("=QQQQQLLLL")
_BATCH = 64
_WHOLE_FILE = 2**64 - 1
_WRITTEN_BACK_AFTER = 600.0
"""Seconds after which no data waits for its place any more (the kernel's own bound is 35)."""


def unsynced_files(root: Path, now: float) -> dict[Path, int]:
    """Find the regular files below `root` that end earlier on the disk than in memory.

    Args:
        root: a directory; links are not followed.
        now: wall time in seconds, to pass over what is old.

    Returns:
        Path relative to `root` and the number of leading bytes that are on the disk. Empty where
        the file system does not tell.
    """
    found = {}
    for path in _recent_files(root, now - _WRITTEN_BACK_AFTER):
        kept = _bytes_on_disk(path)
        if kept is not None:
            found[path.relative_to(root)] = kept
    return found


def _recent_files(root: Path, since: float) -> Iterator[Path]:
    for directory in directories_below(root):
        for path in directory.iterdir():
            with contextlib.suppress(OSError):  # its path is longer than the kernel takes
                status = path.lstat()
                # The change time cannot be set by the machine, the modification time can.
                if stat.S_ISREG(status.st_mode) and status.st_ctime >= since:
                    yield path


def _bytes_on_disk(path: Path) -> int | None:
    """Return where the first data without a place on the disk begins, None if all has one."""
    descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NOATIME)
    try:
        start = 0
        while True:
            request = bytearray(_HEADER.size + _BATCH * _EXTENT.size)
            _HEADER.pack_into(request, 0, start, _WHOLE_FILE - start, 0, 0, _BATCH, 0)
            try:
                fcntl.ioctl(descriptor, _FS_IOC_FIEMAP, request)
            except OSError:
                return None
            mapped = _HEADER.unpack_from(request)[3]
            for index in range(mapped):
                extent = _EXTENT.unpack_from(request, _HEADER.size + index * _EXTENT.size)
                logical, length, flags = extent[0], extent[2], extent[5]
                if flags & _EXTENT_DELALLOC:
                    return int(logical)
                if flags & _EXTENT_LAST:
                    return None
                start = logical + length
            if mapped < _BATCH:
                return None
    finally:
        os.close(descriptor)
