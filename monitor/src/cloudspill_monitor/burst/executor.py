# SPDX-License-Identifier: GPL-3.0-or-later
"""Carries out moves with VMs: journal, playbooks, VMs and tasks meet here.

Moves and deletions are plays, one at a time. Beside them the fleet tends each VM: what its runs
need is done as soon as its stream says so, and at least once a second.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from cloudspill_monitor import checkpoints
from cloudspill_monitor.burst import assignment, views
from cloudspill_monitor.burst.failures import FailureKind, advice
from cloudspill_monitor.burst.fleet import Duties, Fleet, FleetSurroundings
from cloudspill_monitor.burst.handover import Handover, refusing
from cloudspill_monitor.burst.homecoming import Homecoming
from cloudspill_monitor.burst.link import VmLink
from cloudspill_monitor.burst.move import Move
from cloudspill_monitor.burst.play_variables import VmShare, play_variables
from cloudspill_monitor.burst.playbooks import Playbooks, PlayError
from cloudspill_monitor.burst.settling import Settling
from cloudspill_monitor.burst.vm import BurstVm
from cloudspill_monitor.clock import Clock
from cloudspill_monitor.config import BurstConfig, MonitorConfig, TaskConfig
from cloudspill_monitor.console import Reporter
from cloudspill_monitor.control import ControlRefusal, Handler
from cloudspill_monitor.executor import AwayLoad, MoveError
from cloudspill_monitor.journal import Journal, JournalError
from cloudspill_monitor.placement import Placement
from cloudspill_monitor.policy_types import LOCAL, Direction, ScaleIn, ScaleOut
from cloudspill_monitor.snapshot import VmView
from cloudspill_monitor.workload import Workload

_NOT_BEGUN = PlayError(FailureKind.PLAYBOOK, "its play has not begun", asked=False)


@dataclass(frozen=True, slots=True)
class BurstSurroundings:
    """What the executor is given. `poll` lets the daemon look at its tasks at once."""

    journal: Journal
    workload: Workload
    clock: Clock
    reporter: Reporter
    boot_id: str
    state_dir: Path
    control: Path
    playbooks: Playbooks
    make_link: Callable[[BurstVm, float], VmLink]
    poll: Callable[[], None]


class BurstExecutor:
    """Moves tasks to VMs and home again. :meth:`start` takes up what an earlier monitor left."""

    def __init__(self, config: MonitorConfig, given: BurstSurroundings) -> None:
        self._config = config
        self._given = given
        self._staging = given.state_dir / "staging"
        self._staging.mkdir(mode=0o700, exist_ok=True)
        self._move: Move | None = None
        self._plays = asyncio.Lock()
        self._last_failure: PlayError | None = None
        self._fleet = Fleet(
            config.burst,
            FleetSurroundings(
                given.journal,
                given.workload,
                given.clock,
                given.reporter,
                given.boot_id,
                given.make_link,
            ),
            Duties(self._settle, self._retire, self._delete, self._plays.locked),
        )
        homecoming = Homecoming(
            given.journal,
            given.workload,
            given.clock,
            given.reporter,
            self._fleet.release,
            given.poll,
        )
        self._settling = Settling(
            given.journal,
            given.workload,
            homecoming,
            given.clock,
            given.reporter,
            self._staging,
            self._current,
        )
        self._handover = Handover(
            given.journal,
            given.workload,
            homecoming,
            given.clock,
            given.reporter,
            given.boot_id,
            self._staging,
            self._current,
            given.poll,
        )

    @property
    def placement(self) -> Placement:
        """Where the tasks are, as the journal has it."""
        return Placement(
            {r.task: r.place for r in self._given.journal.live_runs() if r.place != LOCAL}
        )

    def handlers(self) -> dict[str, Handler]:
        """What the control socket answers for the playbooks."""
        return {
            "vm_ready": refusing(self._vm_ready),
            "handover": refusing(self._handover.handover),
            "confirm": refusing(self._handover.confirm),
        }

    @property
    def drained(self) -> bool:
        """Whether VMs are deleted as soon as no task is there."""
        return self._fleet.drained

    @drained.setter
    def drained(self, on: bool) -> None:
        self._fleet.drained = on

    def loads(self) -> tuple[AwayLoad, ...]:
        """What the tasks at VMs have used, as last heard."""
        return tuple(load for vm in self._fleet.vms.values() for load in vm.loads())

    def vms(self, now: float, wall: float) -> tuple[VmView, ...]:
        """The VMs that may exist."""
        away = self.placement.away
        return tuple(
            views.vm_view(vm, tuple(t for t, p in away.items() if p == vm.name), now, wall)
            for vm in self._fleet.vms.values()
        )

    def cost(self, wall: float) -> float:
        """What all VMs that the journal knows have cost, in US dollars."""
        return views.total_cost(self._given.journal.vms(living=False), wall)

    def configure(self, config: MonitorConfig) -> None:
        """Go by another configuration from now on; VMs that exist stay as they are."""
        self._config = config
        self._fleet.burst = config.burst

    def describe(self, action: ScaleOut | ScaleIn) -> str:
        """What :meth:`carry_out` is about to do, in words."""
        names = ", ".join(action.tasks)
        if isinstance(action, ScaleIn):
            return f"bringing home {names}"
        usable, room = self._fleet.usable()
        existing, new = assignment.targets(len(action.tasks), usable, room)
        burst = self._config.burst
        made = f"{new} new VM{'s' * (new > 1)} ({burst.machine_types[0]} in {burst.zones[0]})"
        places = [*existing, *([made] if new else [])]
        return f"moving {names} to {' and '.join(places) or 'a VM'}"

    async def start(self) -> None:
        """Take up VMs and runs that an earlier monitor left. Raises JournalError."""
        given = self._given
        for move in given.journal.open_moves():
            given.journal.end_move(
                move.move, given.clock.wall(), "cut short: the monitor was killed"
            )
        for left in self._staging.iterdir():
            left.unlink(missing_ok=True)
        self._fleet.start()

    async def carry_out(self, action: ScaleOut | ScaleIn, decision: int | None = None) -> None:
        """Do it. Raises MoveError: it failed, or not all of it was done; no task is lost."""
        try:
            async with self._plays:
                if isinstance(action, ScaleOut):
                    await self._scale_out(action.tasks, decision)
                else:
                    await self._scale_in(action.tasks, decision)
        except (JournalError, OSError) as error:
            raise MoveError(str(error)) from error

    async def close(self, *, hurry: bool) -> None:
        """Bring everything home, start none of it here, and delete every VM.

        In a hurry what the tasks did since their last checkpoint is not waited for. Raises
        MoveError: a VM is left, and ends with its lease.
        """
        self._fleet.closing = True
        try:
            async with self._plays:
                if self._fleet.vms:
                    await self._close_vms(hurry=hurry)
        finally:
            await self._fleet.stop()

    async def _close_vms(self, *, hurry: bool) -> None:
        if not hurry:
            for vm in self._fleet.vms.values():
                await self._settle(vm)
        away: Mapping[str, str] = {} if hurry else self.placement.away
        names = tuple(self._fleet.vms)
        shares = tuple(
            VmShare(name, tuple(t for t, place in away.items() if place == name), delete=True)
            for name in names
        )
        self._given.reporter.notice(f"deleting {', '.join(names)}")
        try:
            await self._play("in", shares, None)
        except (MoveError, OSError) as error:
            if hurry:
                raise
            # A VM that bills on would be of no use to what could not come home either.
            missed = "not everything came home" if away else "not every VM is deleted yet"
            self._given.reporter.error(f"{missed}: {error}")
            shares = tuple(VmShare(name, delete=True) for name in names)
            await self._play("in", shares, None)
        await self._deleted(shares)

    async def _scale_out(self, tasks: tuple[str, ...], decision: int | None) -> None:
        fleet = self._fleet
        tasks = tuple(task for task in tasks if self._is_alive(task))  # this waited for its turn
        if not tasks:
            return
        usable, room = fleet.usable()
        if not room and (doomed := fleet.doomed()):
            await self._delete_now(doomed)
            usable, room = fleet.usable()
        existing, new = assignment.targets(len(tasks), usable, room)
        if not existing and not new:
            raise MoveError(
                f"none of the {fleet.burst.max_vms} VM(s) that max_vms allows takes tasks now"
            )
        configs = {task: self._given.workload.config(task) for task in tasks}
        burst = fleet.burst  # what a VM is planned with it is made with, if that changes meanwhile
        planned: list[BurstVm] = []
        self._last_failure = _NOT_BEGUN
        try:
            for _ in range(new):
                planned.append(fleet.plan())  # noqa: PERF401 - each is known if the next one fails
            names = (*existing, *(vm.name for vm in planned))
            given = assignment.spread(tasks, {name: usable.get(name, 0) for name in names})
            shares = tuple(
                [
                    await self._share(name, [configs[task] for task in share])
                    for name, share in given.items()
                ]
            )
            await self._play("out", shares, decision, burst)
        finally:
            for vm in planned:
                if vm.record.state == "planned":
                    self._give_up(vm)

    def _give_up(self, vm: BurstVm) -> None:
        """A VM that did not come up is forgotten if nobody asked for it, or it is a stranger's."""
        failure = self._last_failure
        if failure is not None and (not failure.asked or failure.taken(vm.name)):
            self._fleet.gone(vm.name)
        else:
            self._fleet.doom(vm)

    async def _scale_in(self, tasks: tuple[str, ...], decision: int | None) -> None:
        by_vm: dict[str, tuple[str, ...]] = {}
        for task, place in self.placement.away.items():
            if task in tasks:
                by_vm[place] = (*by_vm.get(place, ()), task)
        if by_vm:
            shares = tuple(VmShare(name, names) for name, names in by_vm.items())
            await self._play("in", shares, decision)

    async def _retire(self, vm: BurstVm, tasks: tuple[str, ...]) -> None:
        try:
            await self.carry_out(ScaleIn(tasks, f"{vm.name} is near max_lifetime"))
        except MoveError as error:
            self._given.reporter.error(str(error))

    async def _delete(self, names: tuple[str, ...]) -> None:
        async with self._plays:
            # Others may have been sent there, or it may be gone, while this waited for its turn.
            still = self._fleet.doomed()
            await self._delete_now(tuple(name for name in names if name in still))

    async def _delete_now(self, names: tuple[str, ...]) -> None:
        if not names:
            return
        shares = tuple(VmShare(name, delete=True) for name in names)
        self._given.reporter.notice(f"deleting {', '.join(names)}")
        try:
            await self._play("in", shares, None)
            await self._deleted(shares)
        except (MoveError, JournalError, OSError) as error:
            self._fleet.not_deleted(names)
            self._given.reporter.error(f"{', '.join(names)} could not be deleted: {error}")

    async def _deleted(self, shares: tuple[VmShare, ...]) -> None:
        for share in shares:
            for run in self._given.journal.live_runs():
                if run.place == share.name:  # whatever ran there runs no more
                    await self._settling.homecoming.without_word(run)
            self._fleet.gone(share.name)
            self._given.reporter.notice(f"{share.name} is deleted")

    async def _play(
        self,
        direction: Direction,
        shares: tuple[VmShare, ...],
        decision: int | None,
        burst: BurstConfig | None = None,
    ) -> None:
        """One playbook, from its first to its last line in the journal. Raises MoveError."""
        given, burst = self._given, burst or self._config.burst
        tasks = {task: share.name for share in shares for task in share.tasks}
        names = tuple(share.name for share in shares)
        number = given.journal.begin_move(
            decision,
            direction,
            tuple(tasks),
            names,
            given.boot_id,
            given.clock.boottime(),
            given.clock.wall(),
        )
        self._move = move = Move(number, direction, tasks)
        self._last_failure = None
        variables = play_variables(burst, given.journal.controller(), number, given.control, shares)
        failure: PlayError | None = None
        outcome = "cut short: the monitor ends"
        try:
            await given.playbooks.run(
                f"scale_{direction}", number, variables, burst.playbook_timeout
            )
            outcome = "done"
        except PlayError as error:
            failure, outcome = error, f"failed: {error}"
        finally:
            await move.end()
            self._move = None
            self._forget_staged(move, shares)
            given.journal.end_move(number, given.clock.wall(), outcome)
        for share in shares:
            if share.tasks:
                await self._settle(self._fleet.vms[share.name])
        self._judge_outcome(move, failure)

    def _judge_outcome(self, move: Move, failure: PlayError | None) -> None:
        self._last_failure = failure
        if failure is not None:
            raise MoveError(str(failure), failure.kind, advice(failure.kind))
        places = self.placement
        out = move.direction == "out"
        missed = [t for t, vm in move.vms.items() if places.of(t) != (vm if out else LOCAL)]
        missed = [task for task in missed if self._is_alive(task)]
        if missed:
            names = ", ".join(missed)
            raise MoveError(f"{names} did not get {'there' if out else 'home'}")

    def _is_alive(self, task: str) -> bool:
        local = self._given.workload.task(task)
        return local is not None and local.phase not in ("done", "failed")

    async def _settle(self, vm: BurstVm) -> None:
        if vm.link is not None and not vm.gone:
            await self._settling.settle(vm)

    async def _vm_ready(self, request: dict[str, Any]) -> dict[str, Any]:
        move, vm = self._move, self._fleet.vms.get(str(request.get("vm")))
        number = request.get("move")
        if move is None or move.number != number or move.over or vm is None:
            raise ControlRefusal("stale-move", f"move {number} is over: this play ends")
        if vm.record.state == "planned":
            self._fleet.up(vm, request)
        self._fleet.open(vm)
        return {}

    async def _share(self, vm: str, configs: Sequence[TaskConfig]) -> VmShare:
        tasks = tuple(config.name for config in configs)
        if not any(config.files for config in configs):
            return VmShare(vm, tasks)
        archive = self._staging / f"files.{vm}.tar"
        folders = {config.slug: (config.cwd, config.files) for config in configs}
        try:
            await asyncio.to_thread(checkpoints.pack_folders, folders, archive)
        except (OSError, checkpoints.CheckpointError) as error:
            raise MoveError(f"the files of {', '.join(tasks)} cannot be packed: {error}") from error
        return VmShare(vm, tasks, archive)

    def _forget_staged(self, move: Move, shares: tuple[VmShare, ...]) -> None:
        for path in (*self._staging.glob(f"*.move-{move.number}.tar"), *(s.files for s in shares)):
            if path is not None:
                path.unlink(missing_ok=True)

    def _current(self) -> Move | None:
        return self._move
