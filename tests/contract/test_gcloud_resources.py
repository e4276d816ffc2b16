# SPDX-License-Identifier: GPL-3.0-or-later
"""The gcloud command, resource by resource: https://cloud.google.com/sdk/gcloud/reference/compute."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

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
def vm(gcloud: Gcloud, prefix: str) -> str:
    """The name of an instance that runs."""
    name = f"{prefix}vm"
    enabled = "--metadata=enable-guest-attributes=TRUE"
    gcloud("instances", "create", name, "--machine-type=e2-micro", enabled)
    return name


def test_an_address_is_reserved_used_and_released(
    gcloud: Gcloud, target: Target, named: Named
) -> None:
    name, user = named("address"), named("user")
    (made,) = gcloud("addresses", "create", name)
    assert made["status"] == "RESERVED"
    address = gcloud("addresses", "describe", name)["address"]
    gcloud("instances", "create", user, "--machine-type=e2-micro", f"--address={address}")
    (listed,) = gcloud("addresses", "list", f"--filter=name={name}")
    (here,) = gcloud("addresses", "list", f"--filter=name={name}", f"--regions={target.region}")
    assert (listed["status"], here["id"]) == ("IN_USE", listed["id"])
    gcloud("instances", "delete", user)
    gcloud("addresses", "delete", name)


def test_a_network_is_made_with_a_subnetwork_a_rule_and_routes(
    gcloud: Gcloud, target: Target, named: Named
) -> None:
    network, subnet, rule = map(named, ("network", "subnet", "rule"))
    gcloud("networks", "create", network, "--subnet-mode=custom")
    gcloud("networks", "subnets", "create", subnet, f"--network={network}", "--range=10.11.0.0/24")
    gcloud("networks", "subnets", "update", subnet, "--enable-private-ip-google-access")
    described = gcloud("networks", "subnets", "describe", subnet)
    assert described["privateIpGoogleAccess"] is True
    assert [s["name"] for s in gcloud("networks", "subnets", "list", f"--network={network}")] == [
        subnet
    ]
    gcloud("networks", "subnets", "expand-ip-range", subnet, "--prefix-length=23")
    here = f"--regions={target.region}"
    (listed,) = gcloud("networks", "subnets", "list", f"--network={network}", here)
    assert listed["ipCidrRange"] == "10.11.0.0/23"
    gcloud("firewall-rules", "create", rule, f"--network={network}", "--allow=icmp")
    gcloud("firewall-rules", "update", rule, "--allow=tcp:22")
    (listed,) = gcloud("firewall-rules", "list", f"--filter=name={rule}")
    assert listed["allowed"] == [{"IPProtocol": "tcp", "ports": ["22"]}]
    routes = gcloud("routes", "list", f"--filter=network:{network}")
    assert sorted(route["destRange"] for route in routes) == ["0.0.0.0/0", "10.11.0.0/23"]
    assert gcloud("routes", "describe", routes[0]["name"])["id"] == routes[0]["id"]
    assert network in [each["name"] for each in gcloud("networks", "list")]
    gcloud("networks", "update", network, "--bgp-routing-mode=global")
    gcloud("firewall-rules", "delete", rule)
    gcloud("networks", "subnets", "delete", subnet)
    gcloud("networks", "delete", network)


def test_an_auto_mode_network_becomes_a_custom_one(
    gcloud: Gcloud, rest: Rest, sandbox_only: Target
) -> None:
    # Google Cloud takes minutes for the subnetworks of every region.
    gcloud("networks", "create", "auto", "--subnet-mode=auto")
    gcloud("networks", "update", "auto", "--switch-to-custom-subnet-mode")
    network = rest.get("global/networks/auto")
    assert network["autoCreateSubnetworks"] is False
    for link in network["subnetworks"]:
        rest.done("DELETE", link.partition(f"/projects/{rest.project}/")[2])
    rest.done("DELETE", "global/networks/auto")


def test_an_instance_is_made_of_a_template(gcloud: Gcloud, named: Named) -> None:
    template, name = named("template"), named("vm")
    gcloud(
        "instance-templates",
        "create",
        template,
        "--machine-type=e2-micro",
        "--image-family=debian-12",
        "--image-project=debian-cloud",
        "--labels=team=a",
    )
    (listed,) = gcloud("instance-templates", "list", f"--filter=name={template}")
    (there,) = gcloud("instance-templates", "list", f"--filter=name={template}", "--global")
    described = gcloud("instance-templates", "describe", template)
    assert listed["id"] == there["id"] == described["id"]
    (made,) = gcloud("instances", "create", name, f"--source-instance-template={template}")
    assert (made["status"], made["labels"]) == ("RUNNING", {"team": "a"})
    gcloud("instances", "delete", name)
    gcloud("instance-templates", "delete", template)


def test_an_instance_is_suspended_and_resumed(gcloud: Gcloud, vm: str) -> None:
    gcloud("instances", "suspend", vm)
    assert gcloud("instances", "describe", vm)["status"] == "SUSPENDED"
    again = gcloud.run("instances", "suspend", vm)
    assert "You cannot suspend an already suspended instance" in again.stderr
    gcloud("instances", "resume", vm)
    gcloud("instances", "reset", vm)
    assert gcloud("instances", "describe", vm)["status"] == "RUNNING"


def test_what_is_fixed_while_it_runs_is_changed_while_it_is_stopped(
    gcloud: Gcloud, vm: str
) -> None:
    # Of the first generation, since E2 has no minimum CPU platform.
    kind = "--machine-type=n1-standard-1"
    refused = gcloud.run("instances", "set-machine-type", vm, kind)
    assert refused.returncode == 1
    assert "must be stopped" in refused.stderr
    gcloud("instances", "stop", vm)
    gcloud("instances", "set-machine-type", vm, kind)
    settings = ("--min-cpu-platform=Intel Skylake", "--shielded-secure-boot")
    gcloud("instances", "update", vm, *settings)
    gcloud("instances", "set-scheduling", vm, "--no-restart-on-failure")
    gcloud("instances", "set-service-account", vm, "--no-service-account", "--no-scopes")
    gcloud("instances", "start", vm)
    described = gcloud("instances", "describe", vm)
    assert described["machineType"].endswith("/n1-standard-1")
    assert described["minCpuPlatform"] == "Intel Skylake"
    assert described["shieldedInstanceConfig"]["enableSecureBoot"] is True
    assert described["scheduling"]["automaticRestart"] is False
    assert "serviceAccounts" not in described


def test_an_instance_is_exported_edited_and_updated(
    gcloud: Gcloud, vm: str, tmp_path: Path
) -> None:
    """https://cloud.google.com/compute/docs/instances/update-instance-properties"""
    file = tmp_path / "vm.yaml"
    gcloud("instances", "export", vm, f"--destination={file}")
    text = file.read_text()
    assert "canIpForward: false" in text
    file.write_text(text.replace("canIpForward: false", "canIpForward: true"))
    gcloud("instances", "update-from-file", vm, f"--source={file}")
    assert gcloud("instances", "describe", vm)["canIpForward"] is True


