# SPDX-License-Identifier: GPL-3.0-or-later
# GNU General Public License v3.0+ (see https://www.gnu.org/licenses/gpl-3.0.txt)
"""A VM's keeper by way of the connection that Ansible has to the VM."""

from __future__ import annotations

import shlex
from typing import Any

from ansible.errors import AnsibleConnectionFailure
from ansible.utils.path import unfrackpath

from ..module_utils.burst_guest import UNREACHABLE, Guest, GuestError


def guest_of(connection: Any, name: str, ssh_command: str) -> Guest:
    """Open Ansible's connection, and return the guest whose calls go through it.

    Args:
        connection: Ansible's connection plugin; where it shares connections (ControlPersist), the
            calls share that one, and none of them waits for a login.
        name: of the VM.
        ssh_command: the command line that logs in to it.

    Raises:
        GuestError: the VM cannot be reached.
    """
    try:
        status, _output, said = connection.exec_command("true", sudoable=False)
    except AnsibleConnectionFailure as error:
        words = " ".join(str(error).split())
        raise GuestError(f"{name} does not let us in by ssh: {words}", UNREACHABLE) from error
    if status:
        words = " ".join(bytes(said).decode(errors="replace").split())
        raise GuestError(f"{name} does not let us in by ssh: {words}", UNREACHABLE)
    program, *words_of_login = shlex.split(ssh_command)
    return Guest(name, [program, *_shared(connection), *words_of_login])


def _shared(connection: Any) -> list[str]:
    path = getattr(connection, "control_path", None)
    if not path:
        return []
    path %= {"directory": unfrackpath(connection.control_path_dir)}
    return ["-o", "ControlMaster=no", "-o", f"ControlPath={path}"]
