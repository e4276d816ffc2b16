# SPDX-License-Identifier: GPL-3.0-or-later
"""Projects. https://cloud.google.com/compute/docs/reference/rest/v1/projects."""

from __future__ import annotations

from cloudspill_sandbox.compute import quotas
from cloudspill_sandbox.compute.cloud import Cloud
from cloudspill_sandbox.compute.handlers import Methods
from cloudspill_sandbox.compute.instance_metadata import replaced
from cloudspill_sandbox.compute.lookup import found
from cloudspill_sandbox.engine.call import Call, Document


async def _get(cloud: Cloud, call: Call) -> Document:
    project = found(cloud.store, f"projects/{call.path['project']}")
    return project | {"quotas": quotas.of_project(cloud)}


async def _set_common_instance_metadata(cloud: Cloud, call: Call) -> Document:
    name = f"projects/{call.path['project']}"
    with cloud.transaction() as tx:
        project = found(tx, name)
        metadata = replaced("metadata", project["commonInstanceMetadata"], call.body)
        tx.put(name, project | {"commonInstanceMetadata": metadata})
        operation = cloud.operations.open(
            tx, call, "compute.projects.setCommonInstanceMetadata", name
        )
        cloud.operations.close(tx, operation)
    return found(cloud.store, operation)


METHODS: Methods = {
    "get": _get,
    "setCommonInstanceMetadata": _set_common_instance_metadata,
}
