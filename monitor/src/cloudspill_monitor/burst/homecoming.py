# SPDX-License-Identifier: GPL-3.0-or-later
"""A task comes home: its checkpoint is safe here first, then the journal says so, then it starts.

Killed between any two of these, the next start goes on: a checkpoint that waits is installed
before the task starts, and a run that the journal still has at the VM is asked for again.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from dataclasses import dataclass
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
    """Takes runs home. `release` tells the VM that it may forget one; `poll` starts what is due."""

    journal: Journal
    workload: Workload
    clock: Clock
    reporter: Reporter
    release: Callable[[Run], None]
    poll: Callable[[], None]

    async def arrive(
        self, run: Run, guest: Mapping[str, Any], archive: Path, move: Move | None = None
    ) -> None:
        """The final checkpoint of `run` lies in `archive`, and `guest` is what the VM says of it.

        Raises ControlRefusal: it cannot be kept here, or is not what was sent; the VM has it still.
        """
        slug = self.workload.slug(run.task)
        try:
            await asyncio.to_thread(
                self.workload.waiting.receive, slug, archive, str(guest.get("sha256") or "")
            )
        except ValueError as error:
            raise ControlRefusal("failed", f"the checkpoint of {run.task}: {error}") from error
        except OSError as error:
            raise ControlRefusal(
                "disk-full-here", f"the checkpoint of {run.task} cannot be kept here: {error}"
            ) from error
        if move is not None and move.over:
            # It waits here; whoever settles what this move left asks the VM once more.
            raise ControlRefusal("stale-move", f"move {move.number} is over: this play ends")
        ended = guest.get("state") == "ended"
        self._at_home(run, guest.get("exit_status") if ended else None, ended=ended)
        self.release(run)

    def without_word(self, run: Run) -> None:
        """`run` can run at its VM no more, or never began there: what was fetched last counts.

        Raises JournalError.
        """
        self._at_home(run, None, ended=False)

    def _at_home(self, run: Run, exit_status: int | None, *, ended: bool) -> None:
        outcome = "came home" if not ended else "completed" if exit_status == 0 else "failed"
        self.journal.hand_back(run.run, self.clock.wall(), exit_status, outcome)
        event = self.workload.take_back(run.task, ended=ended, exit_status=exit_status)
        if event is not None:
            self.reporter.task(event)
        self.poll()
