#!/usr/bin/python
# SPDX-License-Identifier: GPL-3.0-or-later
# GNU General Public License v3.0+ (see https://www.gnu.org/licenses/gpl-3.0.txt)
"""The snapshot of an instance's disk."""

from __future__ import annotations

DOCUMENTATION = r"""
module: gce_snapshot
short_description: Take a snapshot of an instance's boot disk, and wait for the moment it is taken
description:
  - Takes a snapshot of the boot disk of an instance, which may run.
  - What the snapshot holds is decided when its status leaves C(CREATING); that it is then uploaded
    until it is C(READY) concerns nobody who was stopped for it. O(wait_for) says which to wait for.
  - A snapshot of that name and that disk is left as it is. One of another disk, or without the
    mark of the run, is refused. One of ours that is C(FAILED) is deleted and taken anew.
  - The module M(google.cloud.gcp_compute_snapshot) waits for C(READY), and sends a field that is
    not in Google's API.
options:
  name:
    description: The name of the snapshot.
    type: str
    required: true
  state:
    description: Whether the snapshot shall exist.
    type: str
    choices: [present, absent]
    default: present
  instance:
    description: The name of the instance; needed to take a snapshot.
    type: str
  zone:
    description: The zone of the instance; needed to take a snapshot.
    type: str
  labels:
    description: Labels of the snapshot.
    type: dict
    default: {}
  storage_locations:
    description: The region or multi-region that keeps it; Google's choice if empty.
    type: list
    elements: str
    default: []
  wait_for:
    description: What to wait for, that its content is fixed or that it can be used.
    type: str
    choices: [captured, ready]
    default: ready
  run:
    description: The value of the label C(cloudspill-run), with O(owner) the mark of a run.
    type: str
  owner:
    description: The value of the label C(cloudspill-owner).
    type: str
  timeout:
    description: Seconds that the whole may take.
    type: int
    default: 600
extends_documentation_fragment:
  - cloudspill.gcp.gcp
attributes:
  check_mode:
    description: Tells what would be made or deleted.
    support: full
  diff_mode:
    description: Shows whether there was a snapshot and will be.
    support: full
author:
  - The cloudspill authors (!UNKNOWN)
"""

EXAMPLES = r"""
- name: Take a snapshot, and go on as soon as its content is fixed
  cloudspill.gcp.gce_snapshot:
    name: base-snapshot-flask-1
    instance: flask-1
    zone: us-west1-b
    wait_for: captured

- name: Wait until it can be used
  cloudspill.gcp.gce_snapshot:
    name: base-snapshot-flask-1
    instance: flask-1
    zone: us-west1-b
"""

RETURN = r"""
snapshot:
  description: The snapshot as Google's API has it; empty in check mode and where it is gone.
  returned: success
  type: dict
  sample: {name: base-snapshot-flask-1, status: READY, diskSizeGb: "10"}
elapsed:
  description: Seconds that it took.
  returned: success
  type: float
  sample: 2.1
"""

import time
from typing import TYPE_CHECKING, Any

from ansible.module_utils.basic import AnsibleModule

from ..module_utils.api_errors import CloudError, DeadlineError
from ..module_utils.arguments import compute_client, connection_arguments
from ..module_utils.links import inside_project, resource_name
from ..module_utils.ownership import OWNER_LABEL, RUN_LABEL, Mark

if TYPE_CHECKING:
    from ..module_utils.compute import Compute, PendingChange

Document = dict[str, Any]

_INTERVAL = 0.25
_UNDER_WAY = frozenset({"CREATING", "UPLOADING"})
_AWAITED = {"captured": {"UPLOADING", "READY"}, "ready": {"READY"}}


def run(module: AnsibleModule, compute: Compute) -> dict[str, Any]:
    """Bring the snapshot to its state, and return the module's result.

    Raises:
        CloudError: it cannot be, for the sentence's reason.
    """
    options = module.params
    mark = Mark(options["run"], options["owner"]) if options["run"] else None
    reference = f"global/snapshots/{options['name']}"
    began = time.monotonic()
    existing = compute.find(reference)
    if existing is not None and mark is not None and not mark.is_on(existing):
        raise CloudError(
            f"the snapshot {options['name']} does not carry the mark of run {mark.run} of "
            f"{mark.owner}: it is left alone; choose another name"
        )
    snapshot: Document = {}
    until = began + options["timeout"]
    present = options["state"] == "present"
    disk = _boot_disk(compute, options) if present else {}
    if present and existing is not None:
        _check_source(existing, disk)
    # One that failed holds nothing, and is in the way of another try.
    surplus = existing is not None and (not present or existing["status"] == "FAILED")
    needed = present and (existing is None or surplus)
    if surplus and not module.check_mode:
        _delete(compute, reference, until)
    if present and not (needed and module.check_mode):
        change = _begin(compute, options, disk, mark) if needed else None
        wanted = _AWAITED[options["wait_for"]]
        snapshot = _await(compute, reference, wanted, change, until)
    return {
        "changed": surplus or needed,
        "snapshot": snapshot,
        "elapsed": round(time.monotonic() - began, 2),
        "diff": {"before": {"exists": existing is not None}, "after": {"exists": present}},
    }


