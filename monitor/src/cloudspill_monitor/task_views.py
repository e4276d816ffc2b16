# SPDX-License-Identifier: GPL-3.0-or-later
"""Tasks as they are shown."""

from __future__ import annotations

from cloudspill_monitor.clock import Clock
from cloudspill_monitor.journal import Run
from cloudspill_monitor.loads import LoadMeters
from cloudspill_monitor.placement import Placement
from cloudspill_monitor.policy_types import LOCAL
from cloudspill_monitor.snapshot import TaskView
from cloudspill_monitor.workload import LocalTask, Workload


def task_views(
    workload: Workload,
    placement: Placement,
    meters: LoadMeters,
    live: list[Run],
    clock: Clock,
) -> tuple[TaskView, ...]:
    """All tasks now; `live` are the runs of the journal that have not ended."""
    there = {run.task: run for run in live if run.place != LOCAL}
    return tuple(
        _view(
            workload,
            task,
            placement.of(task.config.name),
            meters.cores(task.config.name),
            there.get(task.config.name) if task.process is None else None,
            clock,
        )
        for task in workload.tasks
    )


def _view(
    workload: Workload,
    task: LocalTask,
    place: str,
    cores: float | None,
    run: Run | None,
    clock: Clock,
) -> TaskView:
    """A task; `run` is its run at a VM, if it has one."""
    name = task.config.name
    if run is not None:
        uptime: float | None = max(0.0, clock.wall() - run.begun_wall)  # it may be of another boot
        log = workload.remote_log_path(name, run.place, run.run)
    else:
        uptime = clock.boottime() - task.since if task.process else None
        log = workload.log(task.config)
    return TaskView(
        name=name,
        place=place if run is None else run.place,
        phase=task.phase,
        movable=task.config.movable,
        pid=task.process.pid if task.process else None,
        cores=cores,
        uptime=uptime,
        restarts=task.restarts,
        exit_status=None if run is not None else task.exit_status,
        log=str(log),
        run=None if run is None else run.run,
    )
