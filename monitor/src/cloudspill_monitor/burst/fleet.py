# SPDX-License-Identifier: GPL-3.0-or-later
"""The VMs of this monitor: planned, opened, tended while they live, and deleted for certain.

A VM is in the journal before anybody asks Google for it, and stays there until its deletion is
confirmed: whatever dies in between, the next start knows what may be billing.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Coroutine, Mapping
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

from cloudspill_monitor.burst import assignment
from cloudspill_monitor.burst.link import LinkError, VmLink
from cloudspill_monitor.burst.vm import BurstVm
from cloudspill_monitor.clock import Clock
from cloudspill_monitor.config import BurstConfig
from cloudspill_monitor.console import Reporter
from cloudspill_monitor.journal import Journal, JournalError, Run, Vm
from cloudspill_monitor.policy_types import LOCAL
from cloudspill_monitor.workload import Workload

_TEND_EVERY = 1.0  # seconds
_DELETE_RETRY = 15.0  # seconds, doubled up to _DELETE_RETRY_MOST
_DELETE_RETRY_MOST = 300.0
_RETIRE_AGAIN = 15.0  # seconds
_LAST_WORDS = 10.0  # seconds that the rest of a log is waited for


@dataclass(frozen=True, slots=True)
class Duties:
    """What the executor does for the fleet: bring runs to rest, empty a VM, delete VMs.

    `in_play` says whether a play is under way.
    """

    settle: Callable[[BurstVm], Awaitable[None]]
    retire: Callable[[BurstVm, tuple[str, ...]], Coroutine[Any, Any, None]]
    delete: Callable[[tuple[str, ...]], Awaitable[None]]
    in_play: Callable[[], bool]


@dataclass(frozen=True, slots=True)
class FleetSurroundings:
    """What the fleet is given."""

    journal: Journal
    workload: Workload
    clock: Clock
    reporter: Reporter
    boot_id: str
    make_link: Callable[[BurstVm, float], VmLink]


class Fleet:
    """All VMs that may exist. `burst` is the configuration of the moment."""

    def __init__(self, burst: BurstConfig, given: FleetSurroundings, duties: Duties) -> None:
        self.burst = burst
        self.vms: dict[str, BurstVm] = {}
        self.closing = False
        self.drained = False
        self._given = given
        self._duties = duties
        self._doomed: dict[str, tuple[float, float]] = {}  # name: when to try next, delay then
        self._jobs: set[asyncio.Task[None]] = set()
        self._closing: set[asyncio.Task[None]] = set()

    def start(self) -> None:
        """Take up what an earlier monitor left: VMs that were not up yet, or not any more, go."""
        for record in self._given.journal.vms():
            vm = self._take_up(record)
            if record.state == "up":
                self.open(vm)
            else:
                self.doom(vm)
        self.spawn(self._sweep())

    async def stop(self) -> None:
        """Let every stream go."""
        for job in tuple(self._jobs):
            job.cancel()
        await asyncio.gather(*self._jobs, return_exceptions=True)
        # Not cancelled: a loop that ends while an ssh is being started waits for it for ever.
        await asyncio.gather(*self._closing, *(vm.close() for vm in self.vms.values()))

    def usable(self) -> tuple[dict[str, int], int]:
        """The number of tasks on each VM that takes more, and how many VMs may be made.

        One that is to go, or cannot be reached, may be billing still: it counts.
        """
        now = self._given.clock.boottime()
        away = [run.place for run in self._runs_away()]
        fit = [n for n, vm in self.vms.items() if vm.takes_tasks(now) and n not in self._doomed]
        usable = {name: away.count(name) for name in fit}
        return usable, max(0, self.burst.max_vms - len(self.vms))

    def plan(self) -> BurstVm:
        """A new VM: in the journal, and nowhere else yet. Raises JournalError."""
        given, burst = self._given, self.burst
        controller = given.journal.controller()
        name = assignment.name(burst.name_prefix, controller, given.journal.vm_count() + 1)
        given.journal.plan_vm(
            name,
            spot=burst.spot,
            boot_id=given.boot_id,
            at=given.clock.boottime(),
            wall=given.clock.wall(),
            lease=burst.lease,
            max_lifetime=burst.max_lifetime,
            price_per_hour=burst.price_per_hour,
        )
        return self._take_up(self._record(name))

    def open(self, vm: BurstVm) -> None:
        """Connect to a VM that is up, and tend it from now on."""
        if vm.link is None:
            margin = self.burst.lease_margin
            vm.open(lambda vm: self._given.make_link(vm, margin))
            self.spawn(self._tend(vm))

    def up(self, vm: BurstVm, found: Mapping[str, Any]) -> None:
        """A planned VM can be reached, as its playbook has `found`. Raises JournalError."""
        self._given.journal.vm_up(
            vm.name,
            zone=str(found["zone"]),
            machine_type=str(found["machine_type"]),
            spot=bool(found["spot"]),
            instance_id=str(found["instance_id"]),
            ssh_command=[str(word) for word in found["ssh_command"]],
            wall=self._given.clock.wall(),
        )
        vm.record = record = self._record(vm.name)
        kind = f"{record.machine_type}{', Spot' * record.spot} in {record.zone}"
        self._given.reporter.notice(f"{vm.name} is up ({kind})")

    def doom(self, vm: BurstVm) -> None:
        """A VM is to be deleted, as soon as no task is there."""
        if vm.name in self._doomed:
            return
        self._doomed[vm.name] = 0.0, _DELETE_RETRY
        try:
            self._given.journal.vm_deleting(vm.name)
            vm.record = self._record(vm.name)
        except JournalError as error:  # the next monitor finds it idle, or not up yet
            self._given.reporter.error(str(error))

    def doomed(self) -> tuple[str, ...]:
        """VMs that can be deleted now: they are to go, no task is there, and it is time to try."""
        now = self._given.clock.boottime()
        busy = {run.place for run in self._runs_away()}
        return tuple(n for n, (at, _) in self._doomed.items() if at <= now and n not in busy)

    def not_deleted(self, names: tuple[str, ...]) -> None:
        """Their deletion failed: it is tried again later."""
        now = self._given.clock.boottime()
        for name in self.vms.keys() & names:
            _, delay = self._doomed.get(name, (0.0, _DELETE_RETRY))
            self._doomed[name] = now + delay, min(2 * delay, _DELETE_RETRY_MOST)

    def gone(self, name: str) -> None:
        """The VM does not exist (any more). Raises JournalError: the next monitor looks for it."""
        vm = self.vms.pop(name)
        vm.gone = True
        vm.changed.set()
        self._doomed.pop(name, None)
        closing = asyncio.create_task(vm.close())
        self._closing.add(closing)
        closing.add_done_callback(self._closing.discard)
        self._given.journal.vm_gone(name, self._given.clock.wall())

    def release(self, run: Run) -> None:
        """The run is home: once its log is too, its VM may forget it."""
        vm = self.vms.get(run.place)
        if vm is not None and vm.connected and run.run not in vm.releasing:
            vm.releasing.add(run.run)
            self.spawn(self._release(vm, run))

    def spawn(self, work: Coroutine[Any, Any, None]) -> None:
        """Do something beside, and say so if it fails."""
        job = asyncio.create_task(work)
        self._jobs.add(job)
        job.add_done_callback(self._ended)

    async def _tend(self, vm: BurstVm) -> None:
        trouble = ""
        while not vm.gone:
            # Not wait_for(): before Python 3.12 it loses a cancellation when there is news as well.
            with suppress(TimeoutError):
                async with asyncio.timeout(_TEND_EVERY):
                    await vm.changed.wait()
            vm.changed.clear()
            if not vm.gone:
                trouble = await self._tried(self._look_after(vm), trouble)

    async def _look_after(self, vm: BurstVm) -> None:
        await self._duties.settle(vm)
        self._consider_end(vm)

    async def _tried(self, step: Awaitable[None], told: str) -> str:
        """Do a step of a watch, which must go on: or a VM bills and nobody sees. What went wrong
        is said unless it was `told`, and returned.
        """
        try:
            await step
        except Exception as error:  # noqa: BLE001 - a fault too
            trouble = str(error) if isinstance(error, JournalError) else f"a fault: {error!r}"
            if trouble != told:
                self._given.reporter.error(trouble)
            return trouble
        return ""

    def _consider_end(self, vm: BurstVm) -> None:
        """Is it idle for long, or soon over? Then it goes, its tasks first."""
        now = self._given.clock.boottime()
        tasks = tuple(run.task for run in self._runs_away() if run.place == vm.name)
        if tasks:
            vm.idle_since = None
        if self.closing or self._duties.in_play():
            return
        if tasks:
            if vm.over_soon(now) and vm.connected and now >= vm.retire_at:
                vm.retire_at = now + _RETIRE_AGAIN
                self._given.reporter.notice(f"{vm.name} is near max_lifetime: its tasks come home")
                self.spawn(self._duties.retire(vm, tasks))
            return
        vm.idle_since = now if vm.idle_since is None else vm.idle_since
        timeout = 0.0 if self.drained else self.burst.idle_timeout
        idle = timeout is not None and now - vm.idle_since >= timeout
        if idle or vm.over_soon(now) or vm.state.lease_over or vm.preempted:
            self.doom(vm)

    async def _sweep(self) -> None:
        trouble = ""
        while True:
            trouble = await self._tried(self._delete_doomed(), trouble)
            await asyncio.sleep(_TEND_EVERY)

    async def _delete_doomed(self) -> None:
        if not self.closing and (names := self.doomed()):
            await self._duties.delete(names)

    async def _release(self, vm: BurstVm, run: Run) -> None:
        vm.follow(run)
        try:
            # Asked for: the last tick may be older than the run's last words.
            sizes = {r["run"]: r["log_size"] for r in (await vm.ask("status"))["runs"]}
            if vm.link is not None and run.run in sizes:
                await vm.link.log_home(run.run, sizes[run.run], _LAST_WORDS)
        except LinkError as error:
            if vm.connected:  # else it is done once more when the VM answers again
                self._given.reporter.error(f"the last lines of {run.task} at {vm.name}: {error}")
        try:
            with suppress(LinkError):
                await vm.ask("release", run=run.run)
        finally:
            vm.unfollow(run.run)
            vm.releasing.discard(run.run)

    def _take_up(self, record: Vm) -> BurstVm:
        given = self._given
        now = given.clock.boottime()
        if record.boot_id == given.boot_id:
            expires_at = record.planned_at + record.max_lifetime
        else:  # the clock since boot is another one; wall time is the best there is
            age = max(0.0, given.clock.wall() - record.planned_wall)
            expires_at = now + record.max_lifetime - age
        vm = BurstVm(
            record,
            expires_at,
            given.clock,
            given.reporter,
            lambda run: given.workload.remote_log(run.task, run.place, run.run),
            lambda: self.closing or record.vm in self._doomed,
        )
        self.vms[record.vm] = vm
        return vm

    def _record(self, name: str) -> Vm:
        records = self._given.journal.vms(living=False)
        return next(record for record in reversed(records) if record.vm == name)

    def _runs_away(self) -> list[Run]:
        return [run for run in self._given.journal.live_runs() if run.place != LOCAL]

    def _ended(self, job: asyncio.Task[None]) -> None:
        self._jobs.discard(job)
        if not job.cancelled() and (error := job.exception()) is not None:
            self._given.reporter.error(f"{type(error).__name__}: {error}")
