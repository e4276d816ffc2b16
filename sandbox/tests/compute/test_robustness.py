# SPDX-License-Identifier: GPL-3.0-or-later
"""Whatever Google's schema allows is answered or refused: never an accident, never half a write."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from typing import Any

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from cloudspill_sandbox.compute.cloud import Cloud
from cloudspill_sandbox.compute.latency import Instant
from cloudspill_sandbox.compute.names import relative
from cloudspill_sandbox.compute.service import compute_service
from cloudspill_sandbox.compute.volumes import volume_of
from cloudspill_sandbox.engine import validation
from cloudspill_sandbox.engine.call import Call, Document, Principal, Service
from cloudspill_sandbox.engine.clock import Clock
from cloudspill_sandbox.engine.discovery import Method, load_api
from cloudspill_sandbox.engine.errors import ApiError
from cloudspill_sandbox.engine.schema import Schema
from cloudspill_sandbox.engine.store import Store
from cloudspill_sandbox.network.memory import MemoryNetwork
from cloudspill_sandbox.runtime.memory import MemoryRuntime
from cloudspill_sandbox.settings import Settings

from .conftest import UBUNTU, ZONE, NamedTokens

API = load_api("compute", "v1")
WORDS = st.sampled_from(
    [
        "",
        "vm",
        "default",
        "Bad_Name",
        "a" * 64,
        "ä\x00\n",
        "-1",
        "99999999999",
        "10.138.0.2",
        "10.138.0.0/20",
        "10.0.0.0/8",
        "::1/64",
        "../..",
        "global/networks/default",
        "regions/us-west1/subnetworks/default",
        f"zones/{ZONE}/machineTypes/f1-micro",
        f"zones/{ZONE}/disks/vm",
        f"projects/cloudspill-sandbox/zones/{ZONE}/instances/vm",
        "global/snapshots/vm",
        UBUNTU,
        "https://www.googleapis.com/compute/v1/projects/x/global/images/family/",
        "READ_ONLY",
        "tcp",
        "22",
        "0-65536",
    ]
)


def values(schema: Schema, depth: int = 0) -> st.SearchStrategy[Any]:
    """Values of a schema, few fields each, no deeper than people's are."""
    if schema.reference is not None:
        return values(API.schemas[schema.reference], depth)
    if schema.type == "array" and schema.items is not None:
        return st.lists(values(schema.items, depth + 1), max_size=2)
    if schema.additional is not None:
        return st.dictionaries(WORDS, values(schema.additional, depth + 1), max_size=2)
    return _objects(schema, depth) if schema.type == "object" else _scalars(schema)


def _scalars(schema: Schema) -> st.SearchStrategy[Any]:
    if schema.enum is not None:
        return st.sampled_from(sorted(schema.enum))
    by_type = {"boolean": BOOLEANS, "integer": NUMBERS, "number": NUMBERS}
    by_format = {"int64": LONGS, "uint64": LONGS, "byte": BYTES}
    return by_type.get(schema.type, by_format.get(schema.format or "", WORDS))


def _objects(schema: Schema, depth: int) -> st.SearchStrategy[Any]:
    if depth > 4 or not schema.properties:
        return st.just({})
    keys = st.lists(st.sampled_from(sorted(schema.properties)), max_size=4, unique=True)
    return keys.flatmap(
        lambda chosen: st.fixed_dictionaries(
            {key: values(schema.properties[key], depth + 1) for key in chosen}
        )
    )


BOOLEANS = st.booleans()
NUMBERS = st.sampled_from([0, 1, 10, 500, 65536, 2**31 - 1])
LONGS = st.sampled_from(["0", "1", "10", "100", "4611686018427387904"])
BYTES = st.just("c3RhbGU=")


@dataclass(frozen=True)
class Request:
    """A call as a client might send it."""

    method: Method
    body: Any
    parameters: dict[str, str]


PLACE = {"project": "cloudspill-sandbox", "zone": ZONE, "region": "us-west1"}
USUAL = [
    "6f5cb2a4-5a0e-4ce5-9b2c-0a7c4de0c1f2",
    "persistent-disk-0",
    "nic0",
    "External NAT",
    "true",
    "false",
]
SANE: dict[str, dict[str, Any]] = {
    "instances.insert": {
        "name": "vm",
        "machineType": f"zones/{ZONE}/machineTypes/f1-micro",
        "disks": [{"boot": True, "autoDelete": True, "initializeParams": {"sourceImage": UBUNTU}}],
        "networkInterfaces": [{"accessConfigs": [{}]}],
    },
    "disks.insert": {"name": "vm"},
    "disks.createSnapshot": {"name": "vm"},
    "snapshots.insert": {"name": "vm", "sourceDisk": f"zones/{ZONE}/disks/vm"},
    "images.insert": {"name": "vm", "sourceSnapshot": "global/snapshots/vm"},
    "networks.insert": {"name": "vm"},
    "subnetworks.insert": {
        "name": "vm",
        "network": "global/networks/vm",
        "ipCidrRange": "10.1.0.0/24",
    },
    "firewalls.insert": {"name": "vm", "allowed": [{"IPProtocol": "tcp"}]},
    "addresses.insert": {"name": "vm"},
    "instanceTemplates.insert": {
        "name": "vm",
        "properties": {
            "machineType": "f1-micro",
            "disks": [{"boot": True, "initializeParams": {"sourceImage": UBUNTU}}],
            "networkInterfaces": [{}],
        },
    },
    "instances.attachDisk": {"source": f"zones/{ZONE}/disks/vm"},
}


