# SPDX-License-Identifier: GPL-3.0-or-later
"""Every method of Google's documents is found by its own path."""

from __future__ import annotations

import subprocess
import sys
from urllib.parse import quote

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cloudspill_sandbox.engine.discovery import Api, DiscoveryError, Method, load_api
from cloudspill_sandbox.engine.routes import RouteTree

APIS = [
    ("compute", "v1"),
    ("storage", "v1"),
    ("iam", "v1"),
    ("iamcredentials", "v1"),
    ("serviceusage", "v1"),
    ("cloudresourcemanager", "v1"),
    ("cloudresourcemanager", "v3"),
]


def example(method: Method) -> list[str]:
    """A path for the method: each variable is replaced by its own name."""
    return [
        f"{segment[1:].partition('}')[0]}-x{segment.partition('}')[2]}"
        if segment.startswith("{")
        else segment
        for segment in method.template.split("/")
    ]


@pytest.mark.parametrize(("name", "version"), APIS)
def test_every_method_is_found_by_its_own_path(name: str, version: str) -> None:
    api = load_api(name, version)
    lost = [
        method.id
        for method in api.methods.values()
        if not any(
            path == method.service_path
            and routes.find(method.http_method, example(method)) is method
            for path, routes in api.entrances
        )
    ]
    assert lost == []
    assert len(api.methods) > 5


def test_compute_has_its_thousand_methods(compute: Api) -> None:
    assert len(compute.methods) > 1000
    assert compute.host == "compute.googleapis.com"
    assert compute.service_path == "compute/v1/"
    assert compute.batch_path == "batch/compute/v1"


def test_path_values_come_decoded_under_their_discovery_names(compute: Api) -> None:
    segments = ["projects", "p%2Dq", "zones", "z", "instances", "i"]
    method = compute.routes.find("GET", segments)
    assert method is not None
    assert method.id == "compute.instances.get"
    assert method.path_values(segments) == {"project": "p-q", "zone": "z", "instance": "i"}


def test_a_wide_variable_takes_what_the_others_leave(compute: Api) -> None:
    parent = "reservations/r/reservationBlocks/b/reservationSubBlocks/s"
    segments = f"projects/p/zones/z/{parent}/reservationSlots/x".split("/")
    method = compute.routes.find("GET", segments)
    assert method is not None
    assert method.path_values(segments) == {
        "project": "p",
        "zone": "z",
        "parentName": parent,
        "reservationSlot": "x",
    }


def test_a_custom_verb_is_no_part_of_the_name() -> None:
    iam = load_api("iam", "v1")
    segments = ["v1", "projects", "p", "serviceAccounts", "a%40b:disable"]
    method = iam.routes.find("POST", segments)
    assert method is not None
    assert method.id == "iam.projects.serviceAccounts.disable"
    assert method.path_values(segments) == {"name": "projects/p/serviceAccounts/a@b"}


@given(st.text(min_size=1, max_size=40))
def test_an_object_name_may_hold_anything_once_it_is_encoded(name: str) -> None:
    segments = ["b", "bucket", "o", quote(name, safe="")]
    method = STORAGE.routes.find("GET", segments)
    assert method is not None
    assert method.id == "storage.objects.get"
    assert method.path_values(segments) == {"bucket": "bucket", "object": name}


STORAGE = load_api("storage", "v1")


def test_a_literal_of_another_method_does_not_take_a_name_away() -> None:
    routes: RouteTree[str] = RouteTree()
    routes.add("POST", "b/{bucket}/o/watch", "watchAll")
    routes.add("GET", "b/{bucket}/o/{object}", "get")
    routes.add("POST", "b/{bucket}/o/{object}", "post")
    assert routes.find("GET", ["b", "x", "o", "watch"]) == "get"
    assert routes.find("POST", ["b", "x", "o", "watch"]) == "watchAll"
    assert routes.find("POST", ["b", "x", "o", "else"]) == "post"
    with pytest.raises(ValueError, match="two targets"):
        routes.add("GET", "b/{other}/o/{name}", "again")


@pytest.mark.parametrize(
    "path", ["", "projects", "projects//zones/z/instances/i", "projects/p/zones/z/instances/i/"]
)
def test_other_paths_are_nobody_s(compute: Api, path: str) -> None:
    assert compute.routes.find("GET", path.split("/")) is None


def test_a_missing_document_says_what_to_install() -> None:
    with pytest.raises(DiscoveryError, match="google-api-python-client"):
        load_api("nothing", "v1")


def test_google_s_client_itself_is_never_imported() -> None:
    program = (
        "import sys; from cloudspill_sandbox.engine.discovery import load_api; "
        "load_api('storage', 'v1'); sys.exit('googleapiclient' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", program], check=False).returncode == 0
