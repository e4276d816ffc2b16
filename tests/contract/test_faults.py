# SPDX-License-Identifier: GPL-3.0-or-later
"""Faults, as unmodified clients meet them: google-cloud-compute, google-auth's session."""

from __future__ import annotations

import shutil
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest
import requests
from google.api_core import exceptions
from google.api_core.retry import Retry

from cloudspill_sandbox.control import client

from .faults import Faults
from .gcloud import Gcloud
from .rest import Json, Rest
from .target import Target
from .test_google_cloud_compute import Clients

DEADLINE = 60
Named = Callable[[str], str]


@pytest.fixture(scope="module")
def clients(_environment: None) -> Iterator[Clients]:
    opened = Clients()
    yield opened
    opened.close()


@pytest.fixture(scope="module")
def at(target: Target) -> dict[str, str]:
    return {"project": target.project, "zone": target.zone}


@pytest.fixture
def insert(clients: Clients, at: dict[str, str]) -> Callable[..., Any]:
    """Insert a small instance; returns the client's operation."""

    def inserted(name: str, **fields: Any) -> Any:
        resource = clients.instance(name, at["zone"])
        for field, value in fields.items():
            setattr(resource, field, value)
        return clients.Instances.insert(**at, instance_resource=resource)

    return inserted


def test_a_stock_out_fails_the_operation_as_google_s_and_leaves_nothing(
    faults: Faults, insert: Callable[..., Any], clients: Clients, at: dict[str, str], named: Named
) -> None:
    fault = faults.add("stock-out", match=f"{named('burst')}*")
    other, name = named("other"), named("burst") + "-1"
    insert(other).result(timeout=DEADLINE)
    operation = insert(name)
    with pytest.raises(exceptions.ServiceUnavailable, match="SERVICE UNAVAILABLE"):
        operation.result(timeout=DEADLINE)
    told = operation._extended_operation.error.errors[0]
    assert told.code == "ZONE_RESOURCE_POOL_EXHAUSTED"
    assert told.message.startswith(
        f"The zone 'projects/{at['project']}/zones/{at['zone']}' does not have enough resources "
        "available to fulfill the request."
    )
    details = told.error_details
    assert details[0].help.links[0].url == "https://cloud.google.com/compute/docs/resource-error"
    assert details[2].error_info.reason == "resource_availability"
    assert dict(details[2].error_info.metadatas)["vmType"] == "e2-micro"
    with pytest.raises(exceptions.NotFound):
        clients.Instances.get(**at, instance=name)
    with pytest.raises(exceptions.NotFound):
        clients.Disks.get(**at, disk=name)
    struck = faults.get(fault)
    assert (struck["state"], struck["fired"]) == ("spent", 1)
    assert struck["firings"][0]["target"].endswith(f"/instances/{name}")
    insert(name).result(timeout=DEADLINE)
    assert clients.Instances.get(**at, instance=name).status == "RUNNING"


USAGE, GLOBAL = "usageLimits", "global"
RATE = "Quota exceeded for quota metric 'Queries'"
PERMISSION = "Required 'compute.instances.create' permission for 'projects/"
STALE = "Supplied fingerprint does not match"


