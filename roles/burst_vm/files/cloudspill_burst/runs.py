# SPDX-License-Identifier: GPL-3.0-or-later
"""The runs that this VM was asked for, as records on disk: one file each."""

from __future__ import annotations

import dataclasses
import json
import logging
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from .durable import replace_file, sync_folder
from .protocol import Start

_log = logging.getLogger(__name__)

LIVE = ("starting", "running", "stopping")
"""Phases in which a unit may exist that may run."""


@dataclass(frozen=True)
class Run:
    """A run's record.

    Attributes:
        phase: starting, running, stopping, stopped, ended or released. It is written before what
            it announces is done.
        boot: the boot in which the phase was written.
        cpu_seconds, restarts: of units that are gone; what a unit of now has used comes on top.
        exit_status: of a run that ended by itself; negative for a signal; None when nobody knows.
        sha256, size: of the archive of its checkpoint, once it has stopped or ended.
        left_out: what of the checkpoint paths was not there, or was no file or folder.
        resumes: how often it was started again after a stop.

    The other fields are those of the request that started it.
    """

    move: int
    run: int
    task: str
    slug: str
    command: tuple[str, ...]
    env: dict[str, str]
    checkpoint_paths: tuple[str, ...]
    restart: str
    stop_signal: str
    stop_grace: float
    phase: str
    boot: str
    exit_status: int | None = None
    cpu_seconds: float = 0.0
    restarts: int = 0
    sha256: str | None = None
    size: int | None = None
    left_out: tuple[str, ...] = ()
    resumes: int = 0

    @property
    def live(self) -> bool:
        """Whether a unit of it may run."""
        return self.phase in LIVE


def asked_for(request: Start, boot: str) -> Run:
    """Return the record of a run that is about to be started."""
    fields = dataclasses.asdict(request)
    del fields["sha256"]
    return Run(**fields, phase="starting", boot=boot)


class RunStore:
    """All records, in memory and in a folder.

    Args:
        folder: where the files are; it exists.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._runs: dict[int, Run] = {}
        for path in sorted(folder.glob("*.json")):
            run = _read(path)
            if run is not None:
                self._runs[run.run] = run

    def get(self, number: int) -> Run | None:
        """Return a run by its number."""
        return self._runs.get(number)

    def __iter__(self) -> Iterator[Run]:
        """Go through all runs, oldest first."""
        return iter([self._runs[number] for number in sorted(self._runs)])

    def unreleased(self) -> list[Run]:
        """Return the runs that the monitor does not have back yet."""
        return [run for run in self if run.phase != "released"]

    def live(self) -> list[Run]:
        """Return the runs of which a unit may run."""
        return [run for run in self if run.live]

    def save(self, run: Run) -> None:
        """Write a record; on return it lasts.

        Raises:
            Refusal: the disk is full; the record is as it was.
        """
        content = json.dumps(dataclasses.asdict(run)).encode()
        replace_file(self._folder / f"{run.run}.json", content)
        self._runs[run.run] = run

    def remove(self, run: Run) -> None:
        """Forget a run that never was."""
        (self._folder / f"{run.run}.json").unlink(missing_ok=True)
        sync_folder(self._folder)
        self._runs.pop(run.run, None)


def _read(path: Path) -> Run | None:
    try:
        fields = json.loads(path.read_bytes())
        for name in ("command", "checkpoint_paths", "left_out"):
            fields[name] = tuple(fields[name])
        return Run(**fields)
    except (ValueError, TypeError, KeyError):
        # Nothing that we write can be half there; its unit, if any, is swept as nobody's.
        _log.exception("set aside %s, which is no record of a run", path)
        path.replace(path.with_suffix(".unreadable"))
        return None
