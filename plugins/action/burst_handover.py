# SPDX-License-Identifier: GPL-3.0-or-later
# GNU General Public License v3.0+ (see https://www.gnu.org/licenses/gpl-3.0.txt)
"""Hands a task over between this machine and a burst VM; see the module's documentation.

Between `handover` and `confirm` the task runs nowhere. So all that can be done before is: the
connection is open, and the program that calls the keeper runs and waits for its request.
"""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

from ansible.plugins.action import ActionBase

from ..module_utils.burst_control import STALE, Control, ControlError
from ..module_utils.burst_guest import LOST, UNREACHABLE, Guest, GuestError
from ..plugin_utils.burst_connection import guest_of

Document = dict[str, Any]

_ARGUMENTS = {
    "control": {"type": "path", "required": True},
    "move": {"type": "int", "required": True},
    "task": {"type": "str", "required": True},
    "ssh_command": {"type": "str", "required": True},
    "timeout": {"type": "float", "default": 300.0},
}


class ActionModule(ActionBase):
    """Runs on the controller: one call for one task."""

    _supports_check_mode = True

    def run(self, tmp: str | None = None, task_vars: Document | None = None) -> Document:
        """Hand the task over and say how long it ran nowhere."""
        result: Document = super().run(tmp, task_vars)
        given: Document
        _validation, given = self.validate_argument_spec(_ARGUMENTS)  # type: ignore[no-untyped-call]
        machine = str((task_vars or {})["inventory_hostname"])
        if self._task.check_mode:
            return {
                **result,
                "changed": True,
                "done": True,
                "msg": f"would hand {given['task']} over with {machine}",
            }
        control = Control(Path(given["control"]), given["move"], given["timeout"])
        try:
            guest = guest_of(self._connection, machine, given["ssh_command"])
            return {**result, **hand_over(control, guest, given["task"], given["timeout"])}
        except GuestError as error:
            reached = error.kind not in (LOST, UNREACHABLE)
            about = f"{given['task']}: {error}"
            return {**result, "failed": True, "msg": about, "kind": error.kind, "reached": reached}
        except ControlError as error:
            stale = error.kind == STALE
            said = {"failed": True, "msg": str(error), "kind": error.kind, "stale": stale}
            return {**result, **said, "reached": True}


def hand_over(control: Control, guest: Guest, task: str, timeout: float) -> Document:
    """Hand a task over, and return the module's result.

    Raises:
        ControlError: the monitor refuses; the task is where it was, or the monitor sees to it.
        GuestError: the keeper refuses, or there is no way to it.
    """
    with guest.open(timeout) as call:
        began = time.monotonic()
        order = control.ask("handover", task=task, vm=guest.name)
        if "skip" in order:
            return {"changed": False, "done": True, "msg": str(order["skip"])}
        handed = time.monotonic()
        answer = call.make(order["request"], _path(order, "archive"), _path(order, "deliver"))
        called = time.monotonic()
        control.ask("confirm", task=task, vm=guest.name, answer=answer)
        seconds = {"handover": handed - began, "call": called - handed}
        seconds["confirm"] = time.monotonic() - called
    return {
        "changed": True,
        "done": True,
        "run": answer,
        "seconds": {stage: round(taken, 3) for stage, taken in seconds.items()},
    }


def _path(order: Document, key: str) -> Path | None:
    return Path(order[key]) if order.get(key) else None
