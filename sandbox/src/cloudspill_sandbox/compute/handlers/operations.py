# SPDX-License-Identifier: GPL-3.0-or-later
"""Zone, region and global operations.

https://cloud.google.com/compute/docs/reference/rest/v1/zoneOperations.
"""

from __future__ import annotations

from collections.abc import Callable

from cloudspill_sandbox.compute import refusals
from cloudspill_sandbox.compute.cloud import Cloud
from cloudspill_sandbox.compute.handlers import Methods
from cloudspill_sandbox.compute.listing import EVERY_SCOPE, aggregated, page
from cloudspill_sandbox.compute.lookup import found, regional, worldwide, zonal
from cloudspill_sandbox.engine.call import Call, Document, Reply

_Locate = Callable[[Call, str, str | None], str]


def _methods(locate: _Locate) -> Methods:
    """Return the handlers of the operations in one kind of scope."""

    async def get(cloud: Cloud, call: Call) -> Document:
        return found(cloud.store, locate(call, "operations", "operation"))

    async def list_(cloud: Cloud, call: Call) -> Document:
        collection = locate(call, "operations", None)
        return page(call, "operation", collection, cloud.store.children(collection).values())

    async def delete(cloud: Cloud, call: Call) -> Reply:
        name = locate(call, "operations", "operation")
        if found(cloud.store, name)["status"] != "DONE":
            raise refusals.not_ready(name)
        with cloud.transaction() as tx:
            cloud.operations.forget(tx, name)
        return Reply(status=204, body=b"")

    async def wait(cloud: Cloud, call: Call) -> Document:
        return await cloud.operations.wait(locate(call, "operations", "operation"))

    return {"get": get, "list": list_, "delete": delete, "wait": wait}


async def _aggregate(cloud: Cloud, call: Call) -> Document:
    everywhere = {
        scope: cloud.store.children(f"{cloud.project}/{scope}/operations").values()
        for scope in EVERY_SCOPE
    }
    return aggregated(call, "operation", "operations", EVERY_SCOPE, everywhere)


ZONE_METHODS = _methods(zonal)
REGION_METHODS = _methods(regional)
GLOBAL_METHODS: Methods = {**_methods(worldwide), "aggregatedList": _aggregate}
