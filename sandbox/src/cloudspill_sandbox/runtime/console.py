# SPDX-License-Identifier: GPL-3.0-or-later
"""A machine's serial port: what conmon logged, as the bytes that the machine wrote."""

from __future__ import annotations

import os
import re
from pathlib import Path

READ_LIMIT = 1 << 20
"""Compute Engine returns at most 1 MB a call:
https://cloud.google.com/compute/docs/reference/rest/v1/instances/getSerialPortOutput"""

KEPT = 4 << 20
"""Bytes of the newest output that can be read; Compute Engine keeps 1 MB."""

_LINE = re.compile(rb"[^ \n]* [^ \n]* (?:F ([^\n]*\n)|P ([^\n]*)\n)")


class SerialConsole:
    """Decodes a log incrementally, so that a read costs what is new.

    The log has lines `<time> <stream> F|P <bytes>`: P means that the line goes on. Positions count
    every decoded byte, also those that are no longer kept.

    Args:
        log: conmon's k8s-file log, appended by each boot, begun anew when it is full; need not
            exist.
    """

    def __init__(self, log: Path) -> None:
        self._log = log
        self._kept = bytearray()
        self._end = 0
        self._consumed = 0
        self._inode = 0

    def read(self, start: int) -> tuple[bytes, int]:
        """Return at most READ_LIMIT bytes from position `start`, and the position after them.

        A negative `start` counts from the end. A position that is no longer kept is the oldest
        one kept; one beyond the end is the end.
        """
        self._decode_new()
        oldest = self._end - len(self._kept)
        if start < 0:
            start += self._end
        start = min(max(start, oldest), self._end)
        content = bytes(self._kept[start - oldest : start - oldest + READ_LIMIT])
        return content, start + len(content)

    def _decode_new(self) -> None:
        if not self._log.exists():
            return
        with self._log.open("rb") as log:
            status = os.fstat(log.fileno())
            # conmon began a new file, perhaps under the old one's number: the old one was full
            if status.st_ino != self._inode or status.st_size < self._consumed:
                self._inode, self._consumed = status.st_ino, 0
            log.seek(self._consumed)
            new = log.read()
        whole = new[: new.rfind(b"\n") + 1]  # conmon is writing what follows
        self._consumed += len(whole)
        plain = b"".join(full or part for full, part in _LINE.findall(whole))
        self._end += len(plain)
        self._kept += plain[-KEPT:]
        del self._kept[:-KEPT]
