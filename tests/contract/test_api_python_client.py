# SPDX-License-Identifier: GPL-3.0-or-later
"""google-api-python-client: https://googleapis.github.io/google-api-python-client/docs/dyn/compute_v1.html."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest

from .rest import Rest
from .target import Target

Named = Callable[[str], str]


@pytest.fixture(scope="module")
def compute(_environment: None) -> Iterator[Any]:
    """Compute Engine, described by the document that the package ships."""
    from googleapiclient import discovery  # type: ignore[import-untyped]

    service = discovery.build("compute", "v1", cache_discovery=False)
    yield service
    service.close()


@pytest.fixture(scope="module")
def at(target: Target) -> dict[str, str]:
    """What every zonal call takes."""
    return {"project": target.project, "zone": target.zone}


def ended(compute: Any, at: dict[str, str], operation: dict[str, Any]) -> dict[str, Any]:
    """Return a zonal operation when it is done."""
    while operation["status"] != "DONE":
        operation = compute.zoneOperations().wait(**at, operation=operation["name"]).execute()
    assert "error" not in operation
    return operation


def test_an_instance_is_inserted_got_and_deleted(
    compute: Any, at: dict[str, str], rest: Rest, named: Named
) -> None:
    from googleapiclient.errors import HttpError  # type: ignore[import-untyped]

    name, instances = named("vm"), compute.instances()
    inserted = ended(compute, at, instances.insert(**at, body=rest.instance(name)).execute())
    assert inserted["operationType"] == "insert"
    found = instances.get(**at, instance=name).execute()
    assert (found["status"], found["id"]) == ("RUNNING", inserted["targetId"])
    ended(compute, at, instances.delete(**at, instance=name).execute())
    with pytest.raises(HttpError) as refusal:
        instances.get(**at, instance=name).execute()
    assert refusal.value.status_code == 404


def test_a_project_s_number_is_as_good_as_its_id(compute: Any, at: dict[str, str]) -> None:
    number = compute.projects().get(project=at["project"]).execute()["id"]
    by_number = compute.disks().list(project=number, zone=at["zone"]).execute()
    assert by_number["id"] == compute.disks().list(**at).execute()["id"]


def test_list_next_walks_through_the_pages(compute: Any, at: dict[str, str]) -> None:
    types = compute.machineTypes()
    request = types.list(**at, filter='name = "e2-*"', maxResults=3)
    pages = []
    while request is not None:
        page = request.execute()
        pages.append([item["name"] for item in page["items"]])
        request = types.list_next(request, page)
    assert len(pages) > 2
    assert {len(page) for page in pages[:-1]} == {3}


def test_fields_asks_for_parts_of_the_answer(compute: Any, at: dict[str, str]) -> None:
    # https://cloud.google.com/compute/docs/api/how-tos/performance#partial-response
    answer = compute.zones().list(project=at["project"], fields="items(name,status)").execute()
    assert {tuple(item) for item in answer["items"]} == {("name", "status")}
    assert set(answer) == {"items"}


def test_a_filter_is_the_server_s_and_goes_with_no_order(compute: Any, target: Target) -> None:
    # https://cloud.google.com/compute/docs/reference/rest/v1/zones/list; the refusal in Google's
    # words: https://github.com/doitintl/kubeip/issues/132
    from googleapiclient.errors import HttpError

    wanted = {"project": target.project, "filter": f'name = "{target.region}-*"'}
    names = [item["name"] for item in compute.zones().list(**wanted).execute()["items"]]
    assert target.zone in names
    assert all(name.startswith(f"{target.region}-") for name in names)
    with pytest.raises(HttpError, match="both a list filter and sort order") as refusal:
        compute.zones().list(**wanted, orderBy="name").execute()
    assert refusal.value.status_code == 400


def test_an_order_is_the_server_s(compute: Any, target: Target) -> None:
    # https://cloud.google.com/compute/docs/reference/rest/v1/zones/list
    answer = compute.zones().list(project=target.project, orderBy="name").execute()
    names = [item["name"] for item in answer["items"]]
    assert target.zone in names
    assert names == sorted(names)


def test_a_batch_answers_each_call_by_itself(compute: Any, target: Target) -> None:
    # https://cloud.google.com/compute/docs/api/how-tos/batch
    answers: dict[str, Any] = {}
    batch = compute.new_batch_http_request(
        callback=lambda key, answer, error: answers.update({key: error or answer})
    )
    for zone in (target.zone, "nowhere-1a"):
        batch.add(compute.zones().get(project=target.project, zone=zone), request_id=zone)
    batch.execute()
    assert answers[target.zone]["status"] == "UP"
    assert answers["nowhere-1a"].status_code == 404


def test_an_error_s_details_reach_the_program(
    compute: Any, at: dict[str, str], rest: Rest, named: Named
) -> None:
    from googleapiclient.errors import HttpError

    body = rest.instance(named("vm"), foo=1)
    with pytest.raises(HttpError, match='Unknown name "foo"') as refusal:
        compute.instances().insert(**at, body=body).execute()
    (detail,) = refusal.value.error_details
    assert detail["@type"] == "type.googleapis.com/google.rpc.BadRequest"
    assert "foo" in detail["fieldViolations"][0]["description"]


def test_snapshots_everywhere_are_listed_by_beta(
    at: dict[str, str], rest: Rest, named: Named
) -> None:
    from googleapiclient import discovery

    name = named("disk")
    rest.done("POST", f"zones/{at['zone']}/disks", {"name": name, "sizeGb": "10"})
    rest.done("POST", f"zones/{at['zone']}/disks/{name}/createSnapshot", {"name": name})
    with discovery.build("compute", "beta", cache_discovery=False) as beta:
        wanted = {"project": at["project"], "filter": f"name = {name}"}
        listed = beta.snapshots().aggregatedList(**wanted).execute()
    (snapshot,) = listed["items"]["global"]["snapshots"]
    assert snapshot["name"] == name