@pytest.mark.parametrize(
    ("order", "kind", "domain", "reason", "message"),
    [
        (
            {"kind": "quota"},
            exceptions.Forbidden,
            USAGE,
            "quotaExceeded",
            "Quota 'CPUS' exceeded.  Limit: 24.0 in region us-west1.",
        ),
        ({"kind": "forbidden"}, exceptions.Forbidden, GLOBAL, "forbidden", PERMISSION),
        ({"kind": "rate-limit"}, exceptions.Forbidden, USAGE, "rateLimitExceeded", RATE),
        (
            {"kind": "rate-limit", "status": 429},
            exceptions.TooManyRequests,
            USAGE,
            "rateLimitExceeded",
            RATE,
        ),
        (
            {"kind": "unavailable"},
            exceptions.ServiceUnavailable,
            GLOBAL,
            "backendError",
            "The service is currently unavailable.",
        ),
        (
            {"kind": "error", "error": f"412:conditionNotMet:{STALE}"},
            exceptions.PreconditionFailed,
            GLOBAL,
            "conditionNotMet",
            STALE,
        ),
    ],
)
def test_a_refused_call_is_google_s_exception_and_changes_nothing(  # noqa: PLR0913, PLR0917
    faults: Faults,
    insert: Callable[..., Any],
    rest: Rest,
    named: Named,
    order: Json,
    kind: type[exceptions.GoogleAPICallError],
    domain: str,
    reason: str,
    message: str,
) -> None:
    name = named("vm")
    fault = faults.add(**order, method="compute.instances.insert", match=name)
    with pytest.raises(kind) as caught:
        insert(name)
    assert message in caught.value.message
    assert (caught.value.errors[0]["domain"], caught.value.errors[0]["reason"]) == (domain, reason)
    assert faults.get(fault)["firings"][0]["cause"] == "compute.instances.insert"
    assert rest.call("GET", f"zones/{rest.zone}/instances/{name}").status_code == 404
    insert(name).result(timeout=DEADLINE)


def test_a_client_that_retries_gets_through_when_the_count_is_used_up(
    faults: Faults, clients: Clients, at: dict[str, str]
) -> None:
    fault = faults.add("unavailable", method="compute.zones.get", count=3)
    again = Retry(initial=0.05, maximum=0.1, timeout=20)
    zone = clients.Zones.get(project=at["project"], zone=at["zone"], retry=again)
    assert zone.status == "UP"
    assert faults.get(fault)["fired"] == 3


def test_an_operation_that_meets_a_quota_says_which(
    faults: Faults, rest: Rest, named: Named
) -> None:
    faults.add("operation-quota")
    name = named("vm")
    operation = rest.call("POST", f"zones/{rest.zone}/instances", rest.instance(name)).json()
    assert operation["httpErrorStatusCode"] == 403
    error = operation["error"]["errors"][0]
    assert error["code"] == "QUOTA_EXCEEDED"
    assert error["message"] == "Quota 'CPUS' exceeded.  Limit: 24.0 in region us-west1."
    assert error["errorDetails"][0]["quotaInfo"] == {
        "metricName": "compute.googleapis.com/cpus",
        "limitName": "CPUS-per-project-region",
        "dimensions": {"region": "us-west1"},
        "limit": 24.0,
    }


def test_an_operation_that_fails_at_a_step_is_undone(
    faults: Faults, rest: Rest, named: Named
) -> None:
    fault = faults.add("operation-fails", method="compute.instances.insert", step="boot")
    name = named("vm")
    operation = rest.call("POST", f"zones/{rest.zone}/instances", rest.instance(name)).json()
    assert operation["httpErrorStatusCode"] == 500
    assert operation["error"]["errors"][0]["code"] == "INTERNAL_ERROR"
    assert faults.get(fault)["firings"][0]["cause"] == "compute.instances.insert.boot"
    assert rest.call("GET", f"zones/{rest.zone}/instances/{name}").status_code == 404
    assert rest.call("GET", f"zones/{rest.zone}/disks/{name}").status_code == 404


def test_a_slow_operation_stays_running_until_its_fault_is_cleared(
    faults: Faults, rest: Rest, named: Named
) -> None:
    fault = faults.add("operation-slow", method="compute.disks.insert", delay=3600)
    disk = {"name": named("disk"), "sizeGb": "10"}
    operation = rest.call("POST", f"zones/{rest.zone}/disks", disk).json()
    assert operation["status"] == "RUNNING"
    faults.clear(fault)
    ended = rest.call("POST", f"zones/{rest.zone}/operations/{operation['name']}/wait").json()
    assert (ended["status"], ended.get("error")) == ("DONE", None)


