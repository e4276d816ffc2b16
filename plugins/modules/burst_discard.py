#!/usr/bin/python
# SPDX-License-Identifier: GPL-3.0-or-later
# GNU General Public License v3.0+ (see https://www.gnu.org/licenses/gpl-3.0.txt)
"""Burst VMs that are no longer wanted, or were never of use."""

from __future__ import annotations

DOCUMENTATION = r"""
module: burst_discard
short_description: Delete burst VMs, and tell what they said last
description:
  - Finds burst VMs by the mark of their run and by their monitor, wherever they are, and deletes
    those that are given up. An instance of such a name without the labels is not found, and so is
    never touched.
  - Of one in O(reasons) the last lines of its serial output are read before, and told.
options:
  names:
    description: The names of the VMs.
    type: list
    elements: str
    required: true
  reasons:
    description:
      - By name, why a VM is of no use; what it wrote on its serial console is added to that.
    type: dict
    default: {}
  keep:
    description: The names of those that are not deleted.
    type: list
    elements: str
    default: []
  controller:
    description: The id of their monitor, the label C(cloudspill-controller).
    type: str
    required: true
  run:
    description: The value of C(cloudspill-run).
    type: str
    required: true
  owner:
    description: The value of C(cloudspill-owner).
    type: str
    required: true
  lines:
    description: How many lines of serial output are told.
    type: int
    default: 15
  timeout:
    description: Seconds that a deletion may take.
    type: int
    default: 300
extends_documentation_fragment:
  - cloudspill.gcp.gcp
attributes:
  check_mode:
    description: Tells what would be deleted.
    support: full
  diff_mode:
    description: Shows the VMs.
    support: full
author:
  - The cloudspill authors (!UNKNOWN)
"""

EXAMPLES = r"""
- name: Delete a burst VM
  cloudspill.gcp.burst_discard:
    names: [burst-3f2a9c-1]
    controller: 3f2a9c
    run: default
    owner: ada
"""

RETURN = r"""
deleted:
  description: The names of those that were deleted, or would be in check mode.
  returned: always
  type: list
  elements: str
failures:
  description: One sentence for each that could not be deleted.
  returned: always
  type: list
  elements: str
sentences:
  description: Of each VM with a reason, the reason and what it wrote on its serial console.
  returned: always
  type: list
  elements: str
"""

from typing import TYPE_CHECKING, Any

from ansible.module_utils.basic import AnsibleModule

from ..module_utils.api_errors import CloudError
from ..module_utils.arguments import compute_client, connection_arguments
from ..module_utils.burst_machines import BurstMachines
from ..module_utils.ownership import Mark

if TYPE_CHECKING:
    from ..module_utils.compute import Compute

Document = dict[str, Any]


def run(module: AnsibleModule, compute: Compute) -> Document:
    """Delete what is given up, and return the module's result."""
    options = module.params
    machines = BurstMachines(compute, Mark(options["run"], options["owner"]), options["controller"])
    documents = {document["name"]: document for document in machines.all()}
    reasons: dict[str, str] = options["reasons"]
    known = [name for name in options["names"] if name in documents]
    # Before they are deleted: afterwards nobody can ask.
    lines = {
        name: machines.last_lines(documents[name], options["lines"])
        for name in known
        if name in reasons
    }
    given_up = [documents[name] for name in known if name not in options["keep"]]
    if module.check_mode:
        answers = {document["name"]: "" for document in given_up}
    else:
        answers = machines.delete(given_up, options["timeout"])
    deleted = [name for name, refusal in answers.items() if not refusal]
    return {
        "changed": bool(deleted),
        "deleted": deleted,
        "failures": [refusal for refusal in answers.values() if refusal],
        "sentences": [
            _sentence(reason, answers.get(name), lines.get(name, []))
            for name, reason in reasons.items()
        ],
        "diff": {
            "before": {"machines": known},
            "after": {"machines": [name for name in known if name not in deleted]},
        },
    }


def _sentence(reason: str, refusal: str | None, lines: list[str]) -> str:
    said = reason
    if refusal is not None:
        said += f"; it could not be deleted: {refusal}" if refusal else "; it is deleted"
    return "\n  ".join([f"{said}; its last serial lines:", *lines]) if lines else said


def main() -> None:
    """Run as a module."""
    module = AnsibleModule(
        argument_spec={
            **connection_arguments(),
            "names": {"type": "list", "elements": "str", "required": True},
            "reasons": {"type": "dict", "default": {}},
            "keep": {"type": "list", "elements": "str", "default": []},
            "controller": {"type": "str", "required": True},
            "run": {"type": "str", "required": True},
            "owner": {"type": "str", "required": True},
            "lines": {"type": "int", "default": 15},
            "timeout": {"type": "int", "default": 300},
        },
        supports_check_mode=True,
    )
    try:
        result = run(module, compute_client(module))
    except CloudError as error:
        module.fail_json(msg=error.sentence)
    if result["failures"]:
        module.fail_json(msg="; ".join(result["failures"]), **result)
    module.exit_json(**result)


if __name__ == "__main__":
    main()
