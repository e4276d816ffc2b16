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
    description: Keys and values; a value of V(null) removes the key.
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
    description: Shows a digest of each changed value, since values may be secret.
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


def items_of(instance: dict[str, Any]) -> dict[str, str]:
    """The metadata of an instance document as a mapping."""
    items = (instance.get("metadata") or {}).get("items") or []
    return {item["key"]: item.get("value", "") for item in items}


def changed_keys(current: dict[str, str], wanted: dict[str, Any]) -> list[str]:
    """The keys whose value is not as wanted, sorted; None stands for an absent key."""
    return sorted(
        key
        for key, value in wanted.items()
        if current.get(key) != (None if value is None else str(value))
    )


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
        if not changed_keys(current, wanted):
            return None
        merged = {**current, **wanted}
        return {
            "items": [{"key": k, "value": str(v)} for k, v in merged.items() if v is not None],
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
    keys = changed_keys(current, wanted)
    after = {key: None if wanted[key] is None else str(wanted[key]) for key in keys}
    return {
        "changed": body is not None,
        "keys": keys,
        "diff": {
            "before": {key: digest(current.get(key)) for key in keys},
            "after": {key: digest(value) for key, value in after.items()},
        },
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