def test_a_slow_answer_comes_late_and_is_right(faults: Faults, rest: Rest) -> None:
    faults.add("slow", method="compute.zones.get", delay=0.5)
    began = time.monotonic()
    assert rest.get(f"zones/{rest.zone}")["name"] == rest.zone
    assert time.monotonic() - began >= 0.5


def test_aggregated_lists_come_without_a_zone_that_does_not_answer(
    faults: Faults, clients: Clients, target: Target, rest: Rest, named: Named
) -> None:
    """https://cloud.google.com/compute/docs/reference/rest/v1/instances/aggregatedList"""
    name, lost = named("here"), f"{target.region}-a"
    rest.done("POST", f"zones/{target.zone}/instances", rest.instance(name))
    faults.add("unreachable", zone=lost, count="forever")
    request = {"project": target.project}
    with pytest.raises(exceptions.ServiceUnavailable):
        clients.Instances.aggregated_list(request=request, retry=None)
    found = rest.get("aggregated/instances", returnPartialSuccess="true")
    assert found["unreachables"] == [f"projects/{target.project}/zones/{lost}"]
    assert found["items"][f"zones/{lost}"]["warning"]["code"] == "UNREACHABLE"
    here = found["items"][f"zones/{target.zone}"]["instances"]
    assert name in [each["name"] for each in here]
    faults.clear()
    scopes = dict(clients.Instances.aggregated_list(request=request))
    assert scopes[f"zones/{lost}"].warning.code == "NO_RESULTS_ON_PAGE"
    rest.done("DELETE", f"zones/{target.zone}/instances/{name}")


def test_instances_in_bulk_of_a_region_are_made_where_a_zone_answers(
    faults: Faults, target: Target, rest: Rest, named: Named
) -> None:
    """https://cloud.google.com/compute/docs/instances/multiple/about-bulk-creation"""
    name, lost = named("bulk"), [f"{target.region}-a", f"{target.region}-b"]
    fired = [faults.add("unreachable", zone=lost[0]), faults.add("stock-out", zone=lost[1])]
    asked = rest.instance(name)
    shared = {key: asked[key] for key in ("disks", "networkInterfaces")}
    body = {
        "count": "1",
        "perInstanceProperties": {name: {}},
        "instanceProperties": shared | {"machineType": "e2-micro"},
    }
    rest.done("POST", f"regions/{target.region}/instances/bulkInsert", body)
    assert rest.get(f"zones/{target.region}-c/instances/{name}")["status"] == "RUNNING"
    assert [faults.get(fault)["state"] for fault in fired] == ["spent", "spent"]
    rest.done("DELETE", f"zones/{target.region}-c/instances/{name}")


@pytest.mark.skipif(shutil.which("gcloud") is None, reason="gcloud is not installed")
def test_gcloud_says_which_zone_does_not_answer_and_lists_the_rest(
    faults: Faults, gcloud: Gcloud, rest: Rest, named: Named
) -> None:
    name = named("here")
    rest.done("POST", f"zones/{rest.zone}/instances", rest.instance(name))
    zone = f"{rest.region}-a"
    faults.add("unreachable", zone=zone, count="forever")
    said = gcloud.run("instances", "list")
    assert name in said.stdout
    assert f"zones/{zone}" in said.stderr
    faults.clear()
    gcloud("instances", "delete", name)


def test_a_connection_that_is_reset_before_its_call_changes_nothing(
    faults: Faults, rest: Rest, named: Named
) -> None:
    name = named("net")
    faults.add("reset", method="compute.networks.insert")
    with pytest.raises(requests.exceptions.ConnectionError):
        rest.call("POST", "global/networks", {"name": name, "autoCreateSubnetworks": False})
    assert rest.call("GET", f"global/networks/{name}").status_code == 404


