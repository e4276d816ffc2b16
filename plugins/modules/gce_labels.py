#!/usr/bin/python
# SPDX-License-Identifier: GPL-3.0-or-later
# GNU General Public License v3.0+ (see https://www.gnu.org/licenses/gpl-3.0.txt)
"""Labels of instances, disks, images and snapshots."""

from __future__ import annotations

DOCUMENTATION = r"""
module: gce_labels
short_description: Add labels to Compute Engine resources
description:
  - Sets the given labels on existing instances, disks, images or snapshots, under the fingerprint
    of their labels, and leaves other labels alone.
  - The module M(google.cloud.gcp_compute_instance) cannot label the boot disk that it makes, does
    not notice a missing label, and wipes labels that it is not given.
options:
  resources:
    description:
      - The resources, as V(zones/ZONE/instances/NAME), V(zones/ZONE/disks/NAME),
        V(global/images/NAME), V(global/snapshots/NAME), or selfLinks.
    type: list
    elements: str
    required: true
  labels:
    description: The labels that each of them shall carry.
    type: dict
    required: true
  timeout:
    description: Seconds that each operation may take.
    type: int
    default: 120
extends_documentation_fragment:
  - cloudspill.gcp.gcp
attributes:
  check_mode:
    description: Tells what would change and changes nothing.
    support: full
  diff_mode:
    description: Shows the labels before and after.
    support: full
author:
  - The cloudspill authors (!UNKNOWN)
"""

EXAMPLES = r"""
- name: Mark an instance and its boot disk
  cloudspill.gcp.gce_labels:
    resources:
      - zones/us-west1-b/instances/flask-1
      - zones/us-west1-b/disks/flask-1
    labels:
      cloudspill-run: default
      cloudspill-owner: ada
"""

RETURN = r"""
labelled:
  description: The resources whose labels changed, or would change in check mode.
  returned: success
  type: list
  elements: str
  sample: [zones/us-west1-b/disks/flask-1]
"""

from typing import TYPE_CHECKING, Any

from ansible.module_utils.basic import AnsibleModule

from ..module_utils.api_errors import CloudError
from ..module_utils.arguments import compute_client, connection_arguments
from ..module_utils.instance_changes import label_change
from ..module_utils.revision import revise

if TYPE_CHECKING:
    from ..module_utils.compute import Compute


def run(module: AnsibleModule, compute: Compute) -> dict[str, Any]:
    """Label every resource, and return the module's result."""
    labelled: list[str] = []
    before: dict[str, Any] = {}
    after: dict[str, Any] = {}
    for reference in module.params["resources"]:
        resource, body = revise(
            compute,
            reference,
            "setLabels",
            lambda resource: label_change(resource, module.params["labels"]),
            deadline=module.params["timeout"],
            dry_run=module.check_mode,
        )
        before[reference] = resource.get("labels") or {}
        after[reference] = before[reference] if body is None else body["labels"]
        if body is not None:
            labelled.append(reference)
    return {
        "changed": bool(labelled),
        "labelled": labelled,
        "diff": {"before": before, "after": after},
    }


def main() -> None:
    """Run as a module."""
    module = AnsibleModule(
        argument_spec={
            **connection_arguments(),
            "resources": {"type": "list", "elements": "str", "required": True},
            "labels": {"type": "dict", "required": True},
            "timeout": {"type": "int", "default": 120},
        },
        supports_check_mode=True,
    )
    try:
        result = run(module, compute_client(module))
    except (CloudError, ValueError) as error:
        module.fail_json(msg=str(error))
    module.exit_json(**result)


if __name__ == "__main__":
    main()
