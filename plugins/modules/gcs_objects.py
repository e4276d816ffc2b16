#!/usr/bin/python
# SPDX-License-Identifier: GPL-3.0-or-later
# GNU General Public License v3.0+ (see https://www.gnu.org/licenses/gpl-3.0.txt)
"""Small objects of a bucket."""

from __future__ import annotations

DOCUMENTATION = r"""
module: gcs_objects
short_description: Objects of a bucket, written only where they differ
description:
  - Writes files or texts into a bucket, several at once over one session. An object that holds the
    same already, by its MD5, is left as it is.
  - Or deletes objects; with none named, nothing.
  - The module M(google.cloud.gcp_storage_object) uploads again at every run, takes no text, and
    fails where an object to delete is gone.
options:
  bucket:
    description: The name of the bucket.
    type: str
    required: true
  state:
    description: Whether the objects shall exist, with the given contents.
    type: str
    choices: [present, absent]
    default: present
  objects:
    description: The objects.
    type: list
    elements: dict
    required: true
    suboptions:
      name:
        description: The name of the object.
        type: str
        required: true
      src:
        description: The file whose bytes it shall hold.
        type: path
      content:
        description: The text that it shall hold, instead of O(objects[].src).
        type: str
      content_type:
        description: Its media type.
        type: str
        default: text/plain; charset=utf-8
extends_documentation_fragment:
  - cloudspill.gcp.gcp
attributes:
  check_mode:
    description: Tells what would change and changes nothing.
    support: full
  diff_mode:
    description: Shows which objects change, by their MD5, and never what they hold.
    support: full
author:
  - The cloudspill authors (!UNKNOWN)
"""

EXAMPLES = r"""
- name: Put a program and its settings into a bucket
  cloudspill.gcp.gcs_objects:
    bucket: cloudspill-default-acme-lab
    objects:
      - name: launch.py
        src: files/launch.py
      - name: settings.json
        content: "{{ settings | to_json }}"
        content_type: application/json
"""

RETURN = r"""
written:
  description: The names of the objects that were written, or would be.
  returned: success
  type: list
  elements: str
deleted:
  description: The names of the objects that were deleted, or would be.
  returned: success
  type: list
  elements: str
"""

from pathlib import Path
from typing import TYPE_CHECKING, Any

from ansible.module_utils.basic import AnsibleModule

from ..module_utils.api_errors import CloudError
from ..module_utils.arguments import connection_arguments, storage_client

if TYPE_CHECKING:
    from ..module_utils.storage import Storage

Document = dict[str, Any]


def data_of(item: Document) -> bytes:
    """Return what an object shall hold.

    Raises:
        CloudError: its file cannot be read, or it has neither a file nor a text, or both.
    """
    if (item["src"] is None) == (item["content"] is None):
        raise CloudError(f"the object {item['name']} needs either src or content")
    if item["content"] is not None:
        return str(item["content"]).encode()
    try:
        return Path(item["src"]).read_bytes()
    except OSError as error:
        raise CloudError(f"cannot read {item['src']}: {error.strerror or error}") from error


def run(module: AnsibleModule, storage: Storage) -> dict[str, Any]:
    """Bring the objects to their state, and return the module's result.

    Raises:
        CloudError: a file cannot be read, or a request was refused.
    """
    if module.params["state"] == "absent":
        return _delete(module, storage)
    return _write(module, storage)


def _write(module: AnsibleModule, storage: Storage) -> dict[str, Any]:
    from ..module_utils.storage import md5_hash
    from ..module_utils.transport import Content

    bucket = module.params["bucket"]
    wanted = [(item, data_of(item)) for item in module.params["objects"]]
    before: Document = {}
    after: Document = {}
    for item, data in wanted:
        found = storage.find_object(bucket, item["name"])
        if found is not None and found.get("md5Hash") == md5_hash(data):
            continue
        before[item["name"]] = found and found.get("md5Hash")
        after[item["name"]] = md5_hash(data)
        if not module.check_mode:
            storage.upload(bucket, item["name"], Content(data, item["content_type"]), found)
    return _result(before, after)


def _delete(module: AnsibleModule, storage: Storage) -> dict[str, Any]:
    bucket = module.params["bucket"]
    before: Document = {}
    for item in module.params["objects"]:
        found = storage.find_object(bucket, item["name"])
        if found is None:
            continue
        before[item["name"]] = found.get("md5Hash")
        if not module.check_mode:
            storage.delete_object(bucket, item["name"])
    return _result(before, {})


def _result(before: Document, after: Document) -> dict[str, Any]:
    """Describe what changed: MD5 hashes by name, before and after."""
    return {
        "changed": bool(before or after),
        "written": list(after),
        "deleted": [name for name in before if name not in after],
        "diff": {"before": before, "after": after},
    }


def main() -> None:
    """Run as a module."""
    module = AnsibleModule(
        argument_spec={
            **connection_arguments(),
            "bucket": {"type": "str", "required": True},
            "state": {"type": "str", "choices": ["present", "absent"], "default": "present"},
            "objects": {
                "type": "list",
                "elements": "dict",
                "required": True,
                "options": {
                    "name": {"type": "str", "required": True},
                    "src": {"type": "path"},
                    "content": {"type": "str"},
                    "content_type": {"type": "str", "default": "text/plain; charset=utf-8"},
                },
            },
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
