# SPDX-License-Identifier: GPL-3.0-or-later
"""Managed folders: the sandbox has none, and says so to clients that ask before they go on.

`gcloud storage rm --recursive` lists them; making one is a 501.
https://cloud.google.com/storage/docs/json_api/v1/managedFolder/list
"""

from __future__ import annotations

from cloudspill_sandbox.engine.call import Call, Document
from cloudspill_sandbox.storage.buckets import found
from cloudspill_sandbox.storage.cloud import Methods, StorageCloud


async def _list(cloud: StorageCloud, call: Call) -> Document:
    found(cloud.store, call.path["bucket"])
    return {"kind": "storage#managedFolders", "items": []}


METHODS: Methods = {"list": _list}
