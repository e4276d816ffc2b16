# SPDX-License-Identifier: GPL-3.0-or-later
"""Which program a run's command means on this VM, and with which variables it runs."""

from __future__ import annotations

import os
import shutil

from .folders import Folders
from .protocol import Refusal
from .runs import Run
from .units import UnitSpec

_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"


def unit_of(run: Run, folders: Folders) -> UnitSpec:
    """Return the unit of a run, whose folder is in its place.

    Raises:
        Refusal: failed, this VM does not have the program.
    """
    folder = folders.tasks / run.slug
    environment = {"PATH": _PATH, "HOME": str(folder), **run.env}
    environment.update(CLOUDSPILL_TASK=run.task, CLOUDSPILL_RUN=str(run.run))
    name = run.command[0]
    # As a shell would: a name with a slash counts from the task's folder, any other from PATH.
    wanted = os.path.join(folder, name) if "/" in name else name  # noqa: PTH118 - not normalised
    program = shutil.which(wanted, path=environment["PATH"])
    if program is None:
        raise Refusal("failed", f"{run.task} cannot start: this VM has no program {name!r}")
    return UnitSpec(
        run=run.run,
        command=(program, *run.command[1:]),
        environment=environment,
        folder=folder,
        log=folders.log(run.run),
        restart=run.restart,
        stop_signal=run.stop_signal,
        stop_grace=run.stop_grace,
    )
