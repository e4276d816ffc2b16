# SPDX-License-Identifier: GPL-3.0-or-later
"""Instances made in bulk, with Google's libraries and gcloud.

https://cloud.google.com/compute/docs/instances/multiple/create-in-bulk
"""

from __future__ import annotations

import shutil
from collections.abc import Callable
from typing import Any

import pytest

from .gcloud import Gcloud
from .rest import Rest
from .sdks import Refused, Sdk
from .target import Target

Named = Callable[[str], str]
gcloud_only = pytest.mark.skipif(shutil.which("gcloud") is None, reason="gcloud is not installed")


def properties(rest: Rest) -> dict[str, Any]:
    """Return what the instances have in common: types are named without a zone."""
    body = rest.instance("unused")
    return {"machineType": "e2-micro"} | {key: body[key] for key in ("disks", "networkInterfaces")}


@pytest.mark.parametrize("method", ["instances.bulkInsert", "regionInstances.bulkInsert"])
def test_instances_are_numbered_by_a_pattern(
    api: Sdk, rest: Rest, target: Target, named: Named, method: str
) -> None:
    stem = named("vm")
    here = {"zones": [{"zone": f"zones/{target.zone}"}]}
    place = {} if method.startswith("instances") else {"locationPolicy": here}
    body = {"count": "3", "namePattern": f"{stem}-##", "instanceProperties": properties(rest)}
    operation = api(method, body=body | place)
    made = api("instances.list", filter=f"name:{stem}-*")
    assert sorted(each["name"] for each in made) == [f"{stem}-0{number}" for number in (1, 2, 3)]
    assert {each["status"] for each in made} == {"RUNNING"}
    assert operation["status"] == "DONE"
    for each in made:
        api("instances.delete", instance=each["name"])


def test_names_of_their_own_and_a_template_with_an_override(
    api: Sdk, rest: Rest, named: Named
) -> None:
    template, one, two = named("template"), named("one"), named("two")
    api("instanceTemplates.insert", body={"name": template, "properties": properties(rest)})
    body = {
        "count": "2",
        "perInstanceProperties": {one: {"name": one}, two: {"name": two}},
        "sourceInstanceTemplate": f"global/instanceTemplates/{template}",
        "instanceProperties": {"labels": {"batch": "one"}},
    }
    api("instances.bulkInsert", body=body)
    for name in (one, two):
        assert api("instances.get", instance=name)["labels"] == {"batch": "one"}
        api("instances.delete", instance=name)
    api("instanceTemplates.delete", instanceTemplate=template)


def test_a_name_that_is_taken_refuses_them_all(api: Sdk, rest: Rest, named: Named) -> None:
    taken, free = named("taken"), named("free")
    api("instances.insert", body=rest.instance(taken))
    body = {
        "count": "2",
        "perInstanceProperties": {free: {"name": free}, taken: {"name": taken}},
        "instanceProperties": properties(rest),
    }
    with pytest.raises(Refused, match="already exists"):
        api("instances.bulkInsert", body=body)
    with pytest.raises(Refused) as refusal:
        api("instances.get", instance=free)
    assert refusal.value.status == 404
    api("instances.delete", instance=taken)


@gcloud_only
@pytest.mark.parametrize("scope", ["zone", "region"])
def test_gcloud_tells_what_it_made(
    gcloud: Gcloud, target: Target, named: Named, scope: str
) -> None:
    stem = named("vm")
    places = {"zone": target.zone, "region": target.region}
    told = gcloud(
        *("instances", "bulk", "create", f"--name-pattern={stem}-#", "--count=2"),
        *("--machine-type=e2-micro", f"--{scope}={places[scope]}"),
    )
    assert (told["createdInstanceCount"], told["failedInstanceCount"]) == (2, 0)
    assert sorted(each["name"] for each in told["instances"]) == [f"{stem}-1", f"{stem}-2"]
    made = gcloud("instances", "list", f"--filter=name:{stem}")
    assert sorted(each["name"] for each in made) == [f"{stem}-1", f"{stem}-2"]
    for each in made:
        zone = each["zone"].rpartition("/")[2]
        gcloud("instances", "delete", each["name"], f"--zone={zone}")
