#!/usr/bin/python
# SPDX-License-Identifier: GPL-3.0-or-later
# GNU General Public License v3.0+ (see https://www.gnu.org/licenses/gpl-3.0.txt)
"""Metadata of an instance."""

from __future__ import annotations

DOCUMENTATION = r"""
module: gce_metadata
short_description: Set metadata of a Compute Engine instance
description:
  - Sets or removes custom metadata of an existing instance, under the fingerprint of its metadata,
    and leaves other keys alone.
  - The value of C(ssh-keys) has a line for each key. The lines that are wanted are added, and the
    lines of others stay.
  - The guest sees a changed ssh key at once and a changed startup script at its next boot.
  - The module M(google.cloud.gcp_compute_instance) reports a change of metadata and does not make
    it.
options:
  instance:
    description: The name of the instance.
    type: str
    required: true
    aliases: [name]
  zone:
    description: The zone of the instance.
    type: str
    required: true
  metadata:
    description: Keys and values; a value of V(null) removes the key, with all of its lines.
    type: dict
    required: true
  timeout:
    description: Seconds that the operation may take.
    type: int
    default: 120
extends_documentation_fragment:
  - cloudspill.gcp.gcp
attributes:
  check_mode:
    description: Tells what would change and changes nothing.
    support: full
  diff_mode:
    description:
      - Shows a digest of each changed value, since values may be secret; of C(ssh-keys), which are
        public, the lines that are added or removed.
    support: full
author:
  - The cloudspill project
"""

EXAMPLES = r"""
- name: Let the next boot run another startup script
  cloudspill.gcp.gce_metadata:
    instance: flask-1
    zone: us-west1-b
    metadata:
      startup-script: "{{ lookup('ansible.builtin.file', 'startup.sh', rstrip=false) }}"
"""

RETURN = r"""
keys:
  description: The keys that were changed, or would be in check mode, sorted.
  returned: success
  type: list
  elements: str
  sample: [startup-script]
"""

import hashlib
from typing import TYPE_CHECKING, Any

from ansible.module_utils.basic import AnsibleModule

from ..module_utils.api_errors import CloudError
from ..module_utils.arguments import compute_client, connection_arguments
from ..module_utils.revision import revise

if TYPE_CHECKING:
    from ..module_utils.compute import Compute

_SSH_KEYS = "ssh-keys"
"""One key a line, as https://cloud.google.com/compute/docs/connect/add-ssh-keys has it."""


def items_of(instance: dict[str, Any]) -> dict[str, str]:
    """The metadata of an instance document as a mapping."""
    items = (instance.get("metadata") or {}).get("items") or []
    return {item["key"]: item.get("value", "") for item in items}


def lines_of(value: str | None) -> list[str]:
    """The keys in a value of `ssh-keys`."""
    return [line.strip() for line in (value or "").splitlines() if line.strip()]


def with_lines(current: str | None, wanted: str) -> str:
    """Add the lines of `wanted` that are not there; nothing else of the value changes."""
    present = lines_of(current)
    missing = [line for line in dict.fromkeys(lines_of(wanted)) if line not in present]
    if current is not None and not missing:
        return current
    return "\n".join(present + missing)


def changes(current: dict[str, str], wanted: dict[str, Any]) -> dict[str, str | None]:
    """What has to become of which keys, sorted; None stands for a key that is removed."""
    after = {key: None if value is None else str(value) for key, value in wanted.items()}
    keys = after.get(_SSH_KEYS)
    if keys is not None:
        after[_SSH_KEYS] = with_lines(current.get(_SSH_KEYS), keys)
    return {key: after[key] for key in sorted(after) if after[key] != current.get(key)}


def difference(before: dict[str, str], after: dict[str, str | None]) -> dict[str, Any]:
    """What changes, for a person: ssh keys by line, other values by digest."""
    shown: dict[str, Any] = {"before": {}, "after": {}}
    for key, value in after.items():
        old = before.get(key)
        if key == _SSH_KEYS:
            was, becomes = lines_of(old), lines_of(value)
            shown["before"][key] = [line for line in was if line not in becomes]
            shown["after"][key] = [line for line in becomes if line not in was]
        else:
            shown["before"][key], shown["after"][key] = digest(old), digest(value)
    return shown


def digest(value: str | None) -> str:
    """Tell values apart without showing them."""
    if value is None:
        return "absent"
    return f"{len(value)} characters, sha256 {hashlib.sha256(value.encode()).hexdigest()[:12]}"


def run(module: AnsibleModule, compute: Compute) -> dict[str, Any]:
    """Bring the metadata to what the options ask for, and return the module's result."""
    options = module.params
    wanted: dict[str, Any] = options["metadata"]

    def plan(instance: dict[str, Any]) -> dict[str, Any] | None:
        current = items_of(instance)
        changed = changes(current, wanted)
        if not changed:
            return None
        merged = {**current, **changed}
        return {
            "items": [{"key": k, "value": v} for k, v in merged.items() if v is not None],
            "fingerprint": (instance.get("metadata") or {}).get("fingerprint"),
        }

    instance, body = revise(
        compute,
        f"zones/{options['zone']}/instances/{options['instance']}",
        "setMetadata",
        plan,
        deadline=options["timeout"],
        dry_run=module.check_mode,
    )
    current = items_of(instance)
    changed = changes(current, wanted)
    return {
        "changed": body is not None,
        "keys": list(changed),
        "diff": difference(current, changed),
    }


def main() -> None:
    """Run as a module."""
    module = AnsibleModule(
        argument_spec={
            **connection_arguments(),
            "instance": {"type": "str", "required": True, "aliases": ["name"]},
            "zone": {"type": "str", "required": True},
            "metadata": {"type": "dict", "required": True},
            "timeout": {"type": "int", "default": 120},
        },
        supports_check_mode=True,
    )
    try:
        result = run(module, compute_client(module))
    except CloudError as error:
        module.fail_json(msg=error.sentence)
    module.exit_json(**result)


if __name__ == "__main__":
    main()
