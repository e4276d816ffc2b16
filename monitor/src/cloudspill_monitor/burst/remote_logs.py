# SPDX-License-Identifier: GPL-3.0-or-later
"""A remote run's log at home: a file whose size is the offset to go on from.

Nothing else has to be remembered, so whoever is killed, and whenever: nothing is lost or repeated.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

_MOST_PARTIAL = 64 * 1024  # bytes of a line without end; more is shown in pieces


class RemoteLog:
    """The file `path`, which may exist already; `say` is told when it cannot be written."""

    def __init__(self, path: Path, say: Callable[[str], None] = lambda _: None) -> None:
        self._path = path
        self._say = say
        self._seen = self.size  # bytes that have gone to take()'s lines
        self._partial = self._unfinished_line()
        self.failing = False
        self._told = False

    @property
    def size(self) -> int:
        """Bytes that are home."""
        try:
            return self._path.stat().st_size
        except OSError:
            return 0

    @property
    def resume_offset(self) -> int:
        """Where to go on: after what the file holds, or, while it cannot be written, was seen."""
        return self._seen if self.failing else self.size

    def take(self, offset: int, data: bytes) -> list[str]:
        """Keep what is new of `data`, the log's bytes from `offset` on; the whole lines in it.

        Bytes that are here already are cut, bytes beyond a gap are left for the next time. When
        the file cannot be written (`failing`), lines are returned all the same.
        """
        if not self.failing:
            self._append(offset, data)
        if not offset <= self._seen < offset + len(data):
            return []
        fresh = data[self._seen - offset :]
        self._seen += len(fresh)
        *whole, self._partial = (self._partial + fresh).split(b"\n")
        if len(self._partial) > _MOST_PARTIAL:
            whole, self._partial = [*whole, self._partial], b""
        return [_text(line) for line in whole]

    def try_again(self) -> None:
        """The file may be writable by now: `resume_offset` is where it ends."""
        self.failing = False

    def finish(self) -> list[str]:
        """What is left of a last line that has no end."""
        partial, self._partial = self._partial, b""
        return [_text(partial)] if partial else []

    def sync(self) -> None:
        """Have what is home survive a loss of power. Raises OSError; may take a while."""
        with self._path.open("rb") as log:
            os.fsync(log.fileno())

    def _append(self, offset: int, data: bytes) -> None:
        try:
            self._path.parent.mkdir(parents=True, exist_ok=True)
            file = os.open(self._path, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, 0o600)
            try:
                size = os.fstat(file).st_size
                rest = memoryview(data)[size - offset :] if offset <= size else b""
                while rest:
                    rest = rest[os.write(file, rest) :]
            finally:
                os.close(file)
        except OSError as error:
            self.failing = True
            self._tell(
                f"{self._path} cannot be written ({error.strerror}): lines are shown, and "
                "fetched again for the file once it can be"
            )
        else:
            self._told = False

    def _tell(self, trouble: str) -> None:
        if not self._told:  # it is tried every few seconds
            self._told = True
            self._say(trouble)

    def _unfinished_line(self) -> bytes:
        with suppress(OSError), self._path.open("rb") as log:
            log.seek(max(0, self._seen - _MOST_PARTIAL))
            return log.read().rpartition(b"\n")[2]
        return b""


def _text(line: bytes) -> str:
    return line.decode("utf-8", errors="replace").rstrip("\r")
