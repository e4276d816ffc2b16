#!/usr/bin/python
# SPDX-License-Identifier: GPL-3.0-or-later
# GNU General Public License v3.0+ (see https://www.gnu.org/licenses/gpl-3.0.txt)
"""A bucket that nobody reads but those who are named."""

from __future__ import annotations

DOCUMENTATION = r"""
module: gcs_bucket
short_description: A private bucket, with who may read its objects
description:
  - Makes a bucket with uniform access, public access prevention, no object versions and no soft
    delete, so that what is deleted from it is gone; mends one of this run that differs.
  - Those who may view the project read the objects of a new bucket by Google's default; they are
    taken out. Those in O(readers) are let in. Bindings that others added stay.
  - A bucket without the mark of the run, or of another project, is left alone and refused.
  - The module M(google.cloud.gcp_storage_bucket) resets every setting that it is not given, knows
    neither soft delete nor policies, and cannot delete a bucket that holds something.
options:
  name:
    description: Its name, which no other bucket on earth may have.
    type: str
    required: true
  state:
    description: Whether it shall exist; what it holds goes with it.
    type: str
    choices: [present, absent]
    default: present
  location:
    description: The region, or multi-region, of a new bucket.
    type: str
    default: US
  lifetime_days:
    description: Days after which Google deletes an object by itself; never if not set.
    type: int
  labels:
    description: Labels beside the mark of the run; others are left alone.
    type: dict
    default: {}
  readers:
    description:
      - Who may read the objects, as members of a policy, such as
        V(serviceAccount:reader@acme-lab.iam.gserviceaccount.com).
      - They get C(roles/storage.objectViewer) on this bucket.
    type: list
    elements: str
    default: []
  run:
    description: The value of the label C(cloudspill-run), with O(owner) the mark of a run.
    type: str
    required: true
  owner:
    description: The value of the label C(cloudspill-owner).
    type: str
    required: true
extends_documentation_fragment:
  - cloudspill.gcp.gcp
attributes:
  check_mode:
    description: Tells what would change and changes nothing.
    support: full
  diff_mode:
    description: Shows the settings that change, before and after.
    support: full
author:
  - The cloudspill authors (!UNKNOWN)
"""

EXAMPLES = r"""
- name: Have a bucket that one account reads
  cloudspill.gcp.gcs_bucket:
    name: cloudspill-default-acme-lab
    location: us-west1
    lifetime_days: 7
    readers: [serviceAccount:cloudspill@acme-lab.iam.gserviceaccount.com]
    run: default
    owner: ada
"""

RETURN = r"""
changes:
  description: What changed, or would change.
  returned: success
  type: list
  elements: str
  sample: [made, readers]
"""

from typing import TYPE_CHECKING, Any

from ansible.module_utils.basic import AnsibleModule

from ..module_utils.api_errors import AlreadyExistsError, CloudError, PermissionDeniedError
from ..module_utils.arguments import connection_arguments, storage_client
from ..module_utils.ownership import OWNER_LABEL, RUN_LABEL, Mark

if TYPE_CHECKING:
    from ..module_utils.storage import Storage

READER = "roles/storage.objectViewer"
_VIEWERS_READ = "roles/storage.legacyObjectReader"

Document = dict[str, Any]


def settings(options: Document) -> Document:
    """Return what a bucket of these options shall have, labels not included.

    https://cloud.google.com/storage/docs/json_api/v1/buckets
    """
    rule = {"action": {"type": "Delete"}, "condition": {"age": options["lifetime_days"]}}
    return {
        "iamConfiguration": {
            "uniformBucketLevelAccess": {"enabled": True},
            "publicAccessPrevention": "enforced",
        },
        "versioning": {"enabled": False},
        "softDeletePolicy": {"retentionDurationSeconds": "0"},
        "lifecycle": {"rule": [rule] if options["lifetime_days"] else []},
    }


def labels(options: Document) -> dict[str, str]:
    """Return the labels that a bucket shall have, the mark included."""
    mark = {RUN_LABEL: options["run"], OWNER_LABEL: options["owner"]}
    return {key: str(value) for key, value in options["labels"].items()} | mark


def differences(bucket: Document, wanted: Document) -> Document:
    """Return the settings of an existing bucket that are not as wanted, as what was asked for."""
    return {key: value for key, value in wanted.items() if not _covers(bucket.get(key), value)}


def _covers(is_: object, wanted: object) -> bool:
    """Whether what there is has all that is wanted; Google adds fields such as times."""
    if isinstance(wanted, dict):
        present = is_ if isinstance(is_, dict) else {}
        return all(_covers(present.get(key), value) for key, value in wanted.items())
    # Google leaves out what is empty or off.
    return (is_ or None) == (wanted or None)