def _boot_disk(compute: Compute, options: Document) -> Document:
    instance = compute.get(f"zones/{options['zone']}/instances/{options['instance']}")
    boot = next(disk for disk in instance["disks"] if disk.get("boot"))
    return compute.get(boot["source"])


def _check_source(snapshot: Document, disk: Document) -> None:
    if snapshot.get("sourceDiskId") != disk["id"]:
        source = resource_name(snapshot.get("sourceDisk", "")) or "nothing"
        raise CloudError(
            f"the snapshot {snapshot['name']} was taken of another disk ({source}, id "
            f"{snapshot.get('sourceDiskId')}): remove it first, or choose another name"
        )


def _delete(compute: Compute, reference: str, until: float) -> None:
    """Delete a snapshot, which Google does only when it is no longer being made."""
    while (snapshot := compute.find(reference)) and snapshot["status"] in _UNDER_WAY:
        if time.monotonic() >= until:
            raise DeadlineError(
                f"{reference} is still {snapshot['status']}: run again to delete it"
            )
        time.sleep(_INTERVAL)
    if snapshot is not None:
        compute.change("DELETE", reference, deadline=until - time.monotonic())


def _begin(compute: Compute, options: Document, disk: Document, mark: Mark | None) -> PendingChange:
    labels = {key: str(value) for key, value in options["labels"].items()}
    if mark is not None:
        labels |= {RUN_LABEL: mark.run, OWNER_LABEL: mark.owner}
    body: Document = {"name": options["name"], "labels": labels}
    if options["storage_locations"]:
        body["storageLocations"] = options["storage_locations"]
    path = f"{inside_project(disk['selfLink'], compute.project)}/createSnapshot"
    return compute.begin("POST", path, body=body)


def _await(
    compute: Compute,
    reference: str,
    wanted: set[str],
    change: PendingChange | None,
    until: float,
) -> Document:
    """Wait until a snapshot has one of these statuses.

    https://cloud.google.com/compute/docs/reference/rest/v1/snapshots (status)

    Args:
        change: what this run asked for; None where the snapshot was there before.
        until: moment of the monotonic clock.

    Raises:
        OperationError: what was asked for failed.
        DeadlineError: it took too long.
        CloudError: somebody else deleted it, or it failed in an earlier run.
    """
    while True:
        snapshot = compute.find(reference)
        status = "gone" if snapshot is None else str(snapshot["status"])
        if snapshot is not None and status in wanted:
            return snapshot
        if status not in _UNDER_WAY:
            # Asked for a moment ago, it need not be there yet; if it failed, this says why.
            over = change is None or change.is_done()
            if over and compute.find(reference) == snapshot:
                raise CloudError(f"{reference} is {status}: run again")
        if time.monotonic() >= until:
            raise DeadlineError(f"{reference} is still {status}: run again to wait on")
        time.sleep(_INTERVAL)


def main() -> None:
    """Run as a module."""
    module = AnsibleModule(
        argument_spec={
            **connection_arguments(),
            "name": {"type": "str", "required": True},
            "state": {"type": "str", "choices": ["present", "absent"], "default": "present"},
            "instance": {"type": "str"},
            "zone": {"type": "str"},
            "labels": {"type": "dict", "default": {}},
            "storage_locations": {"type": "list", "elements": "str", "default": []},
            "wait_for": {"type": "str", "choices": ["captured", "ready"], "default": "ready"},
            "run": {"type": "str"},
            "owner": {"type": "str"},
            "timeout": {"type": "int", "default": 600},
        },
        required_if=[("state", "present", ("instance", "zone"))],
        required_together=[("run", "owner")],
        supports_check_mode=True,
    )
    try:
        result = run(module, compute_client(module))
    except CloudError as error:
        module.fail_json(msg=error.sentence)
    module.exit_json(**result)


if __name__ == "__main__":
    main()
