# SPDX-License-Identifier: GPL-3.0-or-later
"""Lines and archives as they arrive on the keeper's socket."""

from __future__ import annotations

import asyncio
import contextlib
import tempfile
from collections.abc import Iterator
from pathlib import Path

from .durable import space_for
from .protocol import MAX_LINE, Refusal, bad_request

_CHUNK = 256 * 1024


async def next_line(reader: asyncio.StreamReader) -> bytes | None:
    """Return the next line, None at the end of the stream.

    Raises:
        Refusal: it was too long; it has been skipped, and the next may be read.
    """
    too_long = False
    while True:
        try:
            line = await reader.readuntil(b"\n")
        except asyncio.IncompleteReadError:
            return None
        except asyncio.LimitOverrunError as error:
            too_long = True
            await reader.readexactly(error.consumed)
            continue
        if too_long:
            raise bad_request(f"the line is longer than {MAX_LINE} bytes")
        return line


@contextlib.contextmanager
def incoming(folder: Path) -> Iterator[Path]:
    """Give the path of a file for an archive that is received, and remove it afterwards.

    Raises:
        Refusal: no-space.
    """
    with space_for("an archive"), tempfile.NamedTemporaryFile(dir=folder, delete=False) as file:
        path = Path(file.name)
    try:
        yield path
    finally:
        path.unlink(missing_ok=True)


async def receive(reader: asyncio.StreamReader, size: int, path: Path) -> None:
    """Receive an archive of a known size into a file.

    All of it is read even when there is no room for it: the other side listens only afterwards.

    Raises:
        Refusal: no-space; bad-request, the stream ended before.
    """
    refusal: Refusal | None = None
    with path.open("wb", buffering=0) as file:
        left = size
        while left:
            data = await reader.read(min(left, _CHUNK))
            if not data:
                raise bad_request(f"the archive ends {left} bytes before its {size}")
            left -= len(data)
            if refusal is None:
                try:
                    with space_for("an archive"):
                        _write_all(file.fileno(), data)
                except Refusal as full:
                    refusal = full
    if refusal is not None:
        raise refusal


def _write_all(descriptor: int, data: bytes) -> None:
    import os

    view = memoryview(data)
    while view:
        view = view[os.write(descriptor, view) :]