def test_labels_protection_and_access_configs_are_changed(gcloud: Gcloud, vm: str) -> None:
    gcloud("instances", "update", vm, "--update-labels=team=a", "--deletion-protection")
    refused = gcloud.run("instances", "delete", vm)
    assert "protected against deletion" in refused.stderr
    gcloud("instances", "update", vm, "--no-deletion-protection")
    name = "--access-config-name=external-nat"
    gcloud("instances", "delete-access-config", vm, name)
    gcloud("instances", "add-access-config", vm, name)
    gcloud("instances", "update-access-config", vm, "--no-public-ptr")
    described = gcloud("instances", "describe", vm)
    assert described["labels"] == {"team": "a"}
    assert described["networkInterfaces"][0]["accessConfigs"][0]["natIP"]


def test_what_a_guest_tells_is_read(gcloud: Gcloud, vm: str) -> None:
    assert gcloud("instances", "get-serial-port-output", vm)["contents"]
    # https://cloud.google.com/compute/docs/metadata/manage-guest-attributes; Google's agent
    # publishes the host keys at boot, which was minutes ago.
    path = "--query-path=hostkeys/ssh-ed25519"
    (key,) = gcloud("instances", "get-guest-attributes", vm, path)
    assert key["value"].startswith("AAAAC3NzaC1lZDI1NTE5")
    none = gcloud.run("instances", "get-guest-attributes", vm, "--query-path=nothing/")
    assert none.returncode == 1
    assert "was not found" in none.stderr


