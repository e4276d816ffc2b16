#!/usr/bin/python
# SPDX-License-Identifier: GPL-3.0-or-later
# GNU General Public License v3.0+ (see https://www.gnu.org/licenses/gpl-3.0.txt)
"""Burst VMs that no living monitor owns."""

from __future__ import annotations

DOCUMENTATION = r"""
module: burst_reap
short_description: Find burst VMs whose lease is over, and delete them when asked
description:
  - A burst VM publishes until when its monitor has leased it, as the guest attribute
    C(cloudspill/lease). One whose lease is over, by the clock of the service, is no monitor's any
    more. It deletes itself; this is for one that could not.
  - One that has published no lease is taken for such when it is older than O(grace).
  - Selects by the mark of the run and the label C(cloudspill-role=burst), never by name. What
    another owner or run has made is not seen.
options:
  run:
    description: The value of C(cloudspill-run).
    type: str
    required: true
  owner:
    description: The value of C(cloudspill-owner).
    type: str
    required: true
  delete:
    description: Whether those are deleted; else they are only told.
    type: bool
    default: false
  margin:
    description: Seconds that a lease must be over, for clocks that differ.
    type: float
    default: 60
  grace:
    description: Seconds after its creation for which a VM need not have published its lease.
    type: float
    default: 720
  timeout:
    description: Seconds that the deletions may take.
    type: int
    default: 300
extends_documentation_fragment:
  - cloudspill.gcp.gcp
attributes:
  check_mode:
    description: Deletes nothing.
    support: full
  diff_mode:
    description: There is nothing to compare.
    support: none
author:
  - The cloudspill authors (!UNKNOWN)
"""

EXAMPLES = r"""
- name: See what no monitor owns any more
  cloudspill.gcp.burst_reap:
    run: default
    owner: ada
"""

RETURN = r"""
now:
  description: The clock of the service, in seconds since the epoch.
  returned: always
  type: float
machines:
  description: The burst VMs of the run.
  returned: always
  type: list
  elements: dict
  contains:
    name:
      description: Its name.
      type: str
    zone:
      description: Its zone.
      type: str
    id:
      description: Its numeric id.
      type: str
    status:
      description: Its status.
      type: str
    controller:
      description: The id of its monitor.
      type: str
    age:
      description: Seconds since its creation.
      type: float
    expires:
      description: When its lease ends, in seconds since the epoch; null where it told none.
      type: float
    lease:
      description: Seconds that are left of its lease; negative where it is over.
      type: float
    expired:
      description: Whether no monitor owns it.
      type: bool
    why:
      description: Why it is taken for that, or for the contrary.
      type: str
    deleted:
      description: Whether it was deleted.
      type: bool
failures:
  description: One sentence for each that could not be deleted.
  returned: always
  type: list
  elements: str
"""

import json
from datetime import datetime
from typing import TYPE_CHECKING, Any

from ansible.module_utils.basic import AnsibleModule

from ..module_utils.api_errors import CloudError, PreconditionError
from ..module_utils.arguments import compute_client, connection_arguments
from ..module_utils.burst_machines import CONTROLLER_LABEL, BurstMachines
from ..module_utils.links import resource_name
from ..module_utils.ownership import Mark

if TYPE_CHECKING:
    from ..module_utils.compute import Compute

Document = dict[str, Any]

_LEASE = "cloudspill/lease"
"""The guest attribute by which a VM says until when it is leased."""


def run(module: AnsibleModule, compute: Compute) -> Document:
    """Find what no monitor owns, delete it when asked, and return the module's result.

    Raises:
        CloudError: the API refused, or told no time.
    """
    options = module.params
    fleet = BurstMachines(compute, Mark(options["run"], options["owner"]))
    documents = list(fleet.all())
    now = compute.server_time
    if now is None:
        raise CloudError("the service did not tell its time: without it no lease can be judged")
    machines = [
        judged(document, published_lease(compute, fleet.reference(document)), now, options)
        for document in documents
    ]
    expired = [d for d, machine in zip(documents, machines, strict=True) if machine["expired"]]
    answers: dict[str, str] = {}
    if options["delete"] and not module.check_mode:
        answers = fleet.delete(expired, options["timeout"])
    for machine in machines:
        machine["deleted"] = answers.get(machine["name"]) == ""
    return {
        "changed": any(machine["deleted"] for machine in machines)
        or bool(module.check_mode and options["delete"] and expired),
        "now": now,
        "machines": machines,
        "failures": [refusal for refusal in answers.values() if refusal],
    }


def published_lease(compute: Compute, instance: str) -> Document | None:
    """What a VM says of its lease; None where it says nothing that can be read.

    https://cloud.google.com/compute/docs/metadata/manage-guest-attributes
    """
    try:
        found = compute.find(f"{instance}/getGuestAttributes", queryPath=_LEASE)
    except PreconditionError:
        return None  # guest attributes are off, by the instance's metadata or by a policy
    items = ((found or {}).get("queryValue") or {}).get("items") or []
    try:
        lease = json.loads(items[0]["value"])
        float(lease["expires"])
    except (ValueError, KeyError, IndexError, TypeError):
        return None
    return dict(lease)


def judged(document: Document, lease: Document | None, now: float, options: Document) -> Document:
    """Say whether a VM's monitor lives.

    Args:
        document: the instance.
        lease: what it published.
        now: seconds since the epoch by the service's clock, as the instance's creation is.
        options: `margin` and `grace`, in seconds.
    """
    age = now - datetime.fromisoformat(document["creationTimestamp"]).timestamp()
    expires = float(lease["expires"]) if lease else None
    left = expires - now if expires is not None else None
    if lease and lease.get("expired"):
        expired, why = True, "it says itself that its lease is over"
    elif left is not None:
        expired = left < -options["margin"]
        why = f"its lease {'ended' if left < 0 else 'lasts'} {abs(left):.0f} s"
        why += " ago" if left < 0 else ""
    else:
        expired = age > options["grace"]
        why = f"it has told no lease in the {age:.0f} s since it was made"
    return {
        "name": document["name"],
        "zone": resource_name(document.get("zone", "")),
        "id": str(document.get("id", "")),
        "status": document.get("status", ""),
        "controller": (document.get("labels") or {}).get(CONTROLLER_LABEL, ""),
        "age": round(age, 1),
        "expires": expires,
        "lease": None if left is None else round(left, 1),
        "expired": expired,
        "why": why,
    }


def main() -> None:
    """Run as a module."""
    module = AnsibleModule(
        argument_spec={
            **connection_arguments(),
            "run": {"type": "str", "required": True},
            "owner": {"type": "str", "required": True},
            "delete": {"type": "bool", "default": False},
            "margin": {"type": "float", "default": 60.0},
            "grace": {"type": "float", "default": 720.0},
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
