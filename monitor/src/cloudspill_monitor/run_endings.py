# SPDX-License-Identifier: GPL-3.0-or-later
"""The ends of local runs, kept until the journal can take them."""

from __future__ import annotations

from dataclasses import dataclass

from cloudspill_monitor.journal import Journal, JournalError
from cloudspill_monitor.local_task import TaskEvent
from cloudspill_monitor.task_process import TaskProcess


@dataclass(slots=True)
class _Ending:
    """A run whose end is not in the journal yet; `told` once that had to be said."""

    task: str
    run: int
    wall: float
    exit_status: int | None
    outcome: str
    process: TaskProcess | None = None
    told: bool = False


class RunEndings:
    """Ends of runs on their way into the journal, in their order."""

    def __init__(self, journal: Journal) -> None:
        self._journal = journal
        self._left: list[_Ending] = []

    def add(
        self,
        task: str,
        run: int,
        wall: float,
        exit_status: int | None,
        outcome: str,
        process: TaskProcess | None = None,
    ) -> None:
        """The run has ended."""
        self._left.append(_Ending(task, run, wall, exit_status, outcome, process))

    def write(self) -> list[TaskEvent]:
        """Write down what can be. What cannot is said once, and tried again at the next call."""
        while self._left:
            end = self._left[0]
            try:
                self._journal.end_run(end.run, end.wall, end.exit_status, end.outcome)
            except JournalError as error:
                if end.told:
                    return []
                end.told = True
                return [TaskEvent(end.task, f"has ended, which cannot be kept: {error}", True)]
            if end.process is not None:
                end.process.forget()
            del self._left[0]
        return []
