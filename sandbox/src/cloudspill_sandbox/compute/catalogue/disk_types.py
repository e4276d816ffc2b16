# SPDX-License-Identifier: GPL-3.0-or-later
"""Disk types. Source: https://cloud.google.com/compute/docs/disks.

All are directories on the host's own disk: their speed is the host's.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType


@dataclass(frozen=True, slots=True)
class DiskType:
    """One disk type; sizes in GB as Google counts them (2^30 bytes)."""

    name: str
    description: str
    default_gb: int
    smallest_gb: int
    largest_gb: int


DISK_TYPES: Mapping[str, DiskType] = MappingProxyType(
    {
        disk_type.name: disk_type
        for disk_type in (
            DiskType("hyperdisk-balanced", "Hyperdisk Balanced", 100, 4, 65536),
            DiskType("pd-balanced", "Balanced Persistent Disk", 100, 10, 65536),
            DiskType("pd-extreme", "Extreme Persistent Disk", 1000, 500, 65536),
            DiskType("pd-ssd", "SSD Persistent Disk", 100, 10, 65536),
            DiskType("pd-standard", "Standard Persistent Disk", 500, 10, 65536),
        )
    }
)
"""Disk types by name. `local-ssd` is absent: a scratch disk has no place in the sandbox yet."""

DEFAULT = "pd-standard"
_HYPERDISK = frozenset({"hyperdisk-balanced"})
_PERSISTENT = frozenset(DISK_TYPES) - _HYPERDISK

DEFAULTS: Mapping[str, str] = MappingProxyType(
    {
        "c3": "pd-balanced",
        "c3d": "pd-balanced",
        "c4": "hyperdisk-balanced",
        "n4": "hyperdisk-balanced",
    }
)
"""What instances of a machine series get where a request names no type; `DEFAULT` elsewhere.

https://cloud.google.com/compute/docs/reference/rest/v1/instances/insert, `diskType` of the
initializeParams.
"""

UNUSABLE: Mapping[str, frozenset[str]] = MappingProxyType(
    {
        "c3": frozenset({"pd-standard"}),
        "c4": _PERSISTENT,
        "e2": _HYPERDISK,
        "n1": _HYPERDISK,
        "n2": _HYPERDISK,
        "n2d": _HYPERDISK,
        "n4": _PERSISTENT,
    }
)
"""Types that instances of a machine series cannot have. Of other series all are taken.

https://cloud.google.com/compute/docs/general-purpose-machines,
https://cloud.google.com/compute/docs/disks/hd-types/hyperdisk-balanced#machine-series-support and
https://github.com/kubernetes-sigs/gcp-compute-persistent-disk-csi-driver/issues/1820; of C3
https://github.com/kubernetes-sigs/gcp-compute-persistent-disk-csi-driver/pull/1212.
"""
