# SPDX-License-Identifier: GPL-3.0-or-later
"""The implemented methods of Cloud Storage v1, by their ids in Google's discovery document."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from types import MappingProxyType

from cloudspill_sandbox.engine.call import Call, Document, Handler, Reply, Service
from cloudspill_sandbox.storage import (
    access_methods,
    bucket_methods,
    bucket_policy_methods,
    managed_folder_methods,
    object_methods,
)
from cloudspill_sandbox.storage.buckets import project_of
from cloudspill_sandbox.storage.cloud import Methods, StorageCloud, StorageHandler

_RESOURCES: Mapping[str, Methods] = {
    "bucketAccessControls": access_methods.BUCKET_METHODS,
    "buckets": {**bucket_methods.METHODS, **bucket_policy_methods.METHODS},
    "defaultObjectAccessControls": access_methods.DEFAULT_OBJECT_METHODS,
    "managedFolders": managed_folder_methods.METHODS,
    "objectAccessControls": access_methods.OBJECT_METHODS,
    "objects": object_methods.METHODS,
    "projects.serviceAccount": bucket_methods.SERVICE_ACCOUNT_METHODS,
}


def storage_service(cloud: StorageCloud) -> Service:
    """Return every implemented method of this cloud, ready to be called."""
    return MappingProxyType(
        {
            f"storage.{resource}.{method}": _bound(cloud, handler)
            for resource, methods in _RESOURCES.items()
            for method, handler in methods.items()
        }
    )


def _bound(cloud: StorageCloud, handler: StorageHandler) -> Handler:
    async def answer(call: Call) -> Document | Reply:
        project = project_of(call, cloud.store, cloud.projects) or cloud.project
        return await handler(replace(cloud, project=project), call)

    return answer
