#!/usr/bin/python
# SPDX-License-Identifier: GPL-3.0-or-later
# GNU General Public License v3.0+ (see https://www.gnu.org/licenses/gpl-3.0.txt)
"""The key by which the machines are reached."""

from __future__ import annotations

DOCUMENTATION = r"""
module: ssh_key
short_description: Make an ssh key where there is none
description:
  - Makes an Ed25519 key pair without a passphrase if the file does not exist, in a folder that only
    its owner can open, and returns the public key.
  - A key that others can read, or that is no private key, is refused and left alone.
options:
  path:
    description: The path of the private key; the public one lies beside it with the suffix C(.pub).
    type: path
    required: true
  comment:
    description: The comment of a new key.
    type: str
    default: cloudspill
attributes:
  check_mode:
    description: Tells whether a key would be made; the public key is then empty.
    support: full
  diff_mode:
    description: Shows no difference, since keys are secret.
    support: none
requirements:
  - ssh-keygen
author:
  - The cloudspill authors (!UNKNOWN)
"""

EXAMPLES = r"""
- name: Have an ssh key
  cloudspill.gcp.ssh_key:
    path: ~/.config/cloudspill/ssh_key
  register: __key
"""

RETURN = r"""
path:
  description: The path of the private key.
  returned: success
  type: str
  sample: /home/ada/.config/cloudspill/ssh_key
public_key:
  description: The public key without its comment; empty in check mode where there is none yet.
  returned: success
  type: str
  sample: ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAI...
"""

import os
import stat
from pathlib import Path
from typing import Any

from ansible.module_utils.basic import AnsibleModule


class KeyRefusedError(Exception):
    """The key cannot be used; says why and what to do."""


def check_mode_of(key: Path) -> None:
    """Refuse a key that others can read, as ssh would.

    Raises:
        KeyRefusedError: group or others have any permission on it.
    """
    mode = stat.S_IMODE(key.stat().st_mode)
    if mode & 0o077:
        raise KeyRefusedError(
            f"the ssh key {key} can be used by others (mode {mode:04o}): run `chmod 600 {key}`"
        )


def public_part(module: AnsibleModule, key: Path) -> str:
    """Derive the public key, which also proves that the private one is sound.

    Raises:
        KeyRefusedError: it is no private key, or it has a passphrase.
    """
    code, out, _err = module.run_command(["ssh-keygen", "-y", "-P", "", "-f", str(key)])
    if code != 0:
        raise KeyRefusedError(
            f"{key} is no ssh private key without passphrase: move it away and run again, "
            "then a new one is made, or name another by instance_ssh_key_file"
        )
    kind, material = out.split()[:2]
    return f"{kind} {material}"


def make(module: AnsibleModule, key: Path) -> None:
    """Make a key pair, complete or not at all.

    Raises:
        KeyRefusedError: ssh-keygen cannot write it.
    """
    key.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    draft = key.with_name(f".{key.name}.{os.getpid()}")
    comment = module.params["comment"]
    command = ["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", comment, "-f", str(draft)]
    code, _out, err = module.run_command(command)
    if code != 0:
        raise KeyRefusedError(f"cannot make the ssh key {key}: {err.strip()}")
    draft.with_name(f"{draft.name}.pub").replace(key.with_name(f"{key.name}.pub"))
    draft.replace(key)


def run(module: AnsibleModule) -> dict[str, Any]:
    """Have a key, and return the module's result."""
    key = Path(module.params["path"])
    absent = not key.exists()
    if absent and not module.check_mode:
        make(module, key)
    if not key.exists():
        return {"changed": True, "path": str(key), "public_key": ""}
    check_mode_of(key)
    return {"changed": absent, "path": str(key), "public_key": public_part(module, key)}


def main() -> None:
    """Run as a module."""
    module = AnsibleModule(
        argument_spec={
            "path": {"type": "path", "required": True},
            "comment": {"type": "str", "default": "cloudspill"},
        },
        supports_check_mode=True,
    )
    try:
        result = run(module)
    except (KeyRefusedError, OSError) as error:
        module.fail_json(msg=str(error))
    module.exit_json(**result)


if __name__ == "__main__":
    main()
