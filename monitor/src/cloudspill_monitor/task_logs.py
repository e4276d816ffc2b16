# SPDX-License-Identifier: GPL-3.0-or-later
"""Following the tasks' log files, for the console.

Tasks write straight to their files, so that nothing is lost when the monitor is not there; the
monitor only reads. Files are opened for appending, so a rotation by copy and truncate is safe.
"""

from __future__ import annotations

from pathlib import Path

_MOST_AT_ONCE = 256 * 1024


class LogTail:
    """New whole lines of the file `path`, from its present end on; it need not exist yet."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._offset = self._size()
        self._partial = b""

    def lines(self) -> list[str]:
        """Lines completed since the last call, at most 256 KiB at once."""
        size = self._size()
        if size < self._offset:
            self._offset, self._partial = 0, b""  # it was truncated
        if size == self._offset:
            return []
        try:
            with self._path.open("rb") as log:
                log.seek(self._offset)
                data = log.read(_MOST_AT_ONCE)
        except FileNotFoundError:  # removed since; the next call sees that
            return []
        self._offset += len(data)
        *whole, self._partial = (self._partial + data).split(b"\n")
        if len(self._partial) > _MOST_AT_ONCE:  # a line without end must not fill the memory
            whole, self._partial = [*whole, self._partial], b""
        return [line.decode("utf-8", errors="replace").rstrip("\r") for line in whole]

    def _size(self) -> int:
        try:
            return self._path.stat().st_size
        except FileNotFoundError:
            return 0