def test_a_change_whose_answer_is_lost_happens_once_when_it_is_sent_again(
    faults: Faults, rest: Rest, named: Named
) -> None:
    name, request = named("net"), "6f1a7d1e-7f0b-4a53-9a39-0d7d1c1b6a55"
    body = {"name": name, "autoCreateSubnetworks": False}
    fault = faults.add("reset", method="compute.networks.insert", when="after")
    with pytest.raises(requests.exceptions.ConnectionError):
        rest.call("POST", "global/networks", body, requestId=request)
    assert faults.get(fault)["state"] == "spent"
    assert rest.get(f"global/networks/{name}")["name"] == name
    again = rest.call("POST", "global/networks", body, requestId=request)
    assert again.ok
    assert again.json()["clientOperationId"] == request
    refused = rest.call("POST", "global/networks", body)
    assert refused.status_code == 409


def test_a_guest_that_does_not_boot_is_running_and_says_so_on_its_console(
    faults: Faults, insert: Callable[..., Any], clients: Clients, at: dict[str, str], named: Named
) -> None:
    name = named("vm")
    fault = faults.add("boot-failure", match=name)
    insert(name).result(timeout=DEADLINE)
    assert clients.Instances.get(**at, instance=name).status == "RUNNING"
    console = clients.Instances.get_serial_port_output(**at, instance=name)
    assert "emergency mode" in console.contents
    assert faults.get(fault)["firings"][0]["cause"] == "boot"


def test_a_spot_instance_is_preempted_and_a_standard_one_is_not(
    faults: Faults, insert: Callable[..., Any], clients: Clients, at: dict[str, str], named: Named
) -> None:
    standard, spot = named("vm-standard"), named("vm-spot")
    insert(standard).result(timeout=DEADLINE)
    scheduling = clients.v1.Scheduling(provisioning_model="SPOT")
    insert(spot, scheduling=scheduling).result(timeout=DEADLINE)
    fault = faults.add("preemption", match=f"{spot[:12]}*", count="forever")
    struck = faults.get(fault, times=1)
    assert [firing["target"].rpartition("/")[2] for firing in struck["firings"]] == [spot]
    deadline = time.monotonic() + DEADLINE
    while clients.Instances.get(**at, instance=spot).status != "TERMINATED":
        assert time.monotonic() < deadline, "it was not preempted"
        time.sleep(0.05)
    listed = clients.ZoneOperations.list(
        request={**at, "filter": 'operationType="compute.instances.preempted"'}
    )
    assert any(operation.target_link.endswith(f"/{spot}") for operation in listed)
    assert clients.Instances.get(**at, instance=standard).status == "RUNNING"


@pytest.mark.parametrize(
    ("order", "said"),
    [
        ({"kind": "earthquake"}, "the kinds are quota, forbidden"),
        ({"kind": "stock-out", "from": "api"}, "stock-out takes no `from`; it takes count"),
        ({"kind": "slow"}, "slow needs `delay`"),
        ({"kind": "slow", "delay": "soon"}, "`delay` should be a valid number"),
        ({"kind": "quota", "count": 0}, "`count` wants a whole number from 1 or `forever`"),
        ({"kind": "quota", "count": True}, "`count` wants a whole number"),
        ({"kind": "error", "error": "7:x:y"}, "`error` wants STATUS:REASON:MESSAGE"),
        ({"kind": "quota", "method": "compute.instances.inser"}, "compute.instances.insert"),
        ({"kind": "network-cut", "from": "moon"}, "`from` should be 'host', 'api' or 'all'"),
    ],
)
def test_a_fault_that_cannot_be_is_refused_with_what_can(
    faults: Faults, sandbox_only: Target, order: Json, said: str
) -> None:
    with pytest.raises(client.AdminError) as caught:
        faults.add(**order)
    assert said in str(caught.value)
    assert sandbox_only.admin is not None
    assert client.call(sandbox_only.admin, "GET", "/faults") == {"faults": []}
