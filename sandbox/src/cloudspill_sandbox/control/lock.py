# SPDX-License-Identifier: GPL-3.0-or-later
"""One lock for one sandbox: whoever changes the host holds it."""

from __future__ import annotations

import fcntl
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

_ATTEMPTS, _PAUSE = 10, 0.02


class LockedError(RuntimeError):
    """Another process holds the sandbox; the message names it."""


def is_held(path: Path) -> bool:
    """Whether somebody holds the lock; anyone may ask."""
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    except FileNotFoundError:
        return False
    try:
        fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    finally:
        os.close(descriptor)
    return False


def _acquired(descriptor: int) -> bool:
    """Take the lock unless it is held: for longer, that is, than somebody's is_held() takes."""
    for _ in range(_ATTEMPTS):
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            time.sleep(_PAUSE)
        else:
            return True
    return False


@contextmanager
def hold(path: Path) -> Iterator[None]:
    """Hold the lock for the length of the block; the kernel frees it if the process dies.

    Raises:
        LockedError: somebody else holds it.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
    try:
        if not _acquired(descriptor):
            holder = os.read(descriptor, 32).decode() or "unknown"
            raise LockedError(
                f"another cloudspill-sandbox (pid {holder}) is starting, running or stopping; "
                "see `cloudspill-sandbox status`, or try again when it has ended"
            )
        os.ftruncate(descriptor, 0)
        os.pwrite(descriptor, str(os.getpid()).encode(), 0)
        yield
    finally:
        os.close(descriptor)
