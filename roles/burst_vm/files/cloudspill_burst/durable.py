# SPDX-License-Identifier: GPL-3.0-or-later
"""Files that are whole or not there, whoever is killed."""

from __future__ import annotations

import contextlib
import errno
import os
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

from .protocol import Refusal

_NO_SPACE = (errno.ENOSPC, errno.EDQUOT)


@contextlib.contextmanager
def space_for(what: str) -> Iterator[None]:
    """Turn a full disk into the refusal that says so.

    Raises:
        Refusal: no-space.
    """
    try:
        yield
    except OSError as error:
        if error.errno not in _NO_SPACE:
            raise
        raise Refusal("no-space", f"no space left on this VM's disk for {what}") from error


def private_file(path: Path) -> BinaryIO:
    """Open an empty file for writing that its owner alone can read."""
    flags = os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC
    return os.fdopen(os.open(path, flags, 0o600), "wb")


def replace_file(path: Path, content: bytes, *, sync: bool = True) -> None:
    """Give a file new content at once, readable by its owner alone.

    Args:
        path: the file.
        content: all of it.
        sync: also over a loss of power; without, over the end of this process.

    Raises:
        Refusal: the disk is full.
    """
    fresh = path.with_name(f"{path.name}.new")
    with space_for(path.name):
        try:
            with private_file(fresh) as file:
                file.write(content)
                if sync:
                    file.flush()
                    os.fsync(file.fileno())
            fresh.replace(path)
        except BaseException:
            fresh.unlink(missing_ok=True)
            raise
        if sync:
            sync_folder(path.parent)


def sync_folder(folder: Path) -> None:
    """Make the names in a folder last."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
