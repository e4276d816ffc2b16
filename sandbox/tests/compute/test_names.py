# SPDX-License-Identifier: GPL-3.0-or-later
"""Every form of a reference means one relative name."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cloudspill_sandbox.compute import names
from cloudspill_sandbox.engine.errors import ApiError
from cloudspill_sandbox.settings import number_of

DISKS = "projects/p/zones/z/disks"


@pytest.mark.parametrize(
    ("reference", "meant"),
    [
        ("d", f"{DISKS}/d"),
        ("zones/y/disks/d", "projects/p/zones/y/disks/d"),
        ("projects/q/zones/y/disks/d", "projects/q/zones/y/disks/d"),
        ("/projects/q/zones/y/disks/d", "projects/q/zones/y/disks/d"),
        (f"https://www.googleapis.com/compute/v1/{DISKS}/d", f"{DISKS}/d"),
        (f"https://compute.googleapis.com/compute/v1/{DISKS}/d", f"{DISKS}/d"),
        (f"https://compute.googleapis.com/compute/v1//{DISKS}/d", f"{DISKS}/d"),
        (f"https://www.googleapis.com/compute/beta/{DISKS}/d", f"{DISKS}/d"),
        (f"http://www.googleapis.com/compute/v1/{DISKS}/d", f"{DISKS}/d"),
        (f"http://127.0.0.1:8460/compute/v1/{DISKS}/d", f"{DISKS}/d"),
    ],
)
def test_forms_of_a_reference(reference: str, meant: str) -> None:
    assert names.resolve("source", reference, DISKS) == meant


def test_the_number_of_the_project_means_its_id() -> None:
    number = number_of("p")
    assert names.resolve("f", f"projects/{number}/zones/z/disks/d", DISKS) == f"{DISKS}/d"
    assert (
        names.resolve("f", f"{names.ROOT}projects/{number}/zones/z/disks/d", DISKS) == f"{DISKS}/d"
    )
    foreign = f"projects/{number + 1}/zones/z/disks/d"
    assert names.resolve("f", foreign, DISKS) == foreign


def test_families_are_references() -> None:
    images = "projects/p/global/images"
    assert names.resolve("f", "global/images/family/x", images) == f"{images}/family/x"


@pytest.mark.parametrize(
    "reference",
    [
        "zones/z/instances/d",
        "disks/d",
        "zones/z/disks/",
        "zones/z/disks/d/extra",
        "https://example.org/compute/v1/projects/p/zones/z/disks/d",
        "https://www.googleapis.com/storage/v1/projects/p/zones/z/disks/d",
        "../../etc",
    ],
)
def test_other_things_are_malformed(reference: str) -> None:
    with pytest.raises(ApiError) as caught:
        names.resolve("resource.source", reference, DISKS)
    assert caught.value.message == (
        f"Invalid value for field 'resource.source': '{reference}'. The URL is malformed."
    )


@given(st.from_regex(names.NAME, fullmatch=True))
def test_a_link_is_read_back(key: str) -> None:
    name = f"{DISKS}/{key}"
    assert names.relative(names.link(name)) == name == names.resolve("f", names.link(name), DISKS)


@pytest.mark.parametrize("name", ["a", "a-1", "a" * 63])
def test_good_names(name: str) -> None:
    assert names.check_name("resource.name", name) == name


@pytest.mark.parametrize("name", ["A", "1a", "a-", "-a", "a_b", "a" * 64, "ä", "a\n", "a b"])
def test_bad_names(name: str) -> None:
    with pytest.raises(ApiError) as caught:
        names.check_name("resource.name", name)
    assert caught.value.message.endswith("regex '(?:[a-z](?:[-a-z0-9]{0,61}[a-z0-9])?)'")


@pytest.mark.parametrize("labels", [{"env": "prod"}, {"größe": "groß"}, {"a_b-c": ""}, {}])
def test_good_labels(labels: dict[str, str]) -> None:
    assert names.check_labels("labels", labels) == labels


@pytest.mark.parametrize(
    "labels",
    [{"Env": ""}, {"1a": ""}, {"": ""}, {"a b": ""}, {"a" * 64: ""}, {"a": "B"}, {"a": "b.c"}],
)
def test_bad_labels(labels: dict[str, str]) -> None:
    with pytest.raises(ApiError) as caught:
        names.check_labels("labels", labels)
    assert "violates format constraints" in caught.value.message


@pytest.mark.parametrize(
    ("name", "scope"),
    [
        ("projects/p", "global"),
        ("projects/p/global/images/i", "global"),
        ("projects/p/zones/z/disks/d", "zones/z"),
        ("projects/p/regions/r/addresses/a", "regions/r"),
    ],
)
def test_scopes(name: str, scope: str) -> None:
    assert names.scope(name) == scope
