# SPDX-License-Identifier: GPL-3.0-or-later
# GNU General Public License v3.0+ (see https://www.gnu.org/licenses/gpl-3.0.txt)
"""Makes a burst VM ready for tasks; see the module's documentation."""

from __future__ import annotations

import shlex
import tarfile
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path, PurePosixPath
from typing import Any

from ansible import constants
from ansible.plugins.action import ActionBase

from ..module_utils.burst_control import STALE, Control, ControlError
from ..module_utils.burst_guest import LOST, SILENT, UNREACHABLE, Guest, GuestError
from ..plugin_utils.burst_connection import guest_of

Document = dict[str, Any]

_INTERVAL = 0.2
_ARGUMENTS = {
    "control": {"type": "path", "required": True},
    "move": {"type": "int", "required": True},
    "zone": {"type": "str", "required": True},
    "instance_id": {"type": "str", "required": True},
    "machine_type": {"type": "str", "required": True},
    "spot": {"type": "bool", "default": False},
    "ssh_command": {"type": "str", "required": True},
    "files": {"type": "path"},
    "timeout": {"type": "float", "default": 300.0},
}


class ActionModule(ActionBase):
    """Runs on the controller, once for a VM."""

    _supports_check_mode = True

    def run(self, tmp: str | None = None, task_vars: Document | None = None) -> Document:
        """Wait for the keeper, tell the monitor, bring the files."""
        result: Document = super().run(tmp, task_vars)
        given: Document
        _validation, given = self.validate_argument_spec(_ARGUMENTS)  # type: ignore[no-untyped-call]
        machine = str((task_vars or {})["inventory_hostname"])
        if self._task.check_mode:
            said = f"would make {machine} ready for tasks"
            return {**result, "changed": True, "done": True, "msg": said}
        until = time.monotonic() + given["timeout"]
        try:
            guest = guest_of(self._connection, machine, given["ssh_command"])
            await_keeper(guest, until)
            control = Control(Path(given["control"]), given["move"], given["timeout"])
            control.ask("vm_ready", vm=machine, **_described(given))
            prepared = prepare(guest, given["move"], given["files"], until)
            # Not while a task is on its way: it would run nowhere for so long.
            await_keeper(guest, until, heard=True)
        except GuestError as error:
            refused = {"failed": True, "msg": str(error), "kind": error.kind}
            return {**result, **refused, "reached": error.kind not in (LOST, UNREACHABLE)}
        except ControlError as error:
            refused = {"failed": True, "msg": str(error), "kind": error.kind}
            return {**result, **refused, "reached": True, "stale": error.kind == STALE}
        return {**result, "changed": bool(prepared), "done": True, "prepared": prepared}


def _described(given: Document) -> Document:
    names = ("zone", "instance_id", "machine_type", "spot")
    return {name: given[name] for name in names} | {
        "ssh_command": shlex.split(given["ssh_command"])
    }


def await_keeper(guest: Guest, until: float, *, heard: bool = False) -> None:
    """Ask until the keeper answers.

    Args:
        heard: wait until it has heard of the monitor, too: it starts nothing before.

    Raises:
        GuestError: it does not before `until`.
    """
    while True:
        try:
            status = guest.call({"do": "status"}, _left(until))
        except GuestError as error:
            if error.kind == UNREACHABLE or time.monotonic() >= until:
                raise
        else:
            if not heard or status["lease"]["renewed"]:
                return
            if time.monotonic() >= until:
                raise GuestError(
                    f"the keeper of {guest.name} has heard nothing from the monitor: the stream "
                    "between them did not come about",
                    SILENT,
                )
        time.sleep(_INTERVAL)


def prepare(guest: Guest, move: int, files: str | None, until: float) -> list[str]:
    """Bring every task's files, and return the names of the folders that they are for.

    Raises:
        GuestError: the keeper refuses, or there is no way to it.
    """
    if not files:
        return []
    prepared = []
    with tarfile.open(files) as whole:
        for slug, members in by_folder(whole).items():
            with archive_of(whole, members) as archive, guest.open(_left(until)) as call:
                call.make({"do": "prepare", "move": move, "slug": slug}, archive)
            prepared.append(slug)
    return prepared


def _left(until: float) -> float:
    return max(1.0, until - time.monotonic())


def by_folder(whole: tarfile.TarFile) -> dict[str, list[tarfile.TarInfo]]:
    """The members of an archive by the first part of their names, which is left out."""
    folders: dict[str, list[tarfile.TarInfo]] = {}
    for member in whole:
        slug, *rest = PurePosixPath(member.name).parts or (".",)
        members = folders.setdefault(slug, [])
        if rest:
            linked = PurePosixPath(member.linkname).parts[1:] if member.islnk() else None
            link = str(PurePosixPath(*linked)) if linked else member.linkname
            members.append(member.replace(name=str(PurePosixPath(*rest)), linkname=link))
    return folders


@contextmanager
def archive_of(whole: tarfile.TarFile, members: list[tarfile.TarInfo]) -> Iterator[Path]:
    """Some members of an archive as an archive of their own, for a while."""
    folder = constants.DEFAULT_LOCAL_TMP  # type: ignore[attr-defined]  # made at run time
    with tempfile.NamedTemporaryFile(dir=folder, suffix=".tar") as file:
        with tarfile.open(fileobj=file, mode="w", format=tarfile.PAX_FORMAT) as part:
            for member in members:
                part.addfile(member, whole.extractfile(member) if member.isreg() else None)
        file.flush()
        yield Path(file.name)
