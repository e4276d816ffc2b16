# SPDX-License-Identifier: GPL-3.0-or-later
"""The routes that networks have of themselves: https://cloud.google.com/vpc/docs/routes."""

from __future__ import annotations

from .conftest import Client


async def test_a_network_has_a_route_to_the_internet_and_one_to_each_subnetwork(
    api: Client,
) -> None:
    await api.done("networks.insert", {"name": "own", "autoCreateSubnetworks": False})
    body = {"name": "sub", "ipCidrRange": "10.9.0.0/24", "network": "global/networks/own"}
    await api.done("subnetworks.insert", body)
    routes = (await api.call("routes.list"))["items"]
    mine = {route["destRange"]: route for route in routes if route["network"].endswith("/own")}
    assert set(mine) == {"0.0.0.0/0", "10.9.0.0/24"}
    world, local = mine["0.0.0.0/0"], mine["10.9.0.0/24"]
    assert (world["priority"], local["priority"]) == (1000, 0)
    assert world["nextHopGateway"].endswith("/global/gateways/default-internet-gateway")
    assert local["nextHopNetwork"] == local["network"]
    assert await api.call("routes.get", route=local["name"]) == local
    assert (await api.refused("routes.get", route="none")).status == 404


async def test_routes_go_with_what_they_lead_to(api: Client) -> None:
    before = (await api.call("routes.list"))["items"]
    await api.done("networks.insert", {"name": "own", "autoCreateSubnetworks": False})
    await api.done("networks.delete", network="own")
    assert (await api.call("routes.list"))["items"] == before


async def test_routes_are_filtered_as_everything_that_is_listed(api: Client) -> None:
    only = 'destRange = "0.0.0.0/0"'
    (route,) = (await api.call("routes.list", filter=only))["items"]
    assert route["network"].endswith("/networks/default")
