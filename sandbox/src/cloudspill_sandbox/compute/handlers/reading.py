# SPDX-License-Identifier: GPL-3.0-or-later
"""get, list and aggregatedList: the same for every resource that is a document in a collection."""

from __future__ import annotations

from collections.abc import Sequence

from cloudspill_sandbox.compute.catalogue.regions import REGIONS, ZONES
from cloudspill_sandbox.compute.cloud import Cloud
from cloudspill_sandbox.compute.handlers import CloudHandler, Methods
from cloudspill_sandbox.compute.listing import aggregated, page
from cloudspill_sandbox.compute.lookup import Locate, found, regional, zonal
from cloudspill_sandbox.engine.call import Call, Document

_SCOPES = {
    zonal: tuple(f"zones/{zone}" for zone in ZONES),
    regional: tuple(f"regions/{region}" for region in REGIONS),
}
"""What aggregatedList goes through; most global resources have none."""


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

    single = {"get": get, "list": list_}
    if locate not in _SCOPES:
        return single
    return single | {"aggregatedList": aggregated_list(kind, collection, _SCOPES[locate])}


def aggregated_list(kind: str, collection: str, scopes: Sequence[str]) -> CloudHandler:
    """Return the method that lists a resource of several scopes.

    Args:
        kind: as of `methods`.
        collection: as of `methods`.
        scopes: where there can be any, `zones/us-west1-b`; `global` where Google Cloud has regional
            ones besides and the sandbox has not.
    """

    async def aggregate(cloud: Cloud, call: Call) -> Document:
        everywhere = {
            scope: cloud.store.children(f"{cloud.project}/{scope}/{collection}").values()
            for scope in scopes
        }
        return aggregated(call, kind, collection, scopes, everywhere)

    return aggregate
