# SPDX-License-Identifier: GPL-3.0-or-later
"""The bytes of objects, in files of their own.

A file is written, synced and only then given its name; whoever commits a document that names it can
rely on it after a kill of the process. What such a kill left, the next start removes, where no
document names it, or gives back to the upload that it is of.
"""

from __future__ import annotations

import contextlib
import os
import secrets
from collections.abc import Collection
from pathlib import Path
from typing import BinaryIO

_KEPT = "kept"
_PARTIAL = "partial"


class Blobs:
    """A directory of content files.

    Ids of contents are random; each document has its own file, which may be a hard link: removing
    one never takes bytes from another.

    Args:
        directory: made by `prepare`.
    """

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self._kept = directory / _KEPT
        self._partial = directory / _PARTIAL

    def prepare(self) -> None:
        """Make the directory where there is none yet, mode 0700."""
        self._directory.parent.mkdir(parents=True, exist_ok=True)
        for folder in (self._directory, self._kept, self._partial):
            folder.mkdir(mode=0o700, exist_ok=True)

    def create(self) -> str:
        """Make an empty content that is still written to; return its id."""
        content = secrets.token_hex(16)
        self.partial_path(content).touch(0o600, exist_ok=False)
        return content

    def partial_path(self, content: str) -> Path:
        """Return where a content lies while it is written."""
        return self._partial / content

    def append(self, content: str) -> BinaryIO:
        """Open a content that is still written to, at its end.

        Raises:
            FileNotFoundError: it was removed; to make it again would leave it behind.
        """
        return open(self.partial_path(content), "ab", opener=_open_existing)

    def partial_size(self, content: str) -> int:
        """Return how many bytes a content has that is still written to; 0 when it is gone."""
        try:
            return self.partial_path(content).stat().st_size
        except FileNotFoundError:
            return 0

    def truncate(self, content: str, size: int) -> None:
        """Cut a content that is still written to; nothing happens when it is no longer."""
        if self.partial_size(content) > size:
            os.truncate(self.partial_path(content), size)

    def keep(self, content: str) -> None:
        """Make a content durable: synced, and under its final name. Blocks for the disk."""
        partial = self.partial_path(content)
        descriptor = os.open(partial, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
        kept = self._path(content)
        kept.parent.mkdir(mode=0o700, exist_ok=True)
        partial.rename(kept)
        _sync_folder(kept.parent)

    def reopen(self, content: str) -> None:
        """Take `keep` back; nothing happens to what was not kept."""
        with contextlib.suppress(FileNotFoundError):
            self._path(content).rename(self.partial_path(content))

    def copy(self, content: str) -> str:
        """Return the id of a content with the same bytes, which takes no space of its own.

        Done at once, so that the other cannot be removed before; durable only after `sync`.
        """
        copy = secrets.token_hex(16)
        path = self._path(copy)
        path.parent.mkdir(mode=0o700, exist_ok=True)
        os.link(self._path(content), path)
        return copy

    def sync(self, content: str) -> None:
        """Make the name of a copy durable. Blocks for the disk."""
        _sync_folder(self._path(content).parent)

    def open(self, content: str) -> BinaryIO:
        """Open a durable content; it can be read on after it was removed."""
        return self._path(content).open("rb", buffering=0)

    def remove(self, *contents: str) -> None:
        """Remove contents, durable or not; what is absent is no error.

        In the order in which `keep` moves them: one that a thread is at cannot slip through.
        """
        for content in contents:
            self.partial_path(content).unlink(missing_ok=True)
            self._path(content).unlink(missing_ok=True)

    def sweep(self, named: Collection[str]) -> int:
        """Remove what no document names; return how many files that were."""
        orphans = [
            file
            for folder in (self._partial, *self._kept.iterdir())
            for file in folder.iterdir()
            if file.name not in named
        ]
        for file in orphans:
            file.unlink()
        return len(orphans)

    def _path(self, content: str) -> Path:
        return self._kept / content[:2] / content


def _open_existing(path: str, flags: int) -> int:
    return os.open(path, flags & ~os.O_CREAT)


def _sync_folder(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