def private_bindings(bindings: list[Document], readers: list[str]) -> list[Document]:
    """Return a bucket's bindings with the readers, and without those who view the project."""
    wanted = []
    missing = set(readers)
    for binding in bindings:
        members = list(binding["members"])
        if binding["role"] == _VIEWERS_READ:
            members = [member for member in members if not member.startswith("projectViewer:")]
        elif binding["role"] == READER and "condition" not in binding:
            members += sorted(missing - set(members))
            missing = set()
        if members:
            wanted.append({**binding, "members": members})
    if missing:
        wanted.append({"role": READER, "members": sorted(missing)})
    return wanted


def run(module: AnsibleModule, storage: Storage) -> dict[str, Any]:
    """Bring the bucket to its state, and return the module's result.

    Raises:
        CloudError: the bucket is not ours, cannot be as asked for, or a request was refused.
    """
    bucket = _ours(storage, module.params)
    if module.params["state"] == "absent":
        return _remove(module, storage, bucket)
    return _have(module, storage, bucket)


def _ours(storage: Storage, options: Document) -> Document | None:
    """Read the bucket; None where there is none.

    Raises:
        CloudError: it is somebody else's.
    """
    try:
        bucket = storage.find_bucket(options["name"])
    except PermissionDeniedError as error:
        raise _taken(options["name"]) from error
    if bucket is not None and not Mark(options["run"], options["owner"]).is_on(bucket):
        raise CloudError(
            f"the bucket {options['name']} does not carry the mark of run {options['run']} of "
            f"{options['owner']}: it is left alone; choose another name"
        )
    return bucket


def _taken(name: str) -> CloudError:
    return CloudError(
        f"the bucket name {name} is taken by another project, or these credentials may not read "
        "that bucket: bucket names are shared by all projects, so choose another"
    )


def _remove(module: AnsibleModule, storage: Storage, bucket: Document | None) -> dict[str, Any]:
    if bucket is not None and not module.check_mode:
        storage.delete_bucket(bucket["name"])
    changes = [] if bucket is None else ["deleted"]
    before = {"name": bucket["name"]} if bucket else {}
    return {"changed": bool(changes), "changes": changes, "diff": {"before": before, "after": {}}}


def _have(module: AnsibleModule, storage: Storage, bucket: Document | None) -> dict[str, Any]:
    options = module.params
    changes: list[str] = []
    before: Document = {}
    wanted = settings(options)
    if bucket is None:
        after = {"location": options["location"], "labels": labels(options), **wanted}
        changes.append("made")
        if not module.check_mode:
            bucket = _insert(storage, {"name": options["name"], **after})
    else:
        after = _revise(module, storage, bucket)
        before = {key: bucket.get(key) for key in after}
        changes += after
    readers = options["readers"]
    if bucket is not None and storage.revise_policy(
        bucket["name"],
        lambda bindings: private_bindings(bindings, readers),
        dry_run=module.check_mode,
    ):
        changes.append("readers")
        after = {**after, "readers": readers}
    diff = {"before": before, "after": after}
    return {"changed": bool(changes), "changes": changes, "diff": diff}


def _insert(storage: Storage, body: Document) -> Document:
    try:
        return storage.insert_bucket(body)
    except AlreadyExistsError as error:
        # Ours after all, where the first answer was lost on the way.
        try:
            bucket = storage.find_bucket(body["name"])
        except PermissionDeniedError:
            bucket = None
        if bucket is None or bucket.get("labels") != body["labels"]:
            raise _taken(body["name"]) from error
        return bucket


def _revise(module: AnsibleModule, storage: Storage, bucket: Document) -> Document:
    """Mend what differs, and return what was asked for."""
    options = module.params
    if bucket["location"].lower() != options["location"].lower():
        raise CloudError(
            f"the bucket {options['name']} is in {bucket['location'].lower()} and cannot move to "
            f"{options['location'].lower()}: ask for where it is, or remove it first"
        )
    wanted = {"labels": labels(options), **settings(options)}
    changed = differences(bucket, wanted)
    if changed and not module.check_mode:
        storage.patch_bucket(bucket, changed)
    return changed


def main() -> None:
    """Run as a module."""
    module = AnsibleModule(
        argument_spec={
            **connection_arguments(),
            "name": {"type": "str", "required": True},
            "state": {"type": "str", "choices": ["present", "absent"], "default": "present"},
            "location": {"type": "str", "default": "US"},
            "lifetime_days": {"type": "int"},
            "labels": {"type": "dict", "default": {}},
            "readers": {"type": "list", "elements": "str", "default": []},
            "run": {"type": "str", "required": True},
            "owner": {"type": "str", "required": True},
        },
        supports_check_mode=True,
    )
    try:
        result = run(module, storage_client(module))
    except CloudError as error:
        module.fail_json(msg=error.sentence)
    module.exit_json(**result)


if __name__ == "__main__":
    main()
