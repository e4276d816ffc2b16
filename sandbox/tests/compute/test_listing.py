# SPDX-License-Identifier: GPL-3.0-or-later
"""Lists: pages, order, filters, and what is said of scopes without results."""

from __future__ import annotations

from typing import Any

import pytest

from cloudspill_sandbox.engine.discovery import Api
from cloudspill_sandbox.engine.errors import ApiError

from .conftest import Client, HostClock


@pytest.fixture
async def disks(api: Client, clock: HostClock) -> list[str]:
    """Seven disks in two zones, made in this order, a second apart."""
    names = ["d", "b", "f", "a", "c", "g", "e"]
    for number, name in enumerate(names):
        clock.now += 1
        zone = "us-west1-a" if number % 3 == 0 else "us-west1-b"
        await api.done("disks.insert", {"name": name, "sizeGb": 10 + number}, zone=zone)
    return names


def names_of(answer: dict[str, Any]) -> list[str]:
    return [item["name"] for item in answer["items"]]


async def test_an_empty_list_has_items(api: Client) -> None:
    assert (await api.call("instances.list"))["items"] == []


async def test_lists_are_in_order_of_names(api: Client, disks: list[str]) -> None:
    assert names_of(await api.call("disks.list")) == sorted(
        name for at, name in enumerate(disks) if at % 3
    )


async def test_newest_first(api: Client, disks: list[str]) -> None:
    listed = await api.call("disks.list", orderBy="creationTimestamp desc")
    assert names_of(listed) == [name for at, name in enumerate(disks) if at % 3][::-1]


@pytest.mark.parametrize("order", ["name", "creationTimestamp desc"])
async def test_pages_together_are_the_list(api: Client, disks: list[str], order: str) -> None:
    whole = names_of(await api.call("disks.list", orderBy=order))
    found: list[str] = []
    query: dict[str, Any] = {"maxResults": 2, "orderBy": order}
    for _ in range(3):
        answer = await api.call("disks.list", **query)
        assert len(answer["items"]) <= 2
        found += names_of(answer)
        if "nextPageToken" not in answer:
            break
        query["pageToken"] = answer["nextPageToken"]
    assert found == whole
    assert "nextPageToken" not in answer


async def test_a_page_goes_on_after_what_was_deleted_meanwhile(
    api: Client, disks: list[str]
) -> None:
    first = await api.call("disks.list", maxResults=2)
    await api.done("disks.delete", disk=names_of(first)[1])
    rest = await api.call("disks.list", maxResults=2, pageToken=first["nextPageToken"])
    assert not set(names_of(first)) & set(names_of(rest))
    assert len(rest["items"]) == 2


async def test_a_page_token_is_good_for_its_own_list(api: Client, disks: list[str]) -> None:
    """https://google.aip.dev/158: the other arguments have to be the same."""
    token = (await api.call("disks.list", maxResults=2))["nextPageToken"]
    assert (await api.call("disks.list", pageToken=token))["items"]
    for method, query in (
        ("instances.list", {}),
        ("disks.list", {"zone": "us-west1-a"}),
        ("disks.aggregatedList", {}),
        ("disks.list", {"orderBy": "creationTimestamp desc"}),
    ):
        refusal = await api.refused(method, pageToken=token, **query)
        assert (refusal.status, refusal.reason) == (400, "invalid")
        assert refusal.message == (
            f"Invalid value for field 'pageToken': '{token}'. The page token is not valid."
        )


async def test_filters_are_applied_before_pages(api: Client, disks: list[str]) -> None:
    answer = await api.call("disks.list", filter="sizeGb > 12", maxResults=500)
    assert names_of(answer) == sorted(
        name for at, name in enumerate(disks) if at % 3 and 10 + at > 12
    )


@pytest.mark.parametrize("method", ["disks.list", "disks.aggregatedList"])
async def test_a_filter_has_to_name_a_field_of_the_resource(api: Client, method: str) -> None:
    """https://github.com/googleapis/google-api-go-client/issues/1019"""
    for field in ("users", "nosuch", "guestOsFeatures.type"):
        refusal = await api.refused(method, filter=f"{field} = x")
        assert (refusal.status, refusal.reason) == (400, "invalid")
        assert refusal.message.startswith(
            f"Invalid value for field 'filter': '{field} = x'. Invalid list filter expression."
        )


