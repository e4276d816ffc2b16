#!/usr/bin/python
# SPDX-License-Identifier: GPL-3.0-or-later
# GNU General Public License v3.0+ (see https://www.gnu.org/licenses/gpl-3.0.txt)
"""Network tags of an instance."""

from __future__ import annotations

DOCUMENTATION = r"""
module: gce_tags
short_description: Set the network tags of a Compute Engine instance
description:
  - Adds, removes or replaces the network tags of an existing instance, under the fingerprint of its
    tags, so that tags which somebody else sets at the same moment are not lost.
  - The module M(google.cloud.gcp_compute_instance) reports a change of tags and does not make it.
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
  tags:
    description: The tags that O(state) is about.
    type: list
    elements: str
    required: true
  state:
    description:
      - V(present) adds what is missing and leaves other tags alone.
      - V(absent) removes them and leaves other tags alone.
      - V(exact) makes them the only tags.
    type: str
    choices: [present, absent, exact]
    default: present
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
    description: Shows the tags before and after.
    support: full
author:
  - The cloudspill authors (!UNKNOWN)
"""

EXAMPLES = r"""
- name: Let the firewall rule allow-5000 apply to the instance
  cloudspill.gcp.gce_tags:
    instance: flask-1
    zone: us-west1-b
    tags: [allow-5000]

- name: Close the port again
  cloudspill.gcp.gce_tags:
    instance: flask-1
    zone: us-west1-b
    tags: [allow-5000]
    state: absent
"""

RETURN = r"""
tags:
  description: The tags of the instance afterwards, sorted.
  returned: success
  type: list
  elements: str
  sample: [allow-5000]
"""

from typing import TYPE_CHECKING, Any

from ansible.module_utils.basic import AnsibleModule

from ..module_utils.api_errors import CloudError
from ..module_utils.arguments import compute_client, connection_arguments
from ..module_utils.instance_changes import tag_change
from ..module_utils.revision import revise

if TYPE_CHECKING:
    from ..module_utils.compute import Compute


def wanted_tags(current: list[str], given: list[str], state: str) -> list[str]:
    """The tags that an instance shall have, sorted."""
    if state == "exact":
        return sorted(set(given))
    if state == "absent":
        return sorted(set(current) - set(given))
    return sorted(set(current) | set(given))


def run(module: AnsibleModule, compute: Compute) -> dict[str, Any]:
    """Bring the tags to what the options ask for, and return the module's result."""
    options = module.params

    def plan(instance: dict[str, Any]) -> dict[str, Any] | None:
        current = (instance.get("tags") or {}).get("items") or []
        return tag_change(instance, wanted_tags(current, options["tags"], options["state"]))

    instance, body = revise(
        compute,
        f"zones/{options['zone']}/instances/{options['instance']}",
        "setTags",
        plan,
        deadline=options["timeout"],
        dry_run=module.check_mode,
    )
    before = sorted((instance.get("tags") or {}).get("items") or [])
    after = before if body is None else body["items"]
    return {
        "changed": body is not None,
        "tags": after,
        "diff": {"before": {"tags": before}, "after": {"tags": after}},
    }


def main() -> None:
    """Run as a module."""
    module = AnsibleModule(
        argument_spec={
            **connection_arguments(),
            "instance": {"type": "str", "required": True, "aliases": ["name"]},
            "zone": {"type": "str", "required": True},
            "tags": {"type": "list", "elements": "str", "required": True},
            "state": {
                "type": "str",
                "choices": ["present", "absent", "exact"],
                "default": "present",
            },
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
