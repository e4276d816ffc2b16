# SPDX-License-Identifier: GPL-3.0-or-later
"""What machine series cannot have, and Google refuses when an instance is made or changed."""

from __future__ import annotations

from typing import Any

import pytest

from .conftest import UBUNTU, ZONE, Client

ENDS = {"onHostMaintenance": "TERMINATE"}


def of_type(name: str) -> dict[str, str]:
    """The field of an instance that asks for a machine type."""
    return {"machineType": f"zones/{ZONE}/machineTypes/{name}"}


@pytest.mark.parametrize("name", ["e2-micro", "e2-standard-4", "e2-custom-2-4096"])
async def test_e2_machines_migrate_unless_they_may_be_preempted(
    api: Client, spec: Any, name: str
) -> None:
    """https://cloud.google.com/compute/docs/instances/setting-vm-host-options#limitations; the
    answer is quoted at https://github.com/jenkinsci/google-compute-engine-plugin/issues/215."""
    refusal = await api.refused("instances.insert", spec(scheduling=ENDS, **of_type(name)))
    assert (refusal.status, refusal.reason) == (400, "badRequest")
    assert refusal.message == (
        "e2 instances do not support onHostMaintenance=TERMINATE unless they are preemptible."
    )
    spot = {"provisioningModel": "SPOT", **ENDS}
    await api.done("instances.insert", spec("spot", scheduling=spot, **of_type(name)))
    old = {"preemptible": True, "automaticRestart": False, **ENDS}
    await api.done("instances.insert", spec("old", scheduling=old, **of_type(name)))


async def test_e2_machines_are_not_changed_to_end_at_maintenance(api: Client, spec: Any) -> None:
    """The same page: it is about setScheduling."""
    await api.done("instances.insert", spec(**of_type("e2-small")))
    await api.done("instances.stop", instance="vm")
    refusal = await api.refused("instances.setScheduling", ENDS, instance="vm")
    assert refusal.message.startswith("e2 instances do not support")
    held = await api.instance()
    refusal = await api.refused("instances.update", held | {"scheduling": ENDS}, instance="vm")
    assert refusal.message.startswith("e2 instances do not support")
    assert (await api.instance())["scheduling"]["onHostMaintenance"] == "MIGRATE"
    await api.done("instances.setMachineType", of_type("n1-standard-1"), instance="vm")
    await api.done("instances.setScheduling", ENDS, instance="vm")
    assert (await api.instance())["scheduling"]["onHostMaintenance"] == "TERMINATE"


@pytest.mark.parametrize(
    ("name", "requested"),
    [
        ("custom-1-7168", "1.0 vCPU instance should be between 1024MiB and 6656MiB, while 7168"),
        ("custom-2-32768", "2.0 vCPU instance should be between 2048MiB and 13312MiB, while 32768"),
        (
            "n1-custom-2-1792",
            "2.0 vCPU instance should be between 2048MiB and 13312MiB, while 1792",
        ),
        ("e2-custom-2-512", "2.0 vCPU instance should be between 1024MiB and 16384MiB, while 512"),
        (
            "n2-custom-4-33024",
            "4.0 vCPU instance should be between 2048MiB and 32768MiB, while 33024",
        ),
    ],
)
async def test_a_custom_type_has_so_much_memory_for_each_vcpu(
    api: Client, spec: Any, name: str, requested: str
) -> None:
    """The answer as quoted at https://github.com/nf-core/configs/pull/386; the limits are those of
    https://cloud.google.com/compute/docs/samples/compute-custom-machine-type-helper-class."""
    asked = of_type(name)
    refusal = await api.refused("instances.insert", spec(**asked))
    assert (refusal.status, refusal.reason) == (400, "invalid")
    assert refusal.message == (
        f"Invalid value for field 'resource.machineType': '{asked['machineType']}'. "
        f"Memory size for {requested}MiB is requested."
    )


@pytest.mark.parametrize(
    "name",
    [
        "e2-custom-64-65536",
        "n2-custom-34-65536",
        "n2d-custom-6-8192",
        "n4-custom-3-8192",
        "e2-custom-2-32768-ext",
    ],
)
async def test_custom_types_that_their_series_does_not_have(
    api: Client, spec: Any, name: str
) -> None:
    """The same page: vCPUs in steps, and no extended memory for E2."""
    refusal = await api.refused("instances.insert", spec(**of_type(name)))
    assert refusal.message.endswith(f"Custom Machine type with name '{name}' does not exist.")
    assert (await api.refused("machineTypes.get", machineType=name)).status == 404


