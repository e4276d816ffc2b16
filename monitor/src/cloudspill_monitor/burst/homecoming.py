# SPDX-License-Identifier: GPL-3.0-or-later
"""A task comes home: its checkpoint is safe here first, then the journal says so, then it starts.

Killed between any two of these, the next start goes on: a checkpoint that waits is installed
before the task starts, and a run that the journal still has at the VM is asked for again.
"""

from __future__ import annotations

import asyncio
from collections import defaultdict
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from cloudspill_monitor.burst.move import Move
from cloudspill_monitor.clock import Clock
from cloudspill_monitor.console import Reporter
from cloudspill_monitor.control import ControlRefusal
from cloudspill_monitor.journal import Journal, Run
from cloudspill_monitor.workload import Workload


@dataclass(frozen=True, slots=True)
class Homecoming:
    """Takes runs home. `release` tells the VM that it may forget one; `poll` starts what is due.

    A play and the settling may both bring one: each task's arrivals are one after another, and
    what comes after the first is dropped, for the task may have gone on from that already.
    """

    journal: Journal
    workload: Workload
    clock: Clock
    reporter: Reporter
    release: Callable[[Run], None]
    poll: Callable[[], None]
    _turns: defaultdict[str, asyncio.Lock] = field(
        default_factory=lambda: defaultdict(asyncio.Lock), init=False
    )

    async def arrive(
        self, run: Run, guest: Mapping[str, Any], archive: Path, move: Move | None = None
    ) -> bool:
        """The final checkpoint of `run` lies in `archive`, and `guest` is what the VM says of it.

        Returns whether it was away until now. Raises JournalError, or ControlRefusal: it cannot be
        kept here, or is not what was sent; the VM has it still.
        """
        waiting, sha256 = self.workload.waiting, str(guest.get("sha256") or "")
        async with self._away(run) as away:
            if not away:
                archive.unlink(missing_ok=True)
                return False
            slug = self.workload.slug(run.task)
            await self._kept(run, lambda: waiting.receive(slug, archive, sha256))
            if move is not None and move.over:
                # It waits here; whoever settles what this move left asks the VM once more.
                raise ControlRefusal("stale-move", f"move {move.number} is over: this play ends")
            # One of which nobody knows how it ended (its VM was rebooted) goes on here.
            status = guest.get("exit_status")
            ended = guest.get("state") == "ended" and status is not None
            self._at_home(run, status if ended else None, ended=ended)
            self.release(run)
        return True

    async def keep(self, run: Run, archive: Path) -> None:
        """Keep what was fetched of a run that goes on at its VM.

        Raises JournalError, or ControlRefusal: it cannot be kept here.
        """
        async with self._away(run) as away:
            if not away:
                archive.unlink(missing_ok=True)
                return
            slug = self.workload.slug(run.task)
            await self._kept(run, lambda: self.workload.waiting.keep(slug, archive))

    async def without_word(self, run: Run) -> bool:
        """`run` can run at its VM no more, or never began there: what was fetched last counts.

        Returns whether it was away until now. Raises JournalError.
        """
        async with self._away(run) as away:
            if away:
                self._at_home(run, None, ended=False)
        return away

    @asynccontextmanager
    async def _away(self, run: Run) -> AsyncIterator[bool]:
        """Whether the journal has `run` at its VM; only who is inside may change that."""
        async with self._turns[run.task]:
            yield any(live.run == run.run for live in self.journal.live_runs())

    async def _kept(self, run: Run, keep: Callable[[], None]) -> None:
        try:
            await asyncio.to_thread(keep)
        except ValueError as error:
            raise ControlRefusal("failed", f"the checkpoint of {run.task}: {error}") from error
        except OSError as error:
            raise ControlRefusal(
                "disk-full-here", f"the checkpoint of {run.task} cannot be kept here: {error}"
            ) from error

    def _at_home(self, run: Run, exit_status: int | None, *, ended: bool) -> None:
        outcome = "came home" if not ended else "completed" if exit_status == 0 else "failed"
        self.journal.hand_back(run.run, self.clock.wall(), exit_status, outcome)
        event = self.workload.take_back(run.task, ended=ended, exit_status=exit_status)
        if event is not None:
            self.reporter.task(event)
        self.poll()
