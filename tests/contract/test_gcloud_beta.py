# SPDX-License-Identifier: GPL-3.0-or-later
"""The gcloud command's beta, as tutorials have it: another version of the API, and of its links.

https://cloud.google.com/sdk/gcloud/reference/beta/compute
"""

from __future__ import annotations

import shutil
from collections.abc import Callable

import pytest

from .gcloud import Gcloud
from .rest import Rest
from .target import Target

pytestmark = [
    pytest.mark.skipif(shutil.which("gcloud") is None, reason="gcloud is not installed"),
    pytest.mark.slow,
]

Named = Callable[[str], str]


@pytest.fixture(scope="module")
def beta(target: Target, tmp_path_factory: pytest.TempPathFactory) -> Gcloud:
    """`gcloud beta compute`, configured for the module's tests alone."""
    return Gcloud(target, tmp_path_factory.mktemp("gcloud"), "beta", "compute")


def test_instances_are_made_shown_tagged_and_deleted(beta: Gcloud, named: Named) -> None:
    names = [named("first"), named("second")]
    made = beta("instances", "create", *names, "--machine-type=e2-micro")  # in a batch
    assert [(each["name"], each["status"]) for each in made] == [(n, "RUNNING") for n in names]
    listed = beta("instances", "list", f"--filter=name:({' '.join(names)})")
    assert sorted(each["name"] for each in listed) == sorted(names)
    beta("instances", "add-tags", names[0], "--tags=web")
    described = beta("instances", "describe", names[0])
    assert described["tags"]["items"] == ["web"]
    beta("instances", "delete", *names)
    missing = beta.run("instances", "describe", names[0])
    assert missing.returncode == 1
    assert f"/instances/{names[0]}' was not found" in missing.stderr


def test_a_disk_and_a_firewall_rule_are_made_and_deleted(beta: Gcloud, named: Named) -> None:
    disk, rule = named("disk"), named("rule")
    beta("disks", "create", disk, "--size=200GB", "--type=pd-standard")
    assert beta("disks", "describe", disk)["sizeGb"] == "200"
    beta("disks", "delete", disk)
    (made,) = beta("firewall-rules", "create", rule, "--allow=tcp:5000", "--target-tags=web")
    assert made["allowed"] == [{"IPProtocol": "tcp", "ports": ["5000"]}]
    assert [each["name"] for each in beta("firewall-rules", "list", f"--filter=name={rule}")] == [
        rule
    ]
    beta("firewall-rules", "delete", rule)


def test_an_address_is_labelled_which_only_beta_does(
    beta: Gcloud, target: Target, named: Named
) -> None:
    name, region = named("address"), f"--region={target.region}"
    beta("addresses", "create", name, region)
    beta("addresses", "update", name, region, "--update-labels=team=a")
    assert beta("addresses", "describe", name, region)["labels"] == {"team": "a"}
    beta("addresses", "delete", name, region)


def test_snapshots_are_listed_which_beta_does_by_a_method_of_its_own(
    beta: Gcloud, rest: Rest, target: Target, named: Named
) -> None:
    """https://cloud.google.com/compute/docs/reference/rest/beta/snapshots/aggregatedList"""
    disk, *snapshots = named("disk"), named("a"), named("b")
    disks = f"zones/{target.zone}/disks"
    rest.done("POST", disks, {"name": disk, "sizeGb": "10"})
    for name in snapshots:
        rest.done("POST", f"{disks}/{disk}/createSnapshot", {"name": name})
    ours = f"--filter=name:({' '.join(snapshots)}) AND diskSizeGb=10"
    listed = beta("snapshots", "list", ours, "--sort-by=~name")
    assert [each["name"] for each in listed] == snapshots[::-1]
    (last,) = beta("snapshots", "list", ours, "--sort-by=~name", "--limit=1")
    assert last == listed[0]
    assert last["sourceDisk"].endswith(f"/{disks}/{disk}")


def test_what_beta_lists_in_another_way_than_gcloud_without_it(beta: Gcloud) -> None:
    assert isinstance(beta("instance-templates", "list"), list)
    assert isinstance(beta("operations", "list", "--limit=1"), list)
    assert "pd-standard" in {each["name"] for each in beta("disk-types", "list")}
