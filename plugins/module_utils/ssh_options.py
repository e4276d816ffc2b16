# SPDX-License-Identifier: GPL-3.0-or-later
# GNU General Public License v3.0+ (see https://www.gnu.org/licenses/gpl-3.0.txt)
"""How ssh reaches an instance with its host key verified, for Ansible and for people."""

from __future__ import annotations

import shlex
import sys
from dataclasses import dataclass
from pathlib import Path

from . import host_keys

DEFAULT_USER = "cloudspill"
DEFAULT_KEY_FILE = "~/.config/cloudspill/ssh_key"


_HOST_KEYS = str(Path(host_keys.__file__).resolve())


@dataclass(frozen=True, slots=True)
class Target:
    """An instance that ssh shall reach.

    Attributes:
        project, zone, name, instance_id: which instance.
        address: IP address to connect to.
        user: login name, made by the guest agent out of the metadata `ssh-keys`.
        key_file: path of the private key.
        environment_file: environment of the API's clients, if it is not the caller's own.
        host_key: the instance's public host key, where it publishes none.
    """

    project: str
    zone: str
    name: str
    instance_id: str
    address: str
    user: str = DEFAULT_USER
    key_file: str = DEFAULT_KEY_FILE
    environment_file: str | None = None
    host_key: str | None = None


def known_hosts_command(target: Target) -> str:
    """The value of ssh's KnownHostsCommand: absolute, quoted for ssh, with % doubled."""
    # -I -S: nothing of the user's environment, and no search for packages unless keys are fetched.
    words = [sys.executable, "-I", "-S", _HOST_KEYS]
    words += ["--project", target.project, "--zone", target.zone, "--instance", target.name]
    words += ["--id", target.instance_id]
    if target.environment_file:
        words += ["--environment-file", target.environment_file]
    if target.host_key:
        words += ["--host-key", target.host_key]
    return " ".join(f'"{word}"' if " " in word else word for word in words).replace("%", "%%")


def options(target: Target) -> list[str]:
    """The `-o` options that verify the host and offer one key alone."""
    settings = {
        "KnownHostsCommand": known_hosts_command(target),
        "HostKeyAlias": host_keys.alias(target.instance_id),
        "StrictHostKeyChecking": "yes",
        # Nothing but what the instance published counts, and nothing is written.
        "UserKnownHostsFile": "/dev/null",
        "GlobalKnownHostsFile": "/dev/null",
        "UpdateHostKeys": "no",
        "CheckHostIP": "no",
        "IdentitiesOnly": "yes",
        "ForwardAgent": "no",
        "ConnectTimeout": "10",
        "ServerAliveInterval": "5",
        "ServerAliveCountMax": "6",
    }
    return [word for name, value in settings.items() for word in ("-o", f"{name}={value}")]


def common_arguments(target: Target) -> str:
    """The same as one string, as `ansible_ssh_common_args` wants it."""
    return shlex.join(options(target))


def command(target: Target, arguments: str) -> str:
    """A command line for a person.

    Args:
        arguments: those that `common_arguments` returned; inventories of thousands ask once.
    """
    key_file = str(Path(target.key_file).expanduser())
    login = shlex.quote(f"{target.user}@{target.address}")
    return f"ssh -i {shlex.quote(key_file)} {arguments} {login}"
