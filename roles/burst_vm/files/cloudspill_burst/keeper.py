# SPDX-License-Identifier: GPL-3.0-or-later
"""The one authority over the tasks of this VM: every start and stop goes through it.

What is to be done is written down before it is done, so that a keeper that was killed at any
instant is followed by one that finishes what this one had begun. Whatever is asked twice is done
once.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections import defaultdict
from dataclasses import replace
from pathlib import Path

from .folders import Folders
from .guard import Guard
from .lease import Phase
from .moves import Moves
from .programs import unit_of
from .protocol import Document, Refusal, Start
from .run_life import RunLife
from .runs import Run, RunStore, asked_for
from .units import Units

_FIRST_RENEWAL = 5.0
"""Seconds that a start waits for the monitor's first word."""


class Keeper:
    """Carries out what is asked, each task's requests one after another.

    Args:
        folders: where everything is kept.
        boot: identity of this boot.
        runs: the records.
        moves: which moves may act.
        guard: the lease.
        units: what runs the tasks.
        life: carries runs from one phase to the next.

    Attributes:
        preempted: the cloud takes this VM away; nothing is started any more.
    """

    def __init__(
        self,
        *,
        folders: Folders,
        boot: str,
        runs: RunStore,
        moves: Moves,
        guard: Guard,
        units: Units,
        life: RunLife,
    ) -> None:
        self._folders, self._boot = folders, boot
        self._runs, self._moves, self._guard = runs, moves, guard
        self._units, self._life = units, life
        self._locks: defaultdict[str, asyncio.Lock] = defaultdict(asyncio.Lock)
        self.preempted = False

    def status(self) -> list[Document]:
        """Return the runs that are not released."""
        return [self._life.describe(run) for run in self._runs.unreleased()]

    async def prepare(self, move: int, slug: str, archive: Path) -> None:
        """Have a task's files ready for its start.

        Raises:
            Refusal: stale-move, bad-request, no-space.
        """
        with self._moves.acting(move):
            async with self._locks[slug]:
                await asyncio.to_thread(self._life.stage, slug, archive)

    async def start(self, request: Start, checkpoint: Path | None) -> Run:
        """Start a task from its checkpoint. A run that is known is not started again.

        Raises:
            Refusal: stale-move, fenced, busy, bad-request, no-space, failed.
        """
        with self._moves.acting(request.move):
            async with self._locks[request.slug]:
                known = self._runs.get(request.run)
                if known is not None:
                    return known
                await self._may_start(request.task)
                run = asked_for(request, self._boot)
                await asyncio.to_thread(self._life.lay_out, run, checkpoint, request.sha256)
                unit_of(run, self._folders)  # refuses what could not be started
                await asyncio.to_thread(self._runs.save, run)
                return await self._launch(run)

    async def stop(self, move: int, number: int) -> Run:
        """Stop a run for a move.

        Raises:
            Refusal: stale-move, unknown-run, no-space.
        """
        with self._moves.acting(move):
            return await self.end(number)

    async def end(self, number: int, grace: float | None = None) -> Run:
        """Stop a run and pack its checkpoint. One that is over is left as it is.

        Args:
            number: the run's number.
            grace: at most so many seconds, None for the task's own grace.

        Raises:
            Refusal: unknown-run; no-space, it has stopped and is packed when asked again.
        """
        with self._moves.under_way():
            return await self._end(number, grace)

    async def _end(self, number: int, grace: float | None) -> Run:
        async with self._locks[self.run(number).slug]:
            await self._life.observe()
            run = self.run(number)
            if run.phase == "running" and self._life.has_ended(run):
                run = await self._life.over(run, "ended")
            if run.live:
                run = replace(run, phase="stopping", boot=self._boot)
                await asyncio.to_thread(self._runs.save, run)
                own = run.stop_grace
                await self._units.stop(number, own if grace is None else min(grace, own))
                run = await self._life.over(run, "stopped")
            if run.sha256 is None:
                run = await self._life.pack(run)
            return run

    async def resume(self, number: int) -> Run:
        """Start a stopped run again where it stopped.

        Raises:
            Refusal: unknown-run, fenced, busy, failed.
        """
        async with self._locks[self.run(number).slug]:
            run = self.run(number)
            if run.phase != "stopped":
                return run
            await self._may_start(run.task, besides=number)
            unit_of(run, self._folders)
            run = replace(run, phase="starting", boot=self._boot, sha256=None, size=None)
            run = replace(run, resumes=run.resumes + 1)
            await asyncio.to_thread(self._runs.save, run)
            await self._units.forget(number)
            return await self._launch(run)

    async def release(self, number: int) -> Run:
        """The monitor has a run's checkpoint and logs: all that is kept of it here goes.

        Raises:
            Refusal: unknown-run; busy, it still runs.
        """
        known = self._known(number)
        async with self._locks[known.slug]:
            run = self._known(number)
            if run.live:
                raise Refusal("busy", f"run {number} of {run.task} still runs: stop it first")
            if run.phase != "released":
                run = replace(run, phase="released", env={}, command=())
                await asyncio.to_thread(self._runs.save, run)
            await self._units.forget(number)
            await asyncio.to_thread(self._life.clear, run)
            return run

    async def settle(self, number: int) -> None:
        """Take note that a run has ended by itself, unless a request is at it already."""
        lock = self._locks[self.run(number).slug]
        if lock.locked():
            return
        async with lock:
            run = self.run(number)
            # One whose start went wrong may be left as starting, with or without a unit.
            if run.phase in ("starting", "running") and self._life.has_ended(run):
                await self._life.pack(await self._life.over(run, "ended"))

    async def recover(self) -> None:
        """Take over from a keeper before this one: each run is again what its record says.

        What takes time is left to `finish`.
        """
        await self._life.observe()
        known = {run.run for run in self._runs}
        nobodys = [number for number in self._life.seen if number not in known]
        await asyncio.gather(
            *(self._units.stop(number, 0.0) for number in nobodys),
            *(self._take_over(run) for run in self._runs.live()),
        )

    async def _take_over(self, run: Run) -> None:
        if run.boot != self._boot:
            # Nobody knows how it ended; what it had written is what there is.
            await self._life.over(run, "stopped" if run.phase == "stopping" else "ended")
        elif run.phase == "starting" and run.run in self._life.seen:
            await asyncio.to_thread(self._runs.save, replace(run, phase="running"))
        elif run.phase == "starting" and self._guard.phase is not Phase.OVER:
            with contextlib.suppress(Refusal):  # it is then as though nobody had asked
                await self._launch(run)

    def unfinished(self) -> list[int]:
        """Return the runs whose stop or whose archive a dead keeper left unfinished."""
        return [
            run.run
            for run in self._runs.unreleased()
            if run.phase == "stopping" or (not run.live and run.sha256 is None)
        ]

    async def fence(self, move: int) -> None:
        """Refuse all calls of this move and those before it."""
        await self._moves.fence(move)

    def fenced_move(self) -> int:
        """Return the highest move that is refused."""
        return self._moves.fenced

    def archive(self, run: Run) -> Path:
        """Return the final archive of a run."""
        return self._folders.archive(run.run)

    async def _launch(self, run: Run) -> Run:
        run = await self._life.launch(run)
        if self._guard.phase is Phase.OVER:  # meanwhile
            await self._units.stop(run.run, 0.0)
            await self._life.pack(await self._life.over(run, "stopped"))
            raise _too_late()
        return run

    async def _may_start(self, task: str, besides: int | None = None) -> None:
        if self._guard.phase is Phase.OVER:
            raise _too_late()
        if self.preempted:
            raise Refusal("busy", "this VM is being preempted")
        for run in self._runs.unreleased():
            if run.task == task and run.run != besides:
                raise Refusal("busy", f"run {run.run} of {task} is {run.phase} and not released")
        if not await self._guard.renewed(_FIRST_RENEWAL):
            raise Refusal("busy", "no word from the monitor yet: the lease was never renewed")
        if self._guard.phase is not Phase.HELD:
            raise Refusal("busy", f"the lease ends in {self._guard.expires_in:.1f} s")

    def _known(self, number: int) -> Run:
        run = self._runs.get(number)
        if run is None:
            raise Refusal("unknown-run", f"this VM does not know run {number}")
        return run

    def run(self, number: int) -> Run:
        """Return a run that is not released.

        Raises:
            Refusal: unknown-run.
        """
        run = self._known(number)
        if run.phase == "released":
            raise Refusal("unknown-run", f"run {number} of {run.task} was released")
        return run


def _too_late() -> Refusal:
    return Refusal("fenced", "the lease of this VM is over: it starts nothing any more")