@pytest.mark.parametrize(
    ("name", "vcpus", "memory"),
    [
        ("custom-1-1024", 1, 1024),
        ("custom-1-6656", 1, 6656),
        ("custom-20-18432", 20, 18432),
        ("custom-96-638976", 96, 638976),
        ("custom-1-20480-ext", 1, 20480),
        ("n2-custom-36-18432", 36, 18432),
        ("n2-custom-8-638720-ext", 8, 638720),
        ("n2d-custom-96-786432", 96, 786432),
        ("n4-custom-4-8192", 4, 8192),
        ("e2-custom-32-131072", 32, 131072),
        ("c4-standard-2", 2, 7168),
    ],
)
async def test_types_at_the_limits_of_their_series(
    api: Client, name: str, vcpus: int, memory: int
) -> None:
    """The same page; C4: https://cloud.google.com/compute/docs/general-purpose-machines."""
    found = await api.call("machineTypes.get", machineType=name)
    assert (found["guestCpus"], found["memoryMb"]) == (vcpus, memory)


@pytest.mark.parametrize("name", ["Bogus", "Intel", "Skylake"])
async def test_what_is_no_cpu_platform_is_refused(api: Client, spec: Any, name: str) -> None:
    """As quoted at https://github.com/related-sciences/gce-github-runner/pull/55."""
    refusal = await api.refused("instances.insert", spec(minCpuPlatform=name))
    assert (refusal.status, refusal.reason) == (400, "invalid")
    assert refusal.message == (
        f"Invalid value for field 'resource.minCpuPlatform': '{name}'. Invalid CPU platform."
    )
    await api.done("instances.insert", spec())
    await api.done("instances.stop", instance="vm")
    body = {"minCpuPlatform": name}
    refusal = await api.refused("instances.setMinCpuPlatform", body, instance="vm")
    assert refusal.message.endswith(f"'minCpuPlatform': '{name}'. Invalid CPU platform.")
    held = await api.instance()
    refusal = await api.refused("instances.update", held | body, instance="vm")
    assert refusal.message.endswith(f"'{name}'. Invalid CPU platform.")


@pytest.mark.parametrize(
    ("name", "platform", "wanted"),
    [
        ("n2-standard-2", "Intel Broadwell", "broadwell"),
        ("n2-custom-2-4096", "Intel Ivy Bridge", "ivybridge"),
        ("c2-standard-4", "Intel Skylake", "skylake"),
    ],
)
async def test_a_cpu_platform_is_not_older_than_the_machine_series(
    api: Client, spec: Any, name: str, platform: str, wanted: str
) -> None:
    """As quoted at https://github.com/cloudfoundry/bosh-google-cpi-release/issues/322; of C2:
    https://github.com/clusterinthecloud/ansible/issues/66."""
    asked = spec(minCpuPlatform=platform, **of_type(name))
    refusal = await api.refused("instances.insert", asked)
    assert (refusal.status, refusal.reason) == (400, "badRequest")
    assert refusal.message == (
        f"The selected machine type ({name}) has a required CPU platform of cascadelake. "
        f"The minimum CPU platform must match this, but was {wanted}."
    )


@pytest.mark.parametrize(
    ("name", "platform"),
    [
        ("n1-standard-1", "Intel Broadwell"),
        ("n2-standard-2", "Intel Ice Lake"),
        ("n2d-standard-2", "AMD Milan"),
        ("c4-standard-2", "Intel Granite Rapids"),
        ("n1-standard-1", "Automatic"),
    ],
)
async def test_a_cpu_platform_is_shown(api: Client, spec: Any, name: str, platform: str) -> None:
    """https://cloud.google.com/compute/docs/instances/specify-min-cpu-platform"""
    await api.done("instances.insert", spec(minCpuPlatform=platform, **of_type(name)))
    assert (await api.instance())["minCpuPlatform"] == platform


def boot_disk(kind: str | None = None) -> list[dict[str, Any]]:
    """The field `disks` of an instance whose disk is of a type, or of none that it says."""
    asked = {"diskType": f"zones/{ZONE}/diskTypes/{kind}"} if kind else {}
    return [{"boot": True, "initializeParams": {"sourceImage": UBUNTU, **asked}}]