def test_the_catalogue_is_listed(gcloud: Gcloud, target: Target) -> None:
    kinds = gcloud("disk-types", "list", f"--zones={target.zone}")
    assert "pd-standard" in [kind["name"] for kind in kinds]
    for resource, name in (("disk-types", "pd-ssd"), ("machine-types", "e2-micro")):
        everywhere = gcloud(resource, "list", f"--filter=name={name}")
        assert target.zone in [each["zone"].rpartition("/")[2] for each in everywhere]
    described = gcloud("disk-types", "describe", "pd-ssd")
    assert described["name"] == "pd-ssd"
    assert gcloud("machine-types", "describe", "e2-micro")["guestCpus"] == 2
    assert target.region in [region["name"] for region in gcloud("regions", "list")]
    assert gcloud("regions", "describe", target.region)["status"] == "UP"
    family = ("debian-12", "--project=debian-cloud", f"--zone={target.zone}")
    assert gcloud("images", "describe-from-family", *family)["image"]["family"] == "debian-12"


def test_operations_are_listed_and_described(
    gcloud: Gcloud, target: Target, rest: Rest, vm: str, named: Named
) -> None:
    rule = {"name": named("rule"), "allowed": [{"IPProtocol": "icmp"}]}
    reset = f"zones/{target.zone}/instances/{vm}/reset"
    names = {
        f"--zone={target.zone}": rest.done("POST", reset)["name"],
        f"--region={target.region}": rest.done(
            "POST", f"regions/{target.region}/addresses", {"name": named("address")}
        )["name"],
        "--global": rest.done("POST", "global/firewalls", rule)["name"],
    }
    for scope, name in names.items():
        assert gcloud("operations", "describe", name, scope)["status"] == "DONE"
        there = scope.replace("zone=", "zones=").replace("region=", "regions=")
        (listed,) = gcloud("operations", "list", there, f"--filter=name={name}")
        assert listed["progress"] == 100
    everywhere = gcloud("operations", "list", f"--filter=name=({' '.join(names.values())})")
    assert {each["name"] for each in everywhere} == set(names.values())


def project(rest: Rest) -> dict[str, Any]:
    answer = rest.session.get(f"{rest.root}/projects/{rest.project}", timeout=60)
    return dict(answer.json())


def test_the_project_s_metadata_are_added_and_removed(gcloud: Gcloud, rest: Rest) -> None:
    def items() -> list[dict[str, str]]:
        return list(project(rest)["commonInstanceMetadata"].get("items", []))

    gcloud("project-info", "add-metadata", "--metadata=ct-gcloud=x")
    try:
        assert {"key": "ct-gcloud", "value": "x"} in items()
    finally:
        gcloud("project-info", "remove-metadata", "--keys=ct-gcloud")
    assert "ct-gcloud" not in [item["key"] for item in items()]


def test_maintenance_of_the_host_is_simulated(gcloud: Gcloud, vm: str) -> None:
    # https://cloud.google.com/compute/docs/instances/simulating-host-maintenance: a minute ahead
    (operation,) = gcloud("instances", "simulate-maintenance-event", vm, "--async")
    assert operation["operationType"] == "simulateMaintenanceEvent"


def test_disks_and_copies_are_labelled(
    gcloud: Gcloud, target: Target, vm: str, named: Named
) -> None:
    snapshot = named("snapshot")
    gcloud("disks", "update", vm, "--update-labels=team=a")
    gcloud("disks", "snapshot", vm, f"--snapshot-names={snapshot}")
    gcloud("snapshots", "update", snapshot, "--update-labels=team=b")
    (disk,) = gcloud("disks", "list", f"--filter=name={vm}", f"--zones={target.zone}")
    assert disk["labels"] == {"team": "a"}
    assert gcloud("snapshots", "describe", snapshot)["labels"] == {"team": "b"}
    gcloud("snapshots", "delete", snapshot)


def test_objects_are_copied_listed_and_removed(
    target: Target, named: Named, tmp_path: Path
) -> None:
    # https://cloud.google.com/sdk/gcloud/reference/storage
    storage = Gcloud(target, tmp_path / "configuration", "storage")
    bucket = f"gs://{named('bucket')}"
    (tmp_path / "greeting").write_text("hello")
    for words in (
        ("buckets", "create", bucket, f"--location={target.region}"),
        ("cp", str(tmp_path / "greeting"), f"{bucket}/folder/greeting"),
        ("cp", f"{bucket}/folder/greeting", f"{bucket}/copy"),
        ("cp", f"{bucket}/copy", str(tmp_path / "back")),
        ("objects", "update", f"{bucket}/copy", "--content-type=text/plain"),
        ("buckets", "update", bucket, "--versioning"),
        ("rm", "--recursive", bucket),
    ):
        done = storage.run(*words)
        assert done.returncode == 0, done.stderr
    assert (tmp_path / "back").read_text() == "hello"
