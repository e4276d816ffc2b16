# SPDX-License-Identifier: GPL-3.0-or-later
"""Guest images that are in use, and the removal of those that nobody has used for a while.

Checkouts of different ages want different images and share one store of them: an image that one
of them does not want is not useless.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import os
from collections.abc import Callable, Iterator
from pathlib import Path

from cloudspill_sandbox.runtime.trees import remove_tree

UNUSED_FOR = 7 * 24 * 3600.0
"""Seconds after its last use when an image goes; building it again costs a minute."""

_REMOVING = ".removing-"


@contextlib.contextmanager
def image_in_use(image: Path) -> Iterator[None]:
    """Keep an image from being removed while the block runs, also by other processes.

    Its directory's modification time tells when it was used last.

    Raises:
        FileNotFoundError: there is no such image, or it is being removed.
    """
    descriptor = os.open(image, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_SH)  # a remover holds it for no longer than a rename
        if not os.path.samestat(os.fstat(descriptor), image.stat()):
            raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), str(image))
        os.utime(descriptor)
        try:
            yield
        finally:
            os.utime(descriptor)
    finally:
        os.close(descriptor)


def is_there(image: Path) -> bool:
    """Tell whether an image can be used; if so, nobody removes it for UNUSED_FOR."""
    try:
        with image_in_use(image):
            return True
    except FileNotFoundError:
        return False


def remove_unused(images: Path, needed: Callable[[], set[str]], now: float) -> None:
    """Remove images that are neither in use nor needed and were not used for UNUSED_FOR.

    Args:
        images: the directory of all images; its lock is held.
        needed: tells the names of images that volumes stand on; asked only when it matters.
        now: wall time in seconds.

    Raises:
        OSError: something could not be removed; no image is left in parts.
    """
    for leftover in images.glob(f"{_REMOVING}*"):
        remove_tree(leftover)
    idle = [image for image in images.glob("[!.]*") if _is_idle(image.stat(), now)]
    keep = needed() if idle else set()
    for image in idle:
        if image.name not in keep:
            _remove(image, now)


def _is_idle(status: os.stat_result, now: float) -> bool:
    return status.st_mtime < now - UNUSED_FOR


def _remove(image: Path, now: float) -> None:
    doomed = image.with_name(_REMOVING + image.name)
    descriptor = os.open(image, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        if not _is_idle(os.fstat(descriptor), now):
            return
        image.rename(doomed)  # from here on nobody takes it for an image, whatever happens
    except BlockingIOError:
        return
    finally:
        os.close(descriptor)
    remove_tree(doomed)
