# SPDX-License-Identifier: GPL-3.0-or-later
"""The forerunner's order of steps, with our playbooks: stop the tasks, then see to a VM for them.

For the benchmark alone: it shows what it costs that a task is stopped before its VM is there.
"""

from __future__ import annotations

import asyncio

from cloudspill_monitor.burst.executor import BurstExecutor


def stop_first() -> None:
    """Let every scale-out begin with the end of its tasks."""
    original = BurstExecutor._scale_out

    async def scale_out(
        executor: BurstExecutor, tasks: tuple[str, ...], decision: int | None
    ) -> None:
        given = executor._given
        for task in tasks:
            given.workload.release(task)
        while any(given.workload.released(task) is None for task in tasks):
            given.poll()
            await asyncio.sleep(0.02)
        await original(executor, tasks, decision)

    BurstExecutor._scale_out = scale_out  # type: ignore[method-assign,assignment]
