# SPDX-License-Identifier: GPL-3.0-or-later
"""The log of API calls: JSON lines in two files of bounded size, the older one `.1`."""

from __future__ import annotations

import contextlib
import json
import os
from collections.abc import Callable, Generator, Iterable, Iterator
from pathlib import Path
from typing import BinaryIO

from cloudspill_sandbox.engine.call_record import CallRecord

MAX_BYTES = 8_000_000
"""Of one file; some 30,000 calls."""

LONGEST_TEXT = 2000
"""Characters that are kept of what a client may make as long as it likes."""


class CallLog:
    """Writes records, each whole and at once; a context manager.

    Args:
        path: of the newer file; it is gone on with where there is one.
    """

    def __init__(self, path: Path, max_bytes: int = MAX_BYTES) -> None:
        self._path = path
        self._max_bytes = max_bytes
        self._descriptor = -1
        self._size = 0
        self._open()

    def __enter__(self) -> CallLog:
        """Return itself."""
        return self

    def __exit__(self, *_: object) -> None:
        """Close the file."""
        os.close(self._descriptor)

    def record(self, record: CallRecord) -> None:
        """Append a line; where the disk is full, the call goes on without."""
        with contextlib.suppress(OSError):
            self._append(_line(record))

    def _append(self, line: bytes) -> None:
        if self._size + len(line) > self._max_bytes:
            self._path.replace(older(self._path))
            os.close(self._descriptor)
            self._open()
        self._size += os.write(self._descriptor, line)

    def _open(self) -> None:
        flags = os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC
        self._descriptor = os.open(self._path, flags, 0o644)
        self._size = os.fstat(self._descriptor).st_size


def older(path: Path) -> Path:
    """Return where the lines go for which there is no room any more."""
    return path.with_name(f"{path.name}.1")


def _line(record: CallRecord) -> bytes:
    document = {
        "time": record.time,
        "method": record.method,
        "http_method": _short(record.http_method),
        "host": _short(record.host),
        "path": _short(record.path),
        "principal": record.principal,
        "status": record.status,
        "milliseconds": round(record.milliseconds, 3),
        "refusal": _short(record.refusal),
    }
    return json.dumps(document, separators=(",", ":")).encode() + b"\n"


def _short(text: str) -> str:
    return text if len(text) <= LONGEST_TEXT else text[:LONGEST_TEXT] + "…"


def kept(path: Path) -> Iterator[CallRecord]:
    """Yield every record, the oldest first; a line that a kill cut short is left out."""
    for file in (older(path), path):
        try:
            lines = file.open("rb")
        except FileNotFoundError:
            continue
        with lines:
            yield from _records(lines)


def followed(path: Path, pause: Callable[[], None]) -> Generator[CallRecord, None, None]:
    """Yield the records that come from now on, for ever; `pause` is called when there are none."""
    start = path.stat().st_size if path.exists() else 0
    while True:
        if not path.exists():
            pause()
            continue
        with path.open("rb") as file:
            file.seek(start)
            yield from _records(_lines(file, path, pause))
        start = 0


def _lines(file: BinaryIO, path: Path, pause: Callable[[], None]) -> Iterator[bytes]:
    """Yield a file's lines as they come, until it has become the older one and has no more."""
    rest = b""
    current = True
    while True:
        read = file.read()
        *whole, rest = (rest + read).split(b"\n")
        yield from (line + b"\n" for line in whole)
        if read:
            continue
        if not current:
            return
        current = _is_current(file.fileno(), path)  # what came meanwhile is read once more
        if current:
            pause()


def _is_current(descriptor: int, path: Path) -> bool:
    try:
        return os.path.samestat(os.fstat(descriptor), path.stat())
    except FileNotFoundError:
        return False


def _records(lines: Iterable[bytes]) -> Iterator[CallRecord]:
    for line in lines:
        if line.endswith(b"\n"):
            yield CallRecord(**json.loads(line))
