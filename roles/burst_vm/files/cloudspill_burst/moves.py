# SPDX-License-Identifier: GPL-3.0-or-later
"""Fencing of moves: what belongs to a play that is over is refused, however late it arrives."""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections.abc import Iterator
from pathlib import Path

from .durable import replace_file
from .protocol import Refusal


class Moves:
    """Which moves may still act.

    Args:
        file: where the highest fenced move is kept.
    """

    def __init__(self, file: Path) -> None:
        self._file = file
        self._under_way: set[asyncio.Future[None]] = set()
        self.fenced = -1
        with contextlib.suppress(FileNotFoundError):
            self.fenced = int(json.loads(file.read_bytes()))

    @contextlib.contextmanager
    def acting(self, move: int) -> Iterator[None]:
        """What a move does; a fence waits until it is done.

        Raises:
            Refusal: stale-move.
        """
        if move <= self.fenced:
            raise Refusal(
                "stale-move", f"move {move} is over: moves up to {self.fenced} are fenced"
            )
        with self.under_way():
            yield

    @contextlib.contextmanager
    def under_way(self) -> Iterator[None]:
        """Something whose end a fence waits for."""
        done: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._under_way.add(done)
        try:
            yield
        finally:
            self._under_way.discard(done)
            done.set_result(None)

    async def fence(self, move: int) -> None:
        """Refuse this move and all before it from now on; return when none of them acts any more.

        Raises:
            Refusal: no-space, it would not outlive this keeper.
        """
        if move > self.fenced:
            content = json.dumps(move).encode()
            self.fenced = move
            await asyncio.get_running_loop().run_in_executor(
                None, replace_file, self._file, content
            )
        if self._under_way:
            await asyncio.wait(list(self._under_way))
