# SPDX-License-Identifier: GPL-3.0-or-later
"""Tasks as they are shown."""

from __future__ import annotations

from cloudspill_monitor.loads import LoadMeters
from cloudspill_monitor.placement import Placement
from cloudspill_monitor.snapshot import TaskView
from cloudspill_monitor.workload import LocalTask, Workload


def task_views(
    workload: Workload, placement: Placement, meters: LoadMeters, now: float
) -> tuple[TaskView, ...]:
    """All tasks at `now`, in seconds since boot."""
    return tuple(
        TaskView(
            name=task.config.name,
            place=placement.of(task.config.name),
            phase=task.phase,
            movable=task.config.movable,
            pid=task.process.pid if task.process else None,
            cores=meters.cores(task.config.name),
            uptime=_uptime(task, now),
            restarts=task.restarts,
            exit_status=task.exit_status,
            log=str(workload.log(task.config)),
        )
        for task in workload.tasks
    )


def _uptime(task: LocalTask, now: float) -> float | None:
    return now - task.since if task.process else None
