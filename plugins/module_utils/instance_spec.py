# SPDX-License-Identifier: GPL-3.0-or-later
# GNU General Public License v3.0+ (see https://www.gnu.org/licenses/gpl-3.0.txt)
"""What a set of like instances shall be, and how one that exists differs from it.

https://cloud.google.com/compute/docs/reference/rest/v1/instances/insert
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from .links import resource_name
from .ownership import OWNER_LABEL, RUN_LABEL, Mark

Document = dict[str, Any]


@dataclass(frozen=True, slots=True)
class BootDisk:
    """What the boot disk of each instance is.

    Attributes:
        kind: `image` or `snapshot`.
        source: document of the image or snapshot; None where nobody has to make a disk of it.
        size_gb: None for the source's size.
        type: such as `pd-ssd`; None for Google's default.
    """

    kind: str
    source: Document | None
    size_gb: int | None = None
    type: str | None = None


@dataclass(frozen=True, slots=True)
class InstanceSpec:
    """What every instance of a set has in common.

    Attributes:
        project: project id.
        zones: where one may be, the best first.
        machine_types: what one may be, the best first.
        boot_disk: what it boots from.
        network: name of the network.
        subnetwork: name of the subnetwork; that of the network's name when empty.
        external_address: whether it gets an external address.
        tags: network tags.
        labels: of the instance and its boot disk, the mark not included.
        metadata: keys and values.
        service_account: `{email, scopes}`, or None for none.
        spot: whether Google may take it back for a lower price.
        max_run_duration: seconds after which Google ends it; None for never.
        termination_action: STOP or DELETE, for Spot and for a limited run; None for Google's
            default.
        mark: whose it is; None for nobody's.
    """

    project: str
    zones: tuple[str, ...]
    machine_types: tuple[str, ...]
    boot_disk: BootDisk
    network: str
    subnetwork: str
    external_address: bool
    tags: tuple[str, ...]
    labels: dict[str, str]
    metadata: dict[str, str]
    service_account: Document | None = None
    spot: bool = False
    max_run_duration: int | None = None
    termination_action: str | None = None
    mark: Mark | None = None

    @classmethod
    def of(cls, options: Document, project: str, source: Document | None) -> InstanceSpec:
        """Make the spec that the options of the module gce_instances describe."""
        account = options["attached_service_account"]
        kind = "snapshot" if options["source_snapshot"] else "image"
        return cls(
            project=project,
            zones=tuple(options["zones"]),
            machine_types=tuple(options["machine_types"]),
            boot_disk=BootDisk(kind, source, options["disk_size_gb"], options["disk_type"]),
            network=options["network"],
            subnetwork=options["subnetwork"],
            external_address=options["external_address"],
            tags=tuple(options["tags"]),
            labels={key: str(value) for key, value in options["labels"].items()},
            metadata={key: str(value) for key, value in options["metadata"].items()},
            service_account=account and {"email": account["email"], "scopes": account["scopes"]},
            spot=options["spot"],
            max_run_duration=options["max_run_duration"],
            termination_action=options["instance_termination_action"],
            mark=Mark(options["run"], options["owner"]) if options["run"] else None,
        )

    @property
    def all_labels(self) -> dict[str, str]:
        """Labels, the mark included."""
        if self.mark is None:
            return self.labels
        return {**self.labels, RUN_LABEL: self.mark.run, OWNER_LABEL: self.mark.owner}

    def is_ours(self, instance: Document) -> bool:
        """Whether an existing instance carries the mark, if there is one to carry."""
        return self.mark is None or self.mark.is_on(instance)

    def body(self, name: str, zone: str, machine_type: str) -> Document:
        """Return what instances.insert takes."""
        interface: Document = {
            "network": f"projects/{self.project}/global/networks/{self.network}",
            "subnetwork": f"projects/{self.project}/regions/{region_of(zone)}/subnetworks/"
            f"{self.subnetwork or self.network}",
        }
        if self.external_address:
            interface["accessConfigs"] = [{"name": "External NAT", "type": "ONE_TO_ONE_NAT"}]
        body: Document = {
            "name": name,
            "machineType": f"zones/{zone}/machineTypes/{machine_type}",
            "disks": [
                {
                    "boot": True,
                    "autoDelete": True,
                    "type": "PERSISTENT",
                    "initializeParams": self._initialize_params(zone),
                }
            ],
            "networkInterfaces": [interface],
            "labels": self.all_labels,
            "tags": {"items": sorted(self.tags)},
            "metadata": {"items": [{"key": k, "value": v} for k, v in self.metadata.items()]},
            "scheduling": self._scheduling(),
        }
        if self.service_account:
            body["serviceAccounts"] = [self.service_account]
        return body

    def differences(self, instance: Document, disk: Document) -> list[str]:
        """Say what of an existing instance is not as it should be, and cannot be changed.

        Args:
            instance, disk: documents of the instance and of its boot disk.
        """
        interface = (instance.get("networkInterfaces") or [{}])[0]
        scheduling = instance.get("scheduling") or {}
        accounts = [account["email"] for account in instance.get("serviceAccounts") or []]
        wanted_account = (self.service_account or {}).get("email")
        run_duration = (scheduling.get("maxRunDuration") or {}).get("seconds")
        compared: list[tuple[str, object, object]] = [
            ("network", resource_name(interface.get("network", "")), self.network),
            ("external address", bool(interface.get("accessConfigs")), self.external_address),
            ("Spot", scheduling.get("provisioningModel") == "SPOT", self.spot),
            ("run limit in s", int(run_duration) if run_duration else None, self.max_run_duration),
        ]
        if wanted_account != "default":  # an alias, which Google resolves
            compared.append(("service account", next(iter(accounts), None), wanted_account))
        if self.boot_disk.size_gb:
            compared.append(("disk size in GB", int(disk["sizeGb"]), self.boot_disk.size_gb))
        said = [f"{what} is {is_}, not {wanted}" for what, is_, wanted in compared if is_ != wanted]
        machine_type = resource_name(instance["machineType"])
        if machine_type not in self.machine_types:
            wanted = " or ".join(self.machine_types)
            said.insert(0, f"machine type is {machine_type}, not {wanted}")
        source = self.boot_disk.source
        if source and not _is_made_of(disk, self.boot_disk.kind, source):
            of = resource_name(disk.get("sourceSnapshot") or disk.get("sourceImage") or "nothing")
            said.append(
                f"its disk was made of {of}, not of the {self.boot_disk.kind} {source['name']} "
                "that exists now"
            )
        return said

    def _initialize_params(self, zone: str) -> Document:
        disk = self.boot_disk
        if disk.source is None:
            raise ValueError("an instance cannot be made without the source of its boot disk")
        params: Document = {
            f"source{disk.kind.capitalize()}": disk.source["selfLink"],
            "labels": self.all_labels,
        }
        if disk.size_gb:
            params["diskSizeGb"] = str(disk.size_gb)
        if disk.type:
            params["diskType"] = f"projects/{self.project}/zones/{zone}/diskTypes/{disk.type}"
        return params

    def _scheduling(self) -> Document:
        scheduling: Document = {}
        if self.spot:
            scheduling = {
                "provisioningModel": "SPOT",
                "automaticRestart": False,
                "onHostMaintenance": "TERMINATE",
            }
        if self.max_run_duration:
            scheduling["maxRunDuration"] = {"seconds": str(self.max_run_duration)}
        if self.termination_action:
            scheduling["instanceTerminationAction"] = self.termination_action
        return scheduling


def instance_arguments() -> dict[str, Any]:
    """Return the options of the module gce_instances."""
    strings = {"type": "list", "elements": "str"}
    return {
        "names": {**strings, "required": True},
        "state": {"type": "str", "choices": ["present", "absent"], "default": "present"},
        "zones": {**strings, "required": True},
        "machine_types": {**strings, "default": []},
        "source_image": {"type": "str"},
        "source_snapshot": {"type": "str"},
        "disk_size_gb": {"type": "int"},
        "disk_type": {"type": "str"},
        "network": {"type": "str", "default": "default"},
        "subnetwork": {"type": "str", "default": ""},
        "external_address": {"type": "bool", "default": True},
        "tags": {**strings, "default": []},
        "labels": {"type": "dict", "default": {}},
        "metadata": {"type": "dict", "default": {}},
        "attached_service_account": {
            "type": "dict",
            "options": {
                "email": {"type": "str", "required": True},
                "scopes": {
                    **strings,
                    "default": ["https://www.googleapis.com/auth/cloud-platform"],
                },
            },
        },
        "spot": {"type": "bool", "default": False},
        "max_run_duration": {"type": "int"},
        "instance_termination_action": {"type": "str", "choices": ["DELETE", "STOP"]},
        "run": {"type": "str"},
        "owner": {"type": "str"},
        "checks": {
            "type": "list",
            "elements": "dict",
            "default": [],
            "options": {
                "name": {"type": "str", "required": True},
                "port": {"type": "int", "required": True},
                "path": {"type": "str"},
            },
        },
        "timeout": {"type": "int", "default": 600},
        "progress_file": {"type": "path"},
    }


def _is_made_of(disk: Document, kind: str, source: Document) -> bool:
    """Whether a disk was made of an image or snapshot, or of the same snapshot as the image.

    Names do not tell: the same one may be that of a later image or snapshot.
    """
    if disk.get(f"source{kind.capitalize()}Id") == source["id"]:
        return True
    snapshot = source.get("sourceSnapshotId")
    return snapshot is not None and disk.get("sourceSnapshotId") == snapshot


def region_of(zone: str) -> str:
    """`us-west1` of `us-west1-b`."""
    return zone.rpartition("-")[0]
