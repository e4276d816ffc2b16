# SPDX-License-Identifier: GPL-3.0-or-later
"""One monitor per state directory."""

from __future__ import annotations

import fcntl
import json
import math
import os
import socket
import struct
from datetime import UTC, datetime
from pathlib import Path
from types import TracebackType
from typing import Self

MARK_EVERY = 10.0  # seconds between two marks of a monitor that has a VM

# struct flock of fcntl(2), for a write lock on all of the file. Locks of open file descriptions,
# unlike those of processes, are not lost when another descriptor of the file is closed.
_WHOLE_FILE = struct.pack("hhqqi", fcntl.F_WRLCK, os.SEEK_SET, 0, 0, 0)


class LockedError(Exception):
    """Another monitor holds the state directory; the message says which."""


class StateLock:
    """Holds `directory` until it is closed or the process ends, however it ends.

    Raises LockedError when another process holds it.
    """

    def __init__(self, directory: Path, wall: float) -> None:
        self._path = directory / "lock"
        self._file = os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            fcntl.fcntl(self._file, fcntl.F_OFD_SETLK, _WHOLE_FILE)
        except BlockingIOError:
            owner_name = _describe(self._path)
            os.close(self._file)
            raise LockedError(
                f"{directory} is in use by {owner_name}; "
                "stop it, or give this one another state_dir"
            ) from None
        self._owner = {"pid": os.getpid(), "host": socket.gethostname(), "since": wall}
        os.ftruncate(self._file, 0)
        self._write(wall)

    def mark(self, wall: float) -> None:
        """Its holder lives at `wall`: kept so that it outlives a loss of power. Raises OSError."""
        self._write(wall)
        os.fsync(self._file)

    def _write(self, wall: float) -> None:
        # The last key, in whole seconds: what is written is always as long as what was there.
        self._owner["lived"] = math.ceil(wall)
        os.pwrite(self._file, json.dumps(self._owner).encode(), 0)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        os.close(self._file)


def holder(directory: Path) -> str | None:
    """The monitor that holds `directory`, in words; None when none does.

    Raises OSError when that cannot be found out.
    """
    path = directory / "lock"
    try:
        file = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    except FileNotFoundError:
        return None
    try:
        # Asked, not tried: a lock held for an instant could refuse a monitor that starts then.
        found = fcntl.fcntl(file, fcntl.F_OFD_GETLK, _WHOLE_FILE)
    finally:
        os.close(file)
    (kind,) = struct.unpack_from("h", found)
    return None if kind == fcntl.F_UNLCK else _describe(path)


def last_lived(directory: Path) -> float | None:
    """The wall time when the last holder of `directory` was marked, rounded up; None: not known.

    While it had a VM, it was marked again at least every MARK_EVERY seconds.
    """
    try:
        return float(json.loads((directory / "lock").read_text())["lived"])
    except (OSError, ValueError, KeyError, TypeError):
        return None


def _describe(path: Path) -> str:
    try:
        owner = json.loads(path.read_text())
        since = datetime.fromtimestamp(owner["since"], UTC).astimezone()
        return f"the monitor with process id {owner['pid']} on {owner['host']}, since {since:%F %T}"
    except (OSError, ValueError, KeyError, TypeError):
        return "another monitor that has not written its name yet"
