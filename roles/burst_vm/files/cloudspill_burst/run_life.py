# SPDX-License-Identifier: GPL-3.0-or-later
"""The way of one run: laid out, launched, observed, over, packed, cleared away.

Nothing here asks whether it may be done; the keeper does.
"""

from __future__ import annotations

import asyncio
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

from . import archives
from .durable import space_for, sync_folder
from .folders import Folders
from .programs import unit_of
from .protocol import Document, Refusal, bad_request
from .runs import Run, RunStore
from .units import Units, UnitState


class RunLife:
    """Carries runs from one phase to the next.

    Args:
        folders: where everything is kept.
        boot: identity of this boot.
        owner: user and group of the tasks' files; None for this process's own.
        runs: the records.
        units: what runs the tasks.
    """

    def __init__(
        self,
        folders: Folders,
        boot: str,
        owner: tuple[int, int] | None,
        runs: RunStore,
        units: Units,
    ) -> None:
        self._folders, self._boot, self._owner = folders, boot, owner
        self._runs, self._units = runs, units
        self._on_change: list[Callable[[], None]] = []
        self._looking = asyncio.Lock()
        self.seen: dict[int, UnitState] = {}

    def describe(self, run: Run) -> Document:
        """Return a run as others see it."""
        seen = self.seen.get(run.run) if run.live else None
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

    def stage(self, slug: str, files: Path) -> None:
        """Make a task's files ready where no task can reach them.

        Raises:
            Refusal: bad-request, no-space.
        """
        staged = self._folders.staging / slug
        shutil.rmtree(staged, ignore_errors=True)
        try:
            archives.unpack(files, staged, self._owner)
        except Refusal:
            shutil.rmtree(staged, ignore_errors=True)
            raise

    def folder(self, run: Run) -> Path:
        """Return where a run's task works."""
        return self._folders.tasks / run.slug

    def lay_out(self, run: Run, checkpoint: Path | None, sha256: str | None) -> None:
        """Make the folder that a task starts in, out of sight; then put it in its place.

        Raises:
            Refusal: bad-request, no-space.
        """
        folder, staged = self.folder(run), self._folders.staging / run.slug
        if checkpoint is not None and sha256 not in (None, archives.digest(checkpoint)):
            raise bad_request("the archive is not the one that sha256 tells of")
        try:
            with space_for("the task's folder"):
                if not staged.exists() and folder.exists():  # of a start that was cut short
                    folder.rename(staged)
                archives.own_folder(staged, self._owner)
            if checkpoint is not None:
                archives.unpack(checkpoint, staged, self._owner)
        except Refusal:
            shutil.rmtree(staged, ignore_errors=True)  # half of a checkpoint is none
            raise
        shutil.rmtree(folder, ignore_errors=True)
        staged.rename(folder)
        sync_folder(folder.parent)

    async def launch(self, run: Run) -> Run:
        """Start a run that is written down as starting.

        Raises:
            Refusal: failed; it is then as though nobody had asked for it.
        """
        try:
            await self._units.start(unit_of(run, self._folders))
        except Refusal:
            await self._not_launched(run)
            raise
        await self._look()
        run = replace(run, phase="running")
        await asyncio.to_thread(self._runs.save, run)
        self.changed()
        return run

    async def _not_launched(self, run: Run) -> None:
        """Make it as though nobody had asked for it."""
        await self._units.forget(run.run)
        if run.resumes:
            await asyncio.to_thread(self._runs.save, replace(run, phase="stopped"))
        else:
            await asyncio.to_thread(self._runs.remove, run)
            await asyncio.to_thread(shutil.rmtree, self.folder(run), ignore_errors=True)

    async def observe(self) -> None:
        """Look at all units."""
        before = {run: seen.pid for run, seen in self.seen.items()}
        await self._look()
        if before != {run: seen.pid for run, seen in self.seen.items()}:
            self.changed()

    async def _look(self) -> None:
        """One after another: a late answer to an early look would lack what runs since."""
        async with self._looking:
            self.seen = await self._units.observe()

    def has_ended(self, run: Run) -> bool:
        """Whether a run that was started is over by itself."""
        seen = self.seen.get(run.run)
        return seen is None or seen.ended

    async def over(self, run: Run, phase: str) -> Run:
        """Write down that a run has stopped or ended."""
        seen = self.seen.get(run.run)
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

    async def pack(self, run: Run) -> Run:
        """Make the archive of a run that is over.

        Raises:
            Refusal: no-space.
        """
        archive = self._folders.archive(run.run)
        packed = await asyncio.to_thread(
            archives.pack, self.folder(run), run.checkpoint_paths, archive
        )
        run = replace(run, sha256=packed.sha256, size=packed.size, left_out=packed.left_out)
        await asyncio.to_thread(self._runs.save, run)
        self.changed()
        return run

    def clear(self, run: Run) -> None:
        """Remove all that is kept of a run that was released."""
        self._folders.archive(run.run).unlink(missing_ok=True)
        self._folders.log(run.run).unlink(missing_ok=True)
        if not any(other.slug == run.slug for other in self._runs.unreleased()):
            shutil.rmtree(self.folder(run), ignore_errors=True)

    def changed(self) -> None:
        """Tell the listeners."""
        for listener in list(self._on_change):
            listener()
