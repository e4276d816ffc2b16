# SPDX-License-Identifier: GPL-3.0-or-later
"""What the playbook of a move asks the monitor: each step is in the journal before it is answered.

A task is stopped only when the play asks for it, so everything slow (a VM, its login, the files)
comes before. A request that comes again is answered as before; one of a play whose move is over is
refused, and that play ends.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from cloudspill_monitor import checkpoints
from cloudspill_monitor.burst.homecoming import Homecoming
from cloudspill_monitor.burst.move import Move
from cloudspill_monitor.clock import Clock
from cloudspill_monitor.config import TaskConfig
from cloudspill_monitor.console import Reporter
from cloudspill_monitor.control import ControlRefusal
from cloudspill_monitor.journal import Journal, JournalError, Run
from cloudspill_monitor.local_task import Ended
from cloudspill_monitor.policy_types import LOCAL
from cloudspill_monitor.workload import NotReleasedError, Workload

_POLL = 0.02  # seconds between looks at a task that was asked to stop

Request = dict[str, Any]
Answer = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Handover:
    """Answers `handover` and `confirm`. `current` is the move under way; `poll` lets the tasks be
    looked at.
    """

    journal: Journal
    workload: Workload
    homecoming: Homecoming
    clock: Clock
    reporter: Reporter
    boot_id: str
    staging: Path
    current: Callable[[], Move | None]
    poll: Callable[[], None]

    async def handover(self, request: Request) -> Answer:
        """May the task go? Then it has stopped here, or may be stopped there.

        Raises ControlRefusal: the play's move is over, or its checkpoint cannot be packed.
        """
        move, task, vm = self._addressed(request)
        async with move.turn(task):
            if task not in move.answers:
                _still(move)
                give = self._hand_out if move.direction == "out" else self._call_home
                move.answers[task] = await give(move, task, vm)
            return move.answers[task]

    async def confirm(self, request: Request) -> Answer:
        """The task runs at the VM now, or its checkpoint has come home.

        Raises ControlRefusal: the play's move is over, or what came is not what was sent.
        """
        move, task, vm = self._addressed(request)
        answer = _guest_answer(request)
        async with move.turn(task):
            _still(move)
            run = self._live(task, vm)
            if run is None or task not in move.answers:
                return {}  # it was confirmed before
            if move.direction == "out":
                self.journal.confirm_run(run.run)
                self._tell_nowhere(move, task, f"runs on {vm}")
            else:
                archive = Path(move.answers[task]["deliver"])
                await self.homecoming.arrive(run, answer, archive, move)
                self._tell_nowhere(move, task, f"is home from {vm}")
        return {}

    async def _hand_out(self, move: Move, task: str, vm: str) -> Answer:
        local = self.workload.task(task)
        if local is None:
            return {"skip": f"{task} is no longer configured"}
        config, run = local.config, local.process.run if local.process is not None else None
        archive = self.staging / f"{config.slug}.move-{move.number}.tar"
        try:
            if run is not None:
                self.journal.mark_stopping(run, move.number)
            self.workload.release(task)
            while (ended := self.workload.released(task)) is None:
                await asyncio.sleep(_POLL)
                self.poll()
            move.left_at[task] = self.clock.boottime()
            _still(move)
            packed = await asyncio.to_thread(
                checkpoints.pack, config.cwd, config.checkpoint_paths, archive
            )
            _still(move)
            number = self._journal_hand_out(move, task, vm, ended)
        except NotReleasedError as error:
            return {"skip": str(error)}
        except BaseException as error:  # a cancellation too: the task stays here
            self.workload.cancel_release(task)
            if isinstance(error, checkpoints.CheckpointError | JournalError):
                raise ControlRefusal("disk-full-here", f"{task} goes on here: {error}") from error
            raise
        self.workload.gone_to(task, vm)
        return _start_request(move, number, config, packed.sha256, archive)

    def _journal_hand_out(self, move: Move, task: str, vm: str, ended: Ended) -> int:
        return self.journal.hand_out(
            ended.run,
            task,
            vm,
            ended.definition,
            move.number,
            self.boot_id,
            self.clock.boottime(),
            self.clock.wall(),
            ended.exit_status,
        )

    async def _call_home(self, move: Move, task: str, vm: str) -> Answer:
        run = self._live(task, vm)
        if run is None:
            return {"skip": f"{task} is not at {vm} any more"}
        move.left_at[task] = self.clock.boottime()
        return {
            "request": {"do": "stop", "move": move.number, "run": run.run},
            "deliver": str(self.staging / f"run-{run.run}.move-{move.number}.tar"),
        }

    def _addressed(self, request: Request) -> tuple[Move, str, str]:
        move = self.current()
        try:
            number, task, vm = request["move"], request["task"], request["vm"]
        except KeyError as error:
            raise ControlRefusal("bad-request", f"the request lacks {error}") from error
        if move is None or move.number != number or move.over:
            raise ControlRefusal("stale-move", f"move {number} is over: this play ends")
        if move.vms.get(task) != vm:
            raise ControlRefusal("bad-request", f"move {number} does not concern {task} and {vm}")
        return move, task, vm

    def _live(self, task: str, vm: str) -> Run | None:
        assert vm != LOCAL
        runs = (r for r in self.journal.live_runs() if r.task == task and r.place == vm)
        return next(runs, None)

    def _tell_nowhere(self, move: Move, task: str, where: str) -> None:
        seconds = move.arrived(task, self.clock.boottime())
        ran = "" if seconds is None else f"; it ran nowhere for {seconds:.2f} s"
        self.reporter.notice(f"{task} {where}{ran}")


def refusing(
    handler: Callable[[Request], Awaitable[Answer]],
) -> Callable[[Request], Awaitable[Answer]]:
    """`handler`, which refuses while the journal cannot be written: the play tells why it ends."""

    async def answer(request: Request) -> Answer:
        try:
            return await handler(request)
        except JournalError as error:
            raise ControlRefusal("disk-full-here", str(error)) from error

    return answer


def _start_request(move: Move, run: int, config: TaskConfig, sha256: str, archive: Path) -> Answer:
    return {
        "request": {
            "do": "start",
            "move": move.number,
            "run": run,
            "task": config.name,
            "slug": config.slug,
            "command": list(config.command),
            "env": config.env,
            "checkpoint_paths": [str(path) for path in config.checkpoint_paths],
            "restart": config.restart,
            "stop_signal": config.stop_signal,
            "stop_grace": config.stop_grace,
            "sha256": sha256,
        },
        "archive": str(archive),
    }


def _still(move: Move) -> None:
    if move.over:
        raise ControlRefusal("stale-move", f"move {move.number} is over: this play ends")


def _guest_answer(request: Request) -> dict[str, Any]:
    answer = request.get("answer")
    if not isinstance(answer, dict):
        raise ControlRefusal("bad-request", "`answer` must be what the VM answered")
    return answer