@st.composite
def requests(draw: st.DrawFn, methods: tuple[str, ...]) -> Request:
    """A request that is sane, or has some fields that are not."""
    name = draw(st.sampled_from(methods))
    method = API.methods[name]
    body: Any = dict(SANE.get(name.removeprefix("compute."), {}))
    if "name" in body and draw(st.integers(0, 3)) == 0:
        body["name"] = "two"
    if method.request is not None and draw(st.integers(0, 2)) == 0:
        body |= draw(values(API.schemas[method.request]))
    parameters = {
        key: PLACE.get(key) or draw(st.sampled_from(["vm", "vm", "vm", "two", "default", "none"]))
        for key in method.path_parameters
    }
    for key, parameter in method.query_parameters.items():
        if parameter.required or draw(st.integers(0, 9)) == 0:
            parameters[key] = _text(
                draw(st.one_of(st.sampled_from(USUAL), values(parameter.schema)))
            )
    return Request(method, body, parameters)


def _text(value: Any) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)


TAKES_ITS_TIME = {"compute.instances.simulateMaintenanceEvent"}
"""What announces itself a minute ahead; test_maintenance.py has it."""


def _methods() -> tuple[str, ...]:
    """Every implemented method; those that change something several times."""

    async def ids() -> list[str]:
        return sorted(compute_service(_cloud()).keys() - TAKES_ITS_TIME)

    changing = [name for name in asyncio.run(ids()) if API.methods[name].http_method != "GET"]
    makers = [name for name in changing if name.removeprefix("compute.") in SANE]
    return (*asyncio.run(ids()), *changing * 3, *makers * 6)


def _cloud() -> Cloud:
    store = Store()
    return Cloud(
        store=store,
        runtime=MemoryRuntime(),
        network=MemoryNetwork(),
        settings=Settings(),
        clock=Clock(store, lambda: 1_800_000_000.0),
        latency=Instant(),
        tokens=NamedTokens(),
    )


async def send(service: Service, request: Request) -> None:
    """Send a request; a refusal is an answer too. Raises AssertionError for what is neither."""
    method = request.method
    path = {key: request.parameters[key] for key in method.path_parameters}
    given_query = [(k, v) for k, v in request.parameters.items() if k in method.query_parameters]
    status: int | None = None
    answer: Any = None
    try:
        query = validation.query_parameters(API, method, given_query)
        body = validation.request_body(API, method, request.body)
        answer = await service[method.id](Call(method.id, path, query, body, Principal("a@b")))
    except ApiError as refusal:
        status = refusal.status
    assert status is None or 400 <= status < 500
    if isinstance(answer, dict):
        assert validation.validate_response(API, method, answer) == []
        for error in answer.get("error", {}).get("errors", ()):
            assert error["code"] != "INTERNAL_ERROR", (request, error)


def check(cloud: Cloud, runtime: MemoryRuntime, network: MemoryNetwork) -> None:
    """Compare documents with machines, volumes, links and leases."""
    instances = _all(cloud, "instances")
    media = [*_all(cloud, "disks"), *_all(cloud, "snapshots"), *_all(cloud, "images")]
    assert set(runtime.volumes) == {"debian-12", *map(volume_of, media)}
    suspended = {each["id"] for each in instances if each["status"] == "SUSPENDED"}
    on = {each["id"] for each in instances if each["status"] == "RUNNING"}
    assert (set(runtime.running), runtime.suspended) == (on | suspended, suspended)
    nics = [nic for each in instances for nic in each["networkInterfaces"]]
    assert {nic["networkIP"] for nic in nics} == {nic.internal_ip for nic in network.topology.nics}
    held = [nic["networkIP"] for nic in nics]
    held += [c["natIP"] for nic in nics for c in nic.get("accessConfigs", ()) if "natIP" in c]
    held += [each["address"] for each in _all(cloud, "addresses") if each["status"] == "RESERVED"]
    assert sorted(held) == sorted(cloud.store.children("leases"))
    for instance in instances:
        for attached in instance["disks"]:
            disk = cloud.store.get(relative(attached["source"]))
            assert disk is not None
            assert instance["selfLink"] in disk["users"]


def _all(cloud: Cloud, kind: str) -> list[Document]:
    found = cloud.store.collections(cloud.project, kind)
    return [document for _, documents in found for document in documents.values()]


@given(st.lists(requests(_methods()), min_size=8, max_size=20))
@settings(max_examples=80, deadline=None, suppress_health_check=list(HealthCheck))
def test_any_requests_in_any_order(sent: list[Request]) -> None:
    async def life() -> None:
        cloud = _cloud()
        assert isinstance(cloud.runtime, MemoryRuntime)
        assert isinstance(cloud.network, MemoryNetwork)
        await cloud.start()
        service = compute_service(cloud)
        start = Request(API.methods["compute.instances.insert"], SANE["instances.insert"], PLACE)
        for request in (start, *sent):
            await send(service, request)
            check(cloud, cloud.runtime, cloud.network)
        await asyncio.gather(*(send(service, request) for request in sent))
        check(cloud, cloud.runtime, cloud.network)
        await cloud.stop()
        cloud.store.close()

    asyncio.run(life())
