#!/usr/bin/python
# SPDX-License-Identifier: GPL-3.0-or-later
# GNU General Public License v3.0+ (see https://www.gnu.org/licenses/gpl-3.0.txt)
"""Removal of everything that carries a run's mark."""

from __future__ import annotations

DOCUMENTATION = r"""
module: gce_teardown
short_description: Delete everything that carries the mark of a run
description:
  - Deletes the instances, disks, snapshots, images, addresses and firewall rules of a run, in that
    order, in all zones, each kind at once, and then its buckets with all versions of all that they
    hold.
  - Selects by the mark alone, never by name. The mark is the labels C(cloudspill-run) and
    C(cloudspill-owner); a firewall rule, which cannot have labels, carries
    C(cloudspill-run=RUN cloudspill-owner=OWNER) in its description.
  - A snapshot or image that an interrupted run left unfinished is waited for, because until then
    neither it nor its source can be deleted.
  - One deletion that fails does not keep the others from being made.
  - Buckets that the credentials may not even list are passed over with a warning.
options:
  run:
    description: The value of C(cloudspill-run).
    type: str
    required: true
  owner:
    description: The value of C(cloudspill-owner).
    type: str
    required: true
  timeout:
    description: Seconds that the deletions of one kind may take.
    type: int
    default: 300
extends_documentation_fragment:
  - cloudspill.gcp.gcp
attributes:
  check_mode:
    description: Lists what would be deleted.
    support: full
  diff_mode:
    description: Shows what there was.
    support: full
author:
  - The cloudspill authors (!UNKNOWN)
"""

EXAMPLES = r"""
- name: Remove a run
  cloudspill.gcp.gce_teardown:
    run: default
    owner: ada
"""

RETURN = r"""
removed:
  description: What was deleted, or would be in check mode, in order.
  returned: always
  type: list
  elements: str
  sample: [zones/us-west1-b/instances/flask-1, global/firewalls/allow-5000, gs://acme-files]
failures:
  description: One sentence for each deletion that failed.
  returned: always
  type: list
  elements: str
  sample: []
"""

import time
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

from ansible.module_utils.basic import AnsibleModule

from ..module_utils.api_errors import (
    CloudError,
    NotFoundError,
    PermissionDeniedError,
    ServiceDisabledError,
)
from ..module_utils.arguments import compute_client, connection_arguments, storage_client
from ..module_utils.links import inside_project
from ..module_utils.ownership import Mark

if TYPE_CHECKING:
    from ..module_utils.compute import Compute
    from ..module_utils.storage import Storage

Document = dict[str, Any]

KINDS = ("instances", "disks", "snapshots", "images", "addresses", "firewalls")
"""In the order of deletion: what uses another thing goes first."""

_COPIES = ("snapshots", "images")
_UNDER_WAY = frozenset({"CREATING", "UPLOADING", "PENDING"})
_INTERVAL = 1.0


def marked(compute: Compute, kind: str, mark: Mark) -> Iterable[Document]:
    """Documents of the resources of a kind that carry the mark."""
    if kind == "firewalls":
        return filter(mark.is_described, compute.list_items("global/firewalls"))
    if kind in ("instances", "disks", "addresses"):
        return compute.list_aggregated(kind, filter=mark.label_filter())
    return compute.list_items(f"global/{kind}", filter=mark.label_filter())


def await_copies(compute: Compute, mark: Mark, timeout: float) -> None:
    """Wait until no snapshot or image of the run is being made; its deletion tells if one is."""
    until = time.monotonic() + timeout
    while any(
        document.get("status") in _UNDER_WAY
        for kind in _COPIES
        for document in marked(compute, kind, mark)
    ):
        if time.monotonic() >= until:
            return
        time.sleep(_INTERVAL)


def delete_all(
    compute: Compute, references: list[str], timeout: float
) -> tuple[list[str], list[str]]:
    """Delete resources side by side.

    Returns:
        the references that are gone, and one sentence for each that is not.
    """
    removed, failures, pending = [], [], []
    for reference in references:
        try:
            pending.append((reference, compute.begin("DELETE", reference)))
        except NotFoundError:
            continue  # somebody else was faster
        except CloudError as error:
            failures.append(error.sentence)
    until = time.monotonic() + timeout
    for reference, change in pending:
        try:
            change.finish(until - time.monotonic())
        except CloudError as error:
            failures.append(error.sentence)
        else:
            removed.append(reference)
    return removed, failures


def delete_buckets(
    storage: Storage, mark: Mark, *, dry_run: bool
) -> tuple[list[str], list[str], list[str]]:
    """Delete the buckets that carry the mark, with all that they hold.

    Returns:
        `gs://` names of those that are gone, one sentence for each that is not, and warnings.
    """
    removed: list[str] = []
    failures: list[str] = []
    try:
        names = sorted(bucket["name"] for bucket in storage.buckets() if mark.is_on(bucket))
    except (PermissionDeniedError, ServiceDisabledError) as error:
        # Whoever may not list buckets has made none; Compute Engine alone is a usual set of rights.
        return [], [], [f"buckets are passed over: {error.sentence}"]
    for name in names:
        try:
            gone = dry_run or storage.delete_bucket(name)
        except CloudError as error:
            failures.append(error.sentence)
        else:
            removed += [f"gs://{name}"] if gone else []
    return removed, failures, []


def run(module: AnsibleModule, compute: Compute, storage: Storage) -> dict[str, Any]:
    """Delete what carries the mark, and return the module's result."""
    mark = Mark(module.params["run"], module.params["owner"])
    removed: list[str] = []
    failures: list[str] = []
    if not module.check_mode:
        await_copies(compute, mark, module.params["timeout"])
    for kind in KINDS:
        links = [document["selfLink"] for document in marked(compute, kind, mark)]
        references = sorted(inside_project(link, compute.project) for link in links)
        if module.check_mode:
            removed += references
            continue
        gone, refused = delete_all(compute, references, module.params["timeout"])
        removed += gone
        failures += refused
    gone, refused, warnings = delete_buckets(storage, mark, dry_run=module.check_mode)
    removed += gone
    failures += refused
    return {
        "changed": bool(removed),
        "removed": removed,
        "failures": failures,
        "warnings": warnings,
        "diff": {"before": {"resources": removed}, "after": {"resources": []}},
    }


def main() -> None:
    """Run as a module."""
    module = AnsibleModule(
        argument_spec={
            **connection_arguments(),
            "run": {"type": "str", "required": True},
            "owner": {"type": "str", "required": True},
            "timeout": {"type": "int", "default": 300},
        },
        supports_check_mode=True,
    )
    try:
        result = run(module, compute_client(module), storage_client(module))
    except CloudError as error:
        module.fail_json(msg=error.sentence)
    for warning in result.pop("warnings"):
        module.warn(warning)
    if result["failures"]:
        count = len(result["failures"])
        module.fail_json(
            msg=f"{count} of the run's resources could not be deleted: "
            + "; ".join(result["failures"]),
            **result,
        )
    module.exit_json(**result)


if __name__ == "__main__":
    main()
