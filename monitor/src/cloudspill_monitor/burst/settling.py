# SPDX-License-Identifier: GPL-3.0-or-later
"""Brings every run at a VM to rest: looks, judges (:mod:`settlement`), acts, as often as needed."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from cloudspill_monitor.burst.frames import Pulled
from cloudspill_monitor.burst.homecoming import Homecoming
from cloudspill_monitor.burst.link import LinkError
from cloudspill_monitor.burst.move import Move
from cloudspill_monitor.burst.settlement import Verdict, judge
from cloudspill_monitor.burst.vm import BurstVm
from cloudspill_monitor.clock import Clock
from cloudspill_monitor.console import Reporter
from cloudspill_monitor.control import ControlRefusal
from cloudspill_monitor.journal import Journal, JournalError, Run
from cloudspill_monitor.workload import Workload

_WHY_HOME = {
    Verdict.NEVER_BEGAN: "was never begun at {vm}: it goes on here",
    Verdict.LOST: "can run at {vm} no more: it goes on here from the checkpoint fetched last",
    Verdict.FETCH: "stopped at {vm}: it is home with its checkpoint",
    Verdict.FETCH_ENDED: "ended at {vm}: its checkpoint is home",
}


@dataclass(frozen=True, slots=True)
class Settling:
    """What is done about the runs at a VM. `current` is the move under way, which is left alone."""

    journal: Journal
    workload: Workload
    homecoming: Homecoming
    clock: Clock
    reporter: Reporter
    staging: Path
    current: Callable[[], Move | None]

    async def settle(self, vm: BurstVm) -> None:
        """Look at every run that is, or was, at `vm`, and do what is due."""
        async with vm.lock:
            live = [run for run in self.journal.live_runs() if run.place == vm.name]
            for run in live:
                # A move may hang where nothing answers: what runs there no more is not its.
                if not self._in_current(run) or vm.state.lease_over:
                    await self._settle_run(vm, run)
            await self._forget_others(vm)

    async def _settle_run(self, vm: BurstVm, run: Run) -> None:
        try:
            verdict = self._judge(vm, run)
            if verdict is Verdict.FENCE:
                await vm.fence(self.journal.last_move())
                verdict = self._judge(vm, run)
            await self._act(vm, run, verdict)
        except LinkError as error:
            self.reporter.notice(f"{vm.name}: {error}; {run.task} is looked at again")
        except (ControlRefusal, JournalError) as error:
            self.reporter.error(str(error))

    def _judge(self, vm: BurstVm, run: Run) -> Verdict:
        guest = vm.runs.get(run.run)
        move = self.current()
        state = vm.state
        if state.answers and not vm.heard and not state.lease_over:
            return Verdict.WAIT  # connected this instant: its first tick is under way
        return judge(run, guest["state"] if guest else None, state, move.number if move else None)

    async def _act(self, vm: BurstVm, run: Run, verdict: Verdict) -> None:
        if verdict is Verdict.CONFIRM:
            self.journal.confirm_run(run.run)
            self.reporter.notice(f"{run.task} runs on {vm.name}")
        if verdict in (Verdict.CONFIRM, Verdict.STAY):
            vm.follow(run)
            await self._watch(vm, run)
        elif verdict in (Verdict.FETCH, Verdict.FETCH_ENDED):
            await self._fetch(vm, run)
            self._tell(vm, run, verdict)
        elif verdict in (Verdict.LOST, Verdict.NEVER_BEGAN):
            self.homecoming.without_word(run)
            self._tell(vm, run, verdict)

    async def _watch(self, vm: BurstVm, run: Run) -> None:
        """Of a run that is where it should be: is it wanted, is its checkpoint recent?"""
        if run.task in self.workload.unwanted_away():
            await vm.ask("stop", run=run.run)
            return
        config = self.workload.config(run.task)
        now = self.clock.boottime()
        due = vm.pulled_at.setdefault(run.run, now) + config.checkpoint_interval
        if config.checkpoint_paths and now >= due:
            vm.pulled_at[run.run] = now  # one that fails is tried again when the next is due
            archive = self.staging / f"run-{run.run}.pull.tar"
            await self._pull(vm, run, archive)
            self._keep(run, archive)

    async def _fetch(self, vm: BurstVm, run: Run) -> None:
        vm.follow(run)  # its last words too
        archive = self.staging / f"run-{run.run}.final.tar"
        try:
            pulled = await self._pull(vm, run, archive)
            guest = vm.runs.get(run.run)
            await self.homecoming.arrive(run, {**(guest or {}), **pulled}, archive)
        except ControlRefusal as error:
            guest = vm.runs.get(run.run)
            if guest is not None and guest["state"] == "stopped" and not vm.preempted:
                await vm.ask("resume", run=run.run)
                raise ControlRefusal(error.kind, f"{error}; it goes on at {vm.name}") from error
            raise

    async def _pull(self, vm: BurstVm, run: Run, archive: Path) -> Pulled:
        if vm.link is None:
            raise LinkError("lost", f"there is no connection to {vm.name}")
        try:
            return await vm.link.pull(run.run, archive)
        except LinkError as error:
            if error.kind != "disk-full-here":
                raise
            raise ControlRefusal(error.kind, f"the checkpoint of {run.task}: {error}") from error

    def _keep(self, run: Run, archive: Path) -> None:
        """Keep what was fetched while it ran, unless it has come home with something newer."""
        if self._in_current(run) or not self._is_live(run.run):
            archive.unlink(missing_ok=True)
            return
        try:
            self.workload.waiting.keep(self.workload.slug(run.task), archive)
        except ValueError as error:
            raise ControlRefusal("failed", f"the checkpoint of {run.task}: {error}") from error
        except OSError as error:
            raise ControlRefusal(
                "disk-full-here", f"the checkpoint of {run.task} cannot be kept here: {error}"
            ) from error

    def _is_live(self, run: int) -> bool:
        return any(live.run == run for live in self.journal.live_runs())

    async def _forget_others(self, vm: BurstVm) -> None:
        """What the VM still has of runs that are home: a message to it was lost."""
        for number, guest in list(vm.runs.items()):
            if guest["state"] == "released" or self._is_live(number):
                continue
            try:
                if guest["state"] == "running":
                    await vm.ask("stop", run=number)
                await vm.ask("release", run=number)
            except LinkError:
                return

    def _in_current(self, run: Run) -> bool:
        move = self.current()
        return move is not None and run.task in move.vms

    def _tell(self, vm: BurstVm, run: Run, verdict: Verdict) -> None:
        self.reporter.notice(f"{run.task} {_WHY_HOME[verdict].format(vm=vm.name)}")
