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
  - The cloudspill authors (!UNKNOWN)
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
from ..module_utils.instance_changes import (
    SSH_KEYS,
    items_of,
    lines_of,
    metadata_change,
    metadata_changes,
)
from ..module_utils.revision import revise

if TYPE_CHECKING:
    from ..module_utils.compute import Compute


def difference(before: dict[str, str], after: dict[str, str | None]) -> dict[str, Any]:
    """What changes, for a person: ssh keys by line, other values by digest."""
    shown: dict[str, Any] = {"before": {}, "after": {}}
    for key, value in after.items():
        old = before.get(key)
        if key == SSH_KEYS:
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
    instance, body = revise(
        compute,
        f"zones/{options['zone']}/instances/{options['instance']}",
        "setMetadata",
        lambda instance: metadata_change(instance, wanted),
        deadline=options["timeout"],
        dry_run=module.check_mode,
    )
    current = items_of(instance)
    changed = metadata_changes(current, wanted)
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
