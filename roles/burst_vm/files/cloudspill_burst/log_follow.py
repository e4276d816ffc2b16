# SPDX-License-Identifier: GPL-3.0-or-later
"""A run's log, sent as it is written."""

from __future__ import annotations

import asyncio
import base64
from collections.abc import Awaitable, Callable
from pathlib import Path

from .protocol import Document

CHUNK = 64 * 1024
_PAUSE = 0.1


async def follow(
    log: Path,
    run: int,
    offset: int,
    most: int | None,
    send: Callable[[Document], Awaitable[None]],
) -> None:
    """Send a log from an offset on, as it grows, until as much as is wanted has been sent.

    Args:
        log: the file; it may not exist yet.
        run: the run's number.
        offset: the first byte to send.
        most: bytes to send, None for all that ever comes.
        send: takes each piece, and returns when the next may come.
    """
    while most is None or most > 0:
        try:
            with log.open("rb") as file:
                file.seek(offset)
                data = file.read(CHUNK if most is None else min(CHUNK, most))
        except FileNotFoundError:
            data = b""
        if not data:
            await asyncio.sleep(_PAUSE)
            continue
        piece = {"run": run, "offset": offset, "data": base64.b64encode(data).decode()}
        await send({"log": piece})
        offset += len(data)
        most = None if most is None else most - len(data)