UNUSABLE = [
    # https://github.com/rancher/harvester-cloud/issues/249
    ("n2-standard-16", "hyperdisk-balanced"),
    # https://github.com/nextflow-io/nextflow/pull/6841, with Google's page on Hyperdisk Balanced
    ("n1-standard-1", "hyperdisk-balanced"),
    ("f1-micro", "hyperdisk-balanced"),
    ("n2d-standard-2", "hyperdisk-balanced"),
    ("e2-small", "hyperdisk-balanced"),
    # https://github.com/DataBiosphere/dsub/issues/301
    ("n4-standard-2", "pd-standard"),
    ("n4-custom-2-4096", "pd-ssd"),
    # https://github.com/astronomer/astronomer/issues/2463
    ("c4-standard-16", "pd-balanced"),
    # https://github.com/kubernetes-sigs/gcp-compute-persistent-disk-csi-driver/pull/1212
    ("c3-standard-4", "pd-standard"),
]


@pytest.mark.parametrize(("name", "kind"), UNUSABLE)
async def test_a_machine_series_has_not_every_disk_type(
    api: Client, spec: Any, name: str, kind: str
) -> None:
    """https://cloud.google.com/compute/docs/general-purpose-machines; the words are those of
    https://github.com/rancher/harvester-cloud/issues/249."""
    asked = spec(disks=boot_disk(kind), **of_type(name))
    refusal = await api.refused("instances.insert", asked)
    assert (refusal.status, refusal.reason) == (400, "badRequest")
    assert refusal.message == f"{kind} disk type cannot be used by {name} machine type."
    assert (await api.refused("disks.get", disk="vm")).status == 404


async def test_a_disk_that_a_machine_series_cannot_use_is_not_attached(
    api: Client, spec: Any
) -> None:
    """A 400 and no operation, as https://github.com/NVIDIA/aicr/pull/2338 has the words."""
    await api.done("instances.insert", spec(**of_type("n4-standard-2")))
    for kind in ("pd-ssd", "hyperdisk-balanced"):
        body = {"name": kind, "sizeGb": "10", "type": f"zones/{ZONE}/diskTypes/{kind}"}
        await api.done("disks.insert", body)
    wrong, right = ({"source": f"zones/{ZONE}/disks/{k}"} for k in ("pd-ssd", "hyperdisk-balanced"))
    refusal = await api.refused("instances.attachDisk", wrong, instance="vm")
    assert (refusal.status, refusal.reason) == (400, "badRequest")
    assert refusal.message == "pd-ssd disk type cannot be used by n4-standard-2 machine type."
    assert "users" not in await api.call("disks.get", disk="pd-ssd")
    boot = [{"boot": True, **wrong}]
    asked = spec("other", disks=boot, **of_type("n4-standard-2"))
    assert "cannot be used" in (await api.refused("instances.insert", asked)).message
    await api.done("instances.attachDisk", right, instance="vm")


@pytest.mark.parametrize(
    ("name", "kind"),
    [
        ("f1-micro", "pd-standard"),
        ("e2-standard-2", "pd-standard"),
        ("n2-standard-2", "pd-standard"),
        ("c3-standard-4", "pd-balanced"),
        ("c3d-standard-4", "pd-balanced"),
        ("c4-standard-2", "hyperdisk-balanced"),
        ("n4-standard-2", "hyperdisk-balanced"),
    ],
)
async def test_a_disk_of_no_type_is_of_its_machine_series(
    api: Client, spec: Any, name: str, kind: str
) -> None:
    """https://cloud.google.com/compute/docs/reference/rest/v1/instances/insert, `diskType`."""
    await api.done("instances.insert", spec(**of_type(name)))
    disk = await api.call("disks.get", disk="vm")
    assert disk["type"].endswith(f"/zones/{ZONE}/diskTypes/{kind}")


async def test_machines_with_cores_of_their_own_have_128_disks(api: Client, spec: Any) -> None:
    """127 besides the boot disk:
    https://cloud.google.com/compute/docs/disks/persistent-disks#pdnumberlimits."""
    empty = [{"initializeParams": {"diskSizeGb": "10"}}] * 128
    too_many = spec(disks=[*boot_disk(), *empty], **of_type("n1-standard-1"))
    refusal = await api.refused("instances.insert", too_many)
    assert "Maximum number of disks is 128." in refusal.message
    shared = spec(disks=[*boot_disk(), *empty[:16]], **of_type("e2-medium"))
    refusal = await api.refused("instances.insert", shared)
    assert "Maximum number of disks is 16." in refusal.message
    allowed = spec(disks=[*boot_disk(), *empty[:17]], **of_type("n1-standard-1"))
    await api.done("instances.insert", allowed)
    assert len((await api.instance())["disks"]) == 18