async def test_every_list_s_filter_knows_the_name_of_its_resources(
    api: Client, compute: Api
) -> None:
    asked = []
    for method in api.service:
        if "filter" in compute.methods[method].query_parameters:
            answer = await api.call(method.removeprefix("compute."), filter="name = nothing")
            assert "nextPageToken" not in answer
            with pytest.raises(ApiError, match="'nosuch' is no"):
                await api.call(method.removeprefix("compute."), filter="nosuch = x")
            asked.append(method)
    assert len(asked) > 20


@pytest.mark.parametrize("method", ["disks.list", "disks.aggregatedList"])
async def test_a_filter_and_an_order_are_not_for_the_same_list(api: Client, method: str) -> None:
    """The sentence: https://github.com/doitintl/kubeip/issues/132"""
    for order in ("name", "creationTimestamp desc", "creationTimestamp"):
        refusal = await api.refused(method, filter="name = d", orderBy=order)
        assert (refusal.status, refusal.reason) == (400, "invalid")
        assert refusal.message == (
            f"Invalid value for field 'orderBy': '{order}'. "
            "Specifying both a list filter and sort order is not currently supported."
        )


async def test_aggregated_lists_name_every_scope(api: Client, disks: list[str]) -> None:
    answer = await api.call("disks.aggregatedList")
    items = answer["items"]
    assert len(items) == 130
    assert [d["name"] for d in items["zones/us-west1-a"]["disks"]] == sorted(disks[::3])
    assert items["zones/us-east1-b"] == {
        "warning": {
            "code": "NO_RESULTS_ON_PAGE",
            "message": "There are no results for scope 'zones/us-east1-b' on this page.",
            "data": [{"key": "scope", "value": "zones/us-east1-b"}],
        }
    }


async def test_an_aggregated_list_names_scopes_of_every_kind_if_asked(
    api: Client, disks: list[str]
) -> None:
    """https://cloud.google.com/compute/docs/reference/rest/v1/disks/aggregatedList"""
    wanted = [d["name"] for d in (await api.call("disks.list", zone="us-west1-a"))["items"]]
    answer = await api.call("disks.aggregatedList", includeAllScopes=True)
    items = answer["items"]
    assert [d["name"] for d in items["zones/us-west1-a"]["disks"]] == wanted
    for scope in ("global", "regions/us-west1", "zones/us-east1-b"):
        assert items[scope]["warning"]["code"] == "NO_RESULTS_ON_PAGE"
    assert set(items) > set((await api.call("disks.aggregatedList"))["items"])
    addresses = (await api.call("addresses.aggregatedList", includeAllScopes=True))["items"]
    assert set(addresses) == set(items)


async def test_snapshots_are_listed_in_an_aggregated_list(api: Client) -> None:
    """https://cloud.google.com/compute/docs/reference/rest/beta/snapshots/aggregatedList"""
    empty = await api.call("snapshots.aggregatedList")
    assert empty["items"]["global"]["warning"]["code"] == "NO_RESULTS_ON_PAGE"
    await api.done("disks.insert", {"name": "d", "sizeGb": "10"})
    for name in ("first", "second"):
        await api.done("disks.createSnapshot", {"name": name}, disk="d")
    answer = await api.call("snapshots.aggregatedList", includeAllScopes=True)
    snapshots = answer["items"]["global"]["snapshots"]
    assert snapshots == (await api.call("snapshots.list"))["items"]
    assert [each["name"] for each in snapshots] == ["first", "second"]
    assert "regions/us-west1" in answer["items"]
    named = await api.call("snapshots.aggregatedList", filter='name = "second"')
    assert named["items"] == {"global": {"snapshots": snapshots[1:]}}


async def test_aggregated_lists_have_pages(api: Client, disks: list[str]) -> None:
    found: list[str] = []
    query: dict[str, Any] = {"maxResults": 3, "returnPartialSuccess": True}
    while True:
        answer = await api.call("disks.aggregatedList", **query)
        page = [d["name"] for scope in answer["items"].values() for d in scope.get("disks", ())]
        assert len(page) <= 3
        found += page
        if "nextPageToken" not in answer:
            break
        query["pageToken"] = answer["nextPageToken"]
    assert sorted(found) == sorted(disks)
    assert len(found) == len(disks)


@pytest.mark.parametrize(
    ("parameter", "value"),
    [
        ("orderBy", "sizeGb"),
        ("pageToken", "nonsense"),
        ("pageToken", "e30="),
        ("filter", "name ="),
    ],
)
async def test_bad_parameters_are_refused(api: Client, parameter: str, value: str) -> None:
    refusal = await api.refused("disks.list", **{parameter: value})
    assert (refusal.status, refusal.reason) == (400, "invalid")
    assert refusal.message.startswith(f"Invalid value for field '{parameter}': '{value}'")
