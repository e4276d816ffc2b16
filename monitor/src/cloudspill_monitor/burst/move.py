# SPDX-License-Identifier: GPL-3.0-or-later
"""The move that is under way, and what it asks of its playbook and answers to it."""

from __future__ import annotations

import asyncio
from collections import defaultdict
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

from cloudspill_monitor.policy_types import Direction


@dataclass(slots=True)
class Move:
    """One move: `vms` has the VM of each task, `answers` what its playbook was answered by task.

    `left_at` has when a task was last seen running (seconds since boot), `nowhere` for how long it
    then ran nowhere.
    """

    number: int
    direction: Direction
    vms: Mapping[str, str]
    answers: dict[str, dict[str, Any]] = field(default_factory=dict)
    left_at: dict[str, float] = field(default_factory=dict)
    nowhere: dict[str, float] = field(default_factory=dict)
    over: bool = False
    _locks: defaultdict[str, asyncio.Lock] = field(
        default_factory=lambda: defaultdict(asyncio.Lock)
    )

    @asynccontextmanager
    async def turn(self, task: str) -> AsyncIterator[None]:
        """One request about a task at a time."""
        async with self._locks[task]:
            yield

    async def end(self) -> None:
        """No request is begun any more, and none is under way when this returns."""
        self.over = True
        for lock in list(self._locks.values()):
            async with lock:
                pass

    def arrived(self, task: str, at: float) -> float | None:
        """The task runs again since `at`; returns for how long it ran nowhere, if it ran before."""
        left = self.left_at.pop(task, None)
        if left is None:
            return None
        self.nowhere[task] = at - left
        return at - left
