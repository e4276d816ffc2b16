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
