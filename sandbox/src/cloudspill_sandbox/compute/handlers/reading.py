# SPDX-License-Identifier: GPL-3.0-or-later
"""get, list and aggregatedList: the same for every resource that is a document in a collection."""

from __future__ import annotations

from cloudspill_sandbox.compute.catalogue.regions import REGIONS, ZONES
from cloudspill_sandbox.compute.cloud import Cloud
from cloudspill_sandbox.compute.handlers import Methods
from cloudspill_sandbox.compute.listing import aggregated, page
from cloudspill_sandbox.compute.lookup import Locate, found, regional, zonal
from cloudspill_sandbox.engine.call import Call, Document

_SCOPES = {
    zonal: tuple(f"zones/{zone}" for zone in ZONES),
    regional: tuple(f"regions/{region}" for region in REGIONS),
}
"""What aggregatedList goes through; global resources have none."""


def methods(locate: Locate, kind: str, collection: str) -> Methods:
    """Return the reading methods of a resource.

    Args:
        locate: finds the name of a resource or collection: zonal, regional or worldwide.
        kind: what one is called, also the path parameter that names it, `address`.
        collection: what many are called, `addresses`.
    """

    async def get(cloud: Cloud, call: Call) -> Document:
        return found(cloud.store, locate(call, collection, kind))

    async def list_(cloud: Cloud, call: Call) -> Document:
        name = locate(call, collection)
        return page(call, kind, name, cloud.store.children(name).values())

    async def aggregate(cloud: Cloud, call: Call) -> Document:
        scopes = _SCOPES[locate]
        everywhere = {
            scope: cloud.store.children(f"{cloud.project}/{scope}/{collection}").values()
            for scope in scopes
        }
        return aggregated(call, kind, collection, scopes, everywhere)

    single = {"get": get, "list": list_}
    return single | {"aggregatedList": aggregate} if locate in _SCOPES else single
