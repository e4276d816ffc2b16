# SPDX-License-Identifier: GPL-3.0-or-later
"""One lock for one sandbox: whoever changes the host holds it."""

from __future__ import annotations

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


class LockedError(RuntimeError):
    """Another process holds the sandbox; the message names it."""


@contextmanager
def hold(path: Path) -> Iterator[None]:
    """Hold the lock for the length of the block; the kernel frees it if the process dies.

    Raises:
        LockedError: somebody else holds it.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
    try:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            holder = os.read(descriptor, 32).decode() or "unknown"
            raise LockedError(
                f"another cloudspill-sandbox (pid {holder}) is starting, running or stopping; "
                "see `cloudspill-sandbox status`, or try again when it has ended"
            ) from None
        os.ftruncate(descriptor, 0)
        os.pwrite(descriptor, str(os.getpid()).encode(), 0)
        yield
    finally:
        os.close(descriptor)
