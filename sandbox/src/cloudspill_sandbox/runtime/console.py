# SPDX-License-Identifier: GPL-3.0-or-later
"""A machine's serial port: what conmon logged, as the bytes that the machine wrote."""

from __future__ import annotations

from pathlib import Path

READ_LIMIT = 1 << 20
"""Compute Engine returns at most 1 MB a call:
https://cloud.google.com/compute/docs/reference/rest/v1/instances/getSerialPortOutput"""


class SerialConsole:
    """Decodes a log incrementally, so that a read costs what is new.

    The log has lines `<time> <stream> F|P <bytes>`: P means that the line goes on. Decoded bytes
    go to a file beside it; positions in that file are the serial port's.

    Args:
        log: conmon's k8s-file log, appended by each boot; need not exist.
    """

    def __init__(self, log: Path) -> None:
        self._log = log
        self._plain = log.with_name(f"{log.name}.plain")
        self._consumed = 0
        self._inode = 0
        self._plain.unlink(missing_ok=True)

    def read(self, start: int) -> tuple[bytes, int]:
        """Return at most READ_LIMIT bytes from position `start`, and the position after them."""
        self._decode_new()
        if not self._plain.exists():
            return b"", 0
        with self._plain.open("rb") as file:
            size = file.seek(0, 2)
            start = min(max(start, 0), size)
            file.seek(start)
            content = file.read(READ_LIMIT)
        return content, start + len(content)

    def _decode_new(self) -> None:
        if not self._log.exists():
            return
        with self._log.open("rb") as log:
            status = self._log.stat()
            if status.st_ino != self._inode:  # conmon began a new file: the old one was full
                self._inode, self._consumed = status.st_ino, 0
            log.seek(self._consumed)
            with self._plain.open("ab") as plain:
                for line in log:
                    if not line.endswith(b"\n"):
                        break  # conmon is writing it
                    self._consumed += len(line)
                    _, _, kind, text = line.split(b" ", 3)
                    plain.write(text if kind == b"F" else text[:-1])
