#!/usr/bin/python
# SPDX-License-Identifier: GPL-3.0-or-later
# GNU General Public License v3.0+ (see https://www.gnu.org/licenses/gpl-3.0.txt)
"""Many instances at once."""

from __future__ import annotations

DOCUMENTATION = r"""
module: gce_instances
short_description: Make many like Compute Engine instances at once, from an image or a snapshot
description:
  - Makes instances side by side over one kept-alive session, and waits until each is C(RUNNING)
    and answers.
  - One that exists and is as asked for is left as it is. Labels, tags and metadata that it lacks
    are added, and it is started if it is off. One that differs otherwise fails, and says how.
  - Where a zone has no room (C(ZONE_RESOURCE_POOL_EXHAUSTED)) the next machine type and then the
    next zone is tried. A quota or permission that is missing ends the run at once, for all that
    are not yet begun.
  - A failure of one does not keep the others from being made, and what was made is returned in
    any case. Each request carries a C(requestId), so a repeated one never makes two.
  - The module M(google.cloud.gcp_compute_instance) makes one at a time, and knows no source
    snapshot, no Spot and no limited run time.
options:
  names:
    description: The names of the instances.
    type: list
    elements: str
    required: true
  state:
    description: Whether they shall exist and run, or be gone.
    type: str
    choices: [present, absent]
    default: present
  zones:
    description: The zones where one may be, the best first.
    type: list
    elements: str
    required: true
  machine_types:
    description: The machine types that one may have, the best first; needed to make any.
    type: list
    elements: str
    default: []
  source_image:
    description: The image of the boot disks, as a selfLink or a path such as C(global/images/x).
    type: str
  source_snapshot:
    description: The snapshot of the boot disks, as a selfLink, a path or a name.
    type: str
  disk_size_gb:
    description: The size of the boot disks; that of their source if not set.
    type: int
  disk_type:
    description: The type of the boot disks, such as C(pd-ssd).
    type: str
  network:
    description: The name of the network.
    type: str
    default: default
  subnetwork:
    description: The name of the subnetwork in each zone's region; the network's name if empty.
    type: str
    default: ""
  external_address:
    description: Whether each gets an external address.
    type: bool
    default: true
  tags:
    description: Network tags.
    type: list
    elements: str
    default: []
  labels:
    description: Labels of the instances and of their boot disks.
    type: dict
    default: {}
  metadata:
    description: Metadata keys and values.
    type: dict
    default: {}
  attached_service_account:
    description: The service account that they run as; none if not set.
    type: dict
    suboptions:
      email:
        description: Its address, or V(default).
        type: str
        required: true
      scopes:
        description: The OAuth scopes of its tokens.
        type: list
        elements: str
        default: [https://www.googleapis.com/auth/cloud-platform]
  spot:
    description: Whether Google may take them back, for a lower price.
    type: bool
    default: false
  max_run_duration:
    description: Seconds, 30 to 10368000, after which Google ends each; never if not set.
    type: int
  instance_termination_action:
    description:
      - What becomes of an instance that is taken back, or whose time is over.
      - Needed with O(max_run_duration).
    type: str
    choices: [DELETE, STOP]
  run:
    description: The value of the label C(cloudspill-run), with O(owner) the mark of a run.
    type: str
  owner:
    description:
      - The value of the label C(cloudspill-owner).
      - An instance without the mark is neither used nor changed nor deleted.
    type: str
  checks:
    description: What each instance shall answer, in this order, before it counts as ready.
    type: list
    elements: dict
    default: []
    suboptions:
      name:
        description: The name under which the seconds are returned.
        type: str
        required: true
      port:
        description: The TCP port.
        type: int
        required: true
      path:
        description: The page that shall answer 200; else the server shall greet, as ssh does.
        type: str
  timeout:
    description: Seconds that the whole may take.
    type: int
    default: 600
  progress_file:
    description: A file to which lines of progress are added; see the notes.
    type: path
extends_documentation_fragment:
  - cloudspill.gcp.gcp
notes:
  - On the controller itself the lines of progress are shown as they come; nobody has to set
    O(progress_file) for that.
attributes:
  check_mode:
    description: Tells what would be made, changed or deleted.
    support: full
  diff_mode:
    description: Shows which instances there were and will be.
    support: full
author:
  - The cloudspill authors (!UNKNOWN)
"""

EXAMPLES = r"""
- name: Make three clones of a snapshot, wherever there is room
  cloudspill.gcp.gce_instances:
    names: [flask-1-clone-1, flask-1-clone-2, flask-1-clone-3]
    zones: [us-west1-b, us-west1-a]
    machine_types: [f1-micro]
    source_snapshot: base-snapshot-flask-1
    tags: [allow-5000]
    checks:
      - {name: ssh, port: 22}
      - {name: flask, port: 5000, path: /}

- name: Make a Spot instance that lives an hour at most
  cloudspill.gcp.gce_instances:
    names: [burst-1]
    zones: [us-west1-b]
    machine_types: [n1-standard-1, e2-standard-2]
    source_image: projects/debian-cloud/global/images/family/debian-12
    spot: true
    max_run_duration: 3600
    instance_termination_action: DELETE

- name: Delete the clones
  cloudspill.gcp.gce_instances:
    names: [flask-1-clone-1, flask-1-clone-2, flask-1-clone-3]
    zones: [us-west1-b, us-west1-a]
    state: absent
"""

