# SPDX-License-Identifier: GPL-3.0-or-later
# GNU General Public License v3.0+ (see https://www.gnu.org/licenses/gpl-3.0.txt)
"""Waits until the keepers of burst VMs answer; see the module's documentation."""

from __future__ import annotations

import shlex
import time
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from ansible.plugins.action import ActionBase

from ..module_utils.burst_guest import Guest, GuestError

Document = dict[str, Any]

_INTERVAL = 0.2
_ONE_CALL = 75.0  # an instance may take a minute to publish its host keys
_ARGUMENTS = {
    "names": {"type": "list", "elements": "str", "required": True},
    "timeout": {"type": "float", "default": 120.0},
}


class ActionModule(ActionBase):
    """Runs on the controller, for all VMs at once."""

    _supports_check_mode = True

    def run(self, tmp: str | None = None, task_vars: Document | None = None) -> Document:
        """Ask every keeper until it answers."""
        result: Document = super().run(tmp, task_vars)
        given: Document
        _validation, given = self.validate_argument_spec(_ARGUMENTS)  # type: ignore[no-untyped-call]
        if self._task.check_mode:
            return {**result, "changed": False, "machines": []}
        until = time.monotonic() + given["timeout"]
        hosts = (task_vars or {})["hostvars"]
        logins = {name: _login(hosts, name) for name in given["names"]}
        with ThreadPoolExecutor(max_workers=max(1, len(logins))) as pool:
            found = list(pool.map(lambda name: reach(name, logins[name], until), logins))
        failures = [machine["reason"] for machine in found if machine["reason"]]
        if failures:
            return {**result, "failed": True, "msg": "; ".join(failures), "machines": found}
        return {**result, "changed": False, "machines": found}


def _login(hosts: Any, name: str) -> list[str]:
    """The command line that logs in; empty where the inventory does not know the VM."""
    return shlex.split(hosts[name].get("gce_ssh_command", "")) if name in hosts else []


def reach(name: str, login: list[str], until: float) -> Document:
    """Ask a keeper until it answers; say why not where it does not."""
    if not login:
        reason = (
            f"{name} is not in the inventory: check that the inventory reads this project, and "
            "that its filters let the VM through"
        )
        return {"name": name, "reason": reason}
    guest = Guest(name, login)
    while True:
        left = until - time.monotonic()
        try:
            status = guest.call({"do": "status"}, max(1.0, min(left, _ONE_CALL)))
        except GuestError as error:
            if time.monotonic() >= until:
                return {"name": name, "reason": str(error)}
            time.sleep(_INTERVAL)
        else:
            return {"name": name, "reason": _unfit(name, status)}


def _unfit(name: str, status: Document) -> str:
    if (status.get("lease") or {}).get("fenced"):
        return f"the keeper of {name} refuses: its lease is over, and it deletes the VM (fenced)"
    return ""
