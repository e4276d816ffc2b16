# SPDX-License-Identifier: GPL-3.0-or-later
"""The routes that every network has: to the internet, and to each of its subnetworks.

https://cloud.google.com/vpc/docs/routes#types_of_routes. They follow from the networks and are
documents of nobody's making; the sandbox has no routes of one's own (docs/fidelity.md).
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator

from cloudspill_sandbox.compute import names
from cloudspill_sandbox.compute.cloud import Cloud
from cloudspill_sandbox.compute.handlers import Methods
from cloudspill_sandbox.compute.listing import page
from cloudspill_sandbox.compute.lookup import worldwide
from cloudspill_sandbox.engine.call import Call, Document
from cloudspill_sandbox.engine.errors import not_found

_INTERNET = "0.0.0.0/0"
_INTERNET_PRIORITY = 1000
_SUBNETWORK_PRIORITY = 0


def _routes(cloud: Cloud) -> Iterator[Document]:
    for network in cloud.store.children(f"{cloud.project}/global/networks").values():
        gateway = names.link(f"{cloud.project}/global/gateways/default-internet-gateway")
        yield _route(cloud, network, network["creationTimestamp"], _INTERNET) | {
            "description": "Default route to the Internet.",
            "priority": _INTERNET_PRIORITY,
            "nextHopGateway": gateway,
            "routeType": "STATIC",
        }
        for link in network.get("subnetworks", ()):
            subnetwork = cloud.store.get(names.relative(link))
            if subnetwork is not None:
                yield _to_subnetwork(cloud, network, subnetwork)


def _to_subnetwork(cloud: Cloud, network: Document, subnetwork: Document) -> Document:
    since, reached = subnetwork["creationTimestamp"], subnetwork["ipCidrRange"]
    return _route(cloud, network, since, reached) | {
        "description": f"Default local route to the subnetwork {reached}.",
        "priority": _SUBNETWORK_PRIORITY,
        "nextHopNetwork": network["selfLink"],
        "routeType": "SUBNET",
    }


def _route(cloud: Cloud, network: Document, since: str, reached: str) -> Document:
    """Return what all routes have; name and id follow from the network and the range."""
    digest = hashlib.sha256(f"{network['id']} {reached}".encode()).hexdigest()
    name = f"{cloud.project}/global/routes/default-route-{digest[:16]}"
    return {
        "kind": "compute#route",
        "id": str(int(digest[:14], 16) + 10**18),
        "creationTimestamp": since,
        "name": names.last(name),
        "network": network["selfLink"],
        "destRange": reached,
        "selfLink": names.link(name),
    }


async def _get(cloud: Cloud, call: Call) -> Document:
    for route in _routes(cloud):
        if route["name"] == call.path["route"]:
            return route
    raise not_found(worldwide(call, "routes", "route"))


async def _list(cloud: Cloud, call: Call) -> Document:
    return page(call, "route", worldwide(call, "routes"), _routes(cloud))


METHODS: Methods = {"get": _get, "list": _list}
