# SPDX-License-Identifier: GPL-3.0-or-later
"""The one authority over the tasks of this VM: every start and stop goes through it.

What is to be done is written down before it is done, so that a keeper that was killed at any
instant is followed by one that finishes what this one had begun. Whatever is asked twice is done
once.
"""

from __future__ import annotations

import asyncio
import logging
import shutil
from collections import defaultdict
from collections.abc import Awaitable, Callable
from dataclasses import replace
from pathlib import Path

from . import archives
from .durable import space_for, sync_folder
from .folders import Folders
from .guard import Guard
from .lease import Phase
from .moves import Moves
from .programs import unit_of
from .protocol import Document, Refusal, Start, bad_request
from .runs import Run, RunStore, asked_for
from .units import Units, UnitState

_log = logging.getLogger(__name__)
_FIRST_RENEWAL = 5.0
_PREEMPTION_GRACE = 10.0


class Keeper:
    """Starts, stops and watches runs.

    Args:
        folders: where everything is kept.
        boot: identity of this boot.
        owner: user and group of the tasks' files; None for this process's own.
        runs: the records.
        moves: which moves may act.
        guard: the lease.
        units: what runs the tasks.
    """

    def __init__(
        self,
        *,
        folders: Folders,
        boot: str,
        owner: tuple[int, int] | None,
        runs: RunStore,
        moves: Moves,
        guard: Guard,
        units: Units,
    ) -> None:
        self._folders, self._boot, self._owner = folders, boot, owner
        self._runs, self._moves, self._guard, self._units = runs, moves, guard, units
        self._locks: defaultdict[str, asyncio.Lock] = defaultdict(asyncio.Lock)
        self._seen: dict[int, UnitState] = {}
        self._on_change: list[Callable[[], None]] = []
        self.preempted = False

    # What is asked

    def status(self) -> list[Document]:
        """Return the runs that are not released."""
        return [self.describe(run) for run in self._runs.unreleased()]

    def describe(self, run: Run) -> Document:
        """Return a run as others see it."""
        seen = self._seen.get(run.run) if run.live else None
        log = self._folders.log(run.run)
        return {
            "run": run.run,
            "task": run.task,
            "state": "running" if run.live else run.phase,
            "pid": seen.pid if seen else None,
            "exit_status": run.exit_status,
            "cpu_seconds": round(run.cpu_seconds + (seen.cpu_seconds if seen else 0.0), 3),
            "sha256": run.sha256,
            "size": run.size,
            "restarts": run.restarts + (seen.restarts if seen else 0),
            "log_size": log.stat().st_size if log.exists() else 0,
            "left_out": list(run.left_out),
        }

    def on_change(self, listener: Callable[[], None]) -> Callable[[], None]:
        """Call a listener whenever a run changes state; returns how to end that."""
        self._on_change.append(listener)
        return lambda: self._on_change.remove(listener)

    async def prepare(self, move: int, slug: str, archive: Path) -> None:
        """Have a task's files ready for its start.

        Raises:
            Refusal: stale-move, bad-request, no-space.
        """
        with self._moves.acting(move):
            async with self._locks[slug]:
                staged = self._folders.staging / slug
                await asyncio.to_thread(shutil.rmtree, staged, ignore_errors=True)
                try:
                    await asyncio.to_thread(archives.unpack, archive, staged)
                except Refusal:
                    await asyncio.to_thread(shutil.rmtree, staged, ignore_errors=True)
                    raise

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
                await asyncio.to_thread(self._lay_out, run, checkpoint, request.sha256)
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
        async with self._locks[self.run(number).slug]:
            await self._observe()
            run = self.run(number)
            if run.phase == "running" and self._has_ended(run):
                run = await self._over(run, "ended")
            if run.live:
                run = replace(run, phase="stopping", boot=self._boot)
                await asyncio.to_thread(self._runs.save, run)
                own = run.stop_grace
                await self._units.stop(number, own if grace is None else min(grace, own))
                run = await self._over(run, "stopped")
            if run.sha256 is None:
                run = await self._pack(run)
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
            await asyncio.to_thread(self._clear, run)
            return run

    async def fence(self, move: int) -> None:
        """Refuse all calls of this move and those before it."""
        await self._moves.fence(move)

    def fenced_move(self) -> int:
        """Return the highest move that is refused."""
        return self._moves.fenced

    def archive(self, run: Run) -> Path:
        """Return the final archive of a run."""
        return self._folders.archive(run.run)

    def folder(self, run: Run) -> Path:
        """Return where a run's task works."""
        return self._folders.tasks / run.slug

    # What happens by itself

    async def recover(self) -> None:
        """Finish what a keeper before this one had begun."""
        self._seen = await self._units.observe()
        nobodys = [number for number in self._seen if self._runs.get(number) is None]
        await asyncio.gather(
            *(self._units.stop(number, 0.0) for number in nobodys),
            *(self._recover(run) for run in self._runs.live()),
        )

    async def watch(self, tick: float) -> None:
        """Notice what runs do by themselves. Never returns."""
        rounds = 0.0
        while True:
            await asyncio.sleep(min(0.1, tick))
            rounds += min(0.1, tick)
            pids = [seen.pid for seen in self._seen.values() if seen.pid]
            if rounds < tick and all(Path(f"/proc/{pid}").exists() for pid in pids):
                continue
            rounds = 0.0
            await self._quietly(self._observe())
            for run in self._runs.live():
                if run.phase == "running" and self._has_ended(run):
                    await self._quietly(self._end_of(run.run))

    async def evacuate(self) -> None:
        """The cloud takes this VM away: stop all, so that home can fetch the checkpoints."""
        _log.warning("this VM is being preempted: stopping the tasks")
        self.preempted = True
        self._changed()
        await self.stop_all(_PREEMPTION_GRACE)

    async def stop_all(self, grace: float) -> None:
        """Stop all that runs; whatever is left after a grace is killed."""
        ends = [self._quietly(self.end(run.run, grace)) for run in self._runs.live()]
        await asyncio.gather(*ends)

    async def kill_all(self) -> None:
        """Kill all that runs, also what is just being started; return when nothing is left."""
        while running := [run for run, seen in (await self._units.observe()).items() if seen.pid]:
            await asyncio.gather(*(self._units.kill(run) for run in running))
            await asyncio.sleep(0.02)
        await self.stop_all(0.0)

    # How

    async def _may_start(self, task: str, besides: int | None = None) -> None:
        if self._guard.phase is Phase.OVER:
            raise Refusal("fenced", "the lease of this VM is over: it starts nothing any more")
        if self.preempted:
            raise Refusal("busy", "this VM is being preempted")
        for run in self._runs.unreleased():
            if run.task == task and run.run != besides:
                raise Refusal("busy", f"run {run.run} of {task} is {run.phase} and not released")
        if not await self._guard.renewed(_FIRST_RENEWAL):
            raise Refusal("busy", "no word from the monitor yet: the lease was never renewed")
        if self._guard.phase is not Phase.HELD:
            raise Refusal("busy", f"the lease ends in {self._guard.expires_in:.1f} s")

    def _lay_out(self, run: Run, checkpoint: Path | None, sha256: str | None) -> None:
        """Make the folder that a task starts in, out of sight; then put it in its place."""
        folder, staged = self.folder(run), self._folders.staging / run.slug
        if checkpoint is not None and sha256 not in (None, archives.digest(checkpoint)):
            raise bad_request("the archive is not the one that sha256 tells of")
        try:
            with space_for("the task's folder"):
                if not staged.exists() and folder.exists():  # of a start that was cut short
                    folder.rename(staged)
                staged.mkdir(exist_ok=True)
            if checkpoint is not None:
                archives.unpack(checkpoint, staged)
            archives.settle(staged, self._owner)
        except Refusal:
            shutil.rmtree(staged, ignore_errors=True)  # half of a checkpoint is none
            raise
        shutil.rmtree(folder, ignore_errors=True)
        staged.rename(folder)
        sync_folder(folder.parent)

    async def _launch(self, run: Run) -> Run:
        try:
            await self._units.start(unit_of(run, self._folders))
        except Refusal:
            await self._not_launched(run)
            raise
        self._seen = await self._units.observe()
        run = replace(run, phase="running")
        await asyncio.to_thread(self._runs.save, run)
        if self._guard.phase is Phase.OVER:
            await self._units.stop(run.run, 0.0)
            await self._pack(await self._over(run, "stopped"))
            raise Refusal("fenced", "the lease of this VM is over: it starts nothing any more")
        self._changed()
        return run

    async def _not_launched(self, run: Run) -> None:
        """Make it as though nobody had asked for it."""
        await self._units.forget(run.run)
        if run.resumes:
            await asyncio.to_thread(self._runs.save, replace(run, phase="stopped"))
        else:
            await asyncio.to_thread(self._runs.remove, run)
            await asyncio.to_thread(shutil.rmtree, self.folder(run), ignore_errors=True)

    async def _recover(self, run: Run) -> None:
        async with self._locks[run.slug]:
            if run.boot != self._boot:
                # Nobody knows how it ended; what it had written is what there is.
                over = "stopped" if run.phase == "stopping" else "ended"
                await self._quietly(self._pack(await self._over(run, over)))
            elif run.phase == "starting" and run.run in self._seen:
                await asyncio.to_thread(self._runs.save, replace(run, phase="running"))
            elif run.phase == "starting" and self._guard.phase is not Phase.OVER:
                await self._quietly(self._launch(run))
        if run.boot == self._boot and run.phase == "stopping":
            await self._quietly(self.end(run.run))

    async def _observe(self) -> None:
        before = {run: seen.pid for run, seen in self._seen.items()}
        self._seen = await self._units.observe()
        if before != {run: seen.pid for run, seen in self._seen.items()}:
            self._changed()

    def _has_ended(self, run: Run) -> bool:
        seen = self._seen.get(run.run)
        return seen is None or seen.ended

    async def _end_of(self, number: int) -> None:
        """Take note of a run that has ended by itself, unless someone is at it already."""
        run = self._known(number)
        if self._locks[run.slug].locked():
            return
        async with self._locks[run.slug]:
            await self._pack(await self._over(run, "ended"))

    async def _over(self, run: Run, phase: str) -> Run:
        seen = self._seen.get(run.run)
        run = replace(
            run,
            phase=phase,
            boot=self._boot,
            exit_status=seen.exit_status if seen and phase == "ended" else None,
            cpu_seconds=run.cpu_seconds + (seen.cpu_seconds if seen else 0.0),
            restarts=run.restarts + (seen.restarts if seen else 0),
        )
        await asyncio.to_thread(self._runs.save, run)
        return run

    async def _pack(self, run: Run) -> Run:
        archive = self._folders.archive(run.run)
        packed = await asyncio.to_thread(
            archives.pack, self.folder(run), run.checkpoint_paths, archive
        )
        run = replace(run, sha256=packed.sha256, size=packed.size, left_out=packed.left_out)
        await asyncio.to_thread(self._runs.save, run)
        self._changed()
        return run

    def _clear(self, run: Run) -> None:
        self._folders.archive(run.run).unlink(missing_ok=True)
        self._folders.log(run.run).unlink(missing_ok=True)
        if not any(other.slug == run.slug for other in self._runs.unreleased()):
            shutil.rmtree(self.folder(run), ignore_errors=True)

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

    async def _quietly(self, work: Awaitable[object]) -> None:
        try:
            await work
        except (Refusal, OSError) as error:
            _log.error("%s", error)

    def _changed(self) -> None:
        for listener in list(self._on_change):
            listener()