RETURN = r"""
instances:
  description: What became of each, in the order of the names.
  returned: always
  type: list
  elements: dict
  contains:
    name:
      description: Its name.
      type: str
    result:
      description: made, started, changed, unchanged, deleted or absent; failed or skipped.
      type: str
    reason:
      description: Why it failed or was skipped.
      type: str
    made:
      description: Whether this run made it, even if a later step failed.
      type: bool
    zone:
      description: Its zone.
      type: str
    machine_type:
      description: Its machine type.
      type: str
    id:
      description: Its numeric id.
      type: str
    internal_ip:
      description: Its internal address.
      type: str
    external_ip:
      description: Its external address.
      type: str
    began:
      description: When its creation was asked for, in seconds since the epoch.
      type: float
    seconds:
      description:
        - Seconds from then until its operation was done (C(api)), it was running (C(running)), and
          each check was answered (by its name).
      type: dict
    answers:
      description: What each zone without room for it said.
      type: list
      elements: str
    changes:
      description: What was changed on an existing one.
      type: list
      elements: str
made:
  description: The names of those that this run made.
  returned: always
  type: list
  elements: str
failures:
  description: One sentence for each that is not as asked for.
  returned: always
  type: list
  elements: str
"""

import re
from typing import TYPE_CHECKING, Any

from ansible.module_utils.basic import AnsibleModule

from ..module_utils.api_errors import CloudError
from ..module_utils.arguments import compute_client, connection_arguments
from ..module_utils.instance_batch import Batch, find_existing
from ..module_utils.instance_outcome import Outcome
from ..module_utils.instance_spec import InstanceSpec, instance_arguments
from ..module_utils.links import resource_name
from ..module_utils.progress import reporter
from ..module_utils.readiness import Check

if TYPE_CHECKING:
    from ..module_utils.compute import Compute

_NAME = re.compile(r"[a-z]([-a-z0-9]{0,61}[a-z0-9])?")
_USABLE = frozenset({"READY", "UPLOADING"})

Document = dict[str, Any]


def run(module: AnsibleModule, compute: Compute) -> dict[str, Any]:
    """Bring the instances to their state, and return the module's result.

    Raises:
        CloudError: nothing was begun, for the sentence's reason.
    """
    options = module.params
    names = list(dict.fromkeys(options["names"]))
    _check_names(names)
    existing = find_existing(compute, names, options["zones"])
    present = options["state"] == "present"
    making = present and len(existing) < len(names)
    if making and not options["machine_types"]:
        raise CloudError("machine_types is empty: name those that an instance may have")
    source = _source(compute, options, needed=making and not module.check_mode) if present else None
    batch = Batch(
        compute,
        InstanceSpec.of(options, compute.project, source),
        timeout=options["timeout"],
        checks=[Check(c["name"], c["port"], c.get("path")) for c in options["checks"]],
        dry_run=module.check_mode,
        report=reporter(options["progress_file"]),
    )
    outcomes = (batch.make if present else batch.delete)(names, existing)
    return _result(outcomes, existing)


def _check_names(names: list[str]) -> None:
    bad = [name for name in names if not _NAME.fullmatch(name)]
    if bad:
        raise CloudError(
            f"names has {', '.join(bad)}: a name is at most 63 lower-case letters, digits and "
            "hyphens, and begins with a letter"
        )


def _source(compute: Compute, options: Document, *, needed: bool) -> Document | None:
    """Read what the boot disks are made of; None where it is gone and nobody needs it."""
    kind = "snapshot" if options["source_snapshot"] else "image"
    reference = options[f"source_{kind}"]
    if not reference:
        raise CloudError("set source_image or source_snapshot: what the boot disks are made of")
    if "/" not in reference:
        reference = f"global/{kind}s/{reference}"
    source = compute.find(reference)
    if source is None and needed:
        raise CloudError(f"there is no {kind} {resource_name(reference)}: make it first")
    if source is not None and needed and source.get("status", "READY") not in _USABLE:
        advice = "remove it" if source["status"] == "FAILED" else "run again when it is READY"
        raise CloudError(f"the {kind} {source['name']} is {source['status']}: {advice}")
    return source


def _result(outcomes: list[Outcome], existing: dict[str, Document]) -> Document:
    failures = [outcome.reason for outcome in outcomes if outcome.in_vain]
    gone = {outcome.name for outcome in outcomes if outcome.result == "deleted"}
    new = {outcome.name for outcome in outcomes if outcome.made or outcome.result == "made"}
    changed = any(o.result in {"started", "changed"} for o in outcomes) or bool(gone | new)
    after = (existing.keys() - gone) | new
    return {
        "changed": changed,
        "instances": [outcome.described() for outcome in outcomes],
        "made": [outcome.name for outcome in outcomes if outcome.made],
        "failures": failures,
        "diff": {"before": {"instances": sorted(existing)}, "after": {"instances": sorted(after)}},
    }


def main() -> None:
    """Run as a module."""
    module = AnsibleModule(
        argument_spec={**connection_arguments(), **instance_arguments()},
        mutually_exclusive=[("source_image", "source_snapshot")],
        required_together=[("run", "owner")],
        required_by={"max_run_duration": ("instance_termination_action",)},
        supports_check_mode=True,
    )
    try:
        result = run(module, compute_client(module))
    except (CloudError, ValueError) as error:
        module.fail_json(msg=str(error))
    if result["failures"]:
        count, of = len(result["failures"]), len(result["instances"])
        module.fail_json(
            msg=f"{count} of {of} instances failed: "
            + "; ".join(dict.fromkeys(result["failures"])),
            **result,
        )
    module.exit_json(**result)


if __name__ == "__main__":
    main()
