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

_FETCH_AGAIN = 5.0  # seconds
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
                # One may have come home meanwhile. A move may hang where nothing answers: what
                # runs there no more is not its.
                if self._is_live(run.run) and (not self._in_current(run) or vm.state.lease_over):
                    await self._settle_run(vm, run)
            await self._forget_others(vm)

    async def _settle_run(self, vm: BurstVm, run: Run) -> None:
        try:
            verdict = self._judge(vm, run)
            if verdict is Verdict.FENCE:
                assert run.move is not None  # a later one may be under way
                await vm.fence(run.move)
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
            return
        came = False
        if verdict in (Verdict.FETCH, Verdict.FETCH_ENDED):
            came = self._may_fetch(vm, run) and await self._fetch(vm, run)
        elif verdict in (Verdict.LOST, Verdict.NEVER_BEGAN):
            came = await self.homecoming.without_word(run)
        if came:
            self._tell(vm, run, verdict)

    async def _watch(self, vm: BurstVm, run: Run) -> None:
        """Of a run that is where it should be: is it wanted, is its checkpoint recent?"""
        if run.task in self.workload.unwanted_away() and self._may_fetch(vm, run):
            await vm.ask("stop", run=run.run)
            return
        config = self.workload.config(run.task)
        now = self.clock.boottime()
        due = vm.pulled_at.setdefault(run.run, now) + config.checkpoint_interval
        # Of one that is being preempted the final one is about to be there, and there is no time.
        if config.checkpoint_paths and now >= due and not vm.preempted:
            vm.pulled_at[run.run] = now  # one that fails is tried again when the next is due
            archive = self.staging / f"run-{run.run}.pull.tar"
            await self._pull(vm, run, archive)
            await self.homecoming.keep(run, archive)

    def _may_fetch(self, vm: BurstVm, run: Run) -> bool:
        """Not at once after it failed: each time a task stops for it, or much is sent in vain."""
        return self.clock.boottime() >= vm.fetch_at.get(run.run, 0.0)

    async def _fetch(self, vm: BurstVm, run: Run) -> bool:
        vm.follow(run)  # its last words too
        archive = self.staging / f"run-{run.run}.final.tar"
        try:
            pulled = await self._pull(vm, run, archive)
            return await self.homecoming.arrive(
                run, {**vm.runs.get(run.run, {}), **pulled}, archive
            )
        except (ControlRefusal, JournalError, LinkError) as error:
            if not (isinstance(error, LinkError) and error.kind == "lost"):
                await self._leave(vm, run, error)
            raise
        finally:
            archive.unlink(missing_ok=True)

    async def _leave(self, vm: BurstVm, run: Run, why: Exception) -> None:
        """What cannot come home now goes on where it is, if it stopped for that alone."""
        vm.fetch_at[run.run] = self.clock.boottime() + _FETCH_AGAIN
        guest = vm.runs.get(run.run)
        stopped = guest is not None and guest["state"] == "stopped"
        if stopped and not vm.preempted and self._is_live(run.run):
            await vm.ask("resume", run=run.run)
            self.reporter.notice(f"{run.task} goes on at {vm.name}, because {why}")

    async def _pull(self, vm: BurstVm, run: Run, archive: Path) -> Pulled:
        if vm.link is None:
            raise LinkError("lost", f"there is no connection to {vm.name}")
        try:
            return await vm.link.pull(run.run, archive)
        except LinkError as error:
            if error.kind != "disk-full-here":
                raise
            raise ControlRefusal(error.kind, f"the checkpoint of {run.task}: {error}") from error

    def _is_live(self, run: int) -> bool:
        return any(live.run == run for live in self.journal.live_runs())

    async def _forget_others(self, vm: BurstVm) -> None:
        """What the VM still has of runs that are home: a message to it was lost."""
        for number, guest in list(vm.runs.items()):
            if guest["state"] == "released" or number in vm.releasing or self._is_live(number):
                continue
            try:
                if guest["state"] == "running":
                    await vm.ask("stop", run=number)
                if (known := self.journal.run(number)) is not None:
                    self.homecoming.release(known)
                else:
                    await vm.ask("release", run=number)
            except LinkError:
                return

    def _in_current(self, run: Run) -> bool:
        move = self.current()
        return move is not None and run.task in move.vms

    def _tell(self, vm: BurstVm, run: Run, verdict: Verdict) -> None:
        self.reporter.notice(f"{run.task} {_WHY_HOME[verdict].format(vm=vm.name)}")
