# SPDX-License-Identifier: GPL-3.0-or-later
"""One monitor per state directory."""

from __future__ import annotations

import fcntl
import json
import os
import socket
from datetime import UTC, datetime
from pathlib import Path
from types import TracebackType
from typing import Self


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
            fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            owner_name = _describe(self._path)
            os.close(self._file)
            raise LockedError(
                f"{directory} is in use by {owner_name}; "
                "stop it, or give this one another state_dir"
            ) from None
        owner = {"pid": os.getpid(), "host": socket.gethostname(), "since": wall}
        os.ftruncate(self._file, 0)
        os.pwrite(self._file, json.dumps(owner).encode(), 0)

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
    """The monitor that holds `directory`, in words; None when none does."""
    path = directory / "lock"
    try:
        file = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    except FileNotFoundError:
        return None
    try:
        fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return _describe(path)
    finally:
        os.close(file)
    return None


def _describe(path: Path) -> str:
    try:
        owner = json.loads(path.read_text())
        since = datetime.fromtimestamp(owner["since"], UTC).astimezone()
        return f"the monitor with process id {owner['pid']} on {owner['host']}, since {since:%F %T}"
    except (OSError, ValueError, KeyError, TypeError):
        return "another monitor that has not written its name yet"
