# SPDX-License-Identifier: GPL-3.0-or-later
"""Machine types: processors and memory.

Sources: https://cloud.google.com/compute/docs/general-purpose-machines,
https://cloud.google.com/compute/docs/compute-optimized-machines and
https://cloud.google.com/compute/docs/instances/creating-instance-with-custom-machine-type.
Every zone of the sandbox offers every type, which Google's zones do not. Shared-core types burst:
the machine gets the ceiling (`vcpus`), never only the sustained share.
"""

from __future__ import annotations

import math
import re
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from fractions import Fraction
from types import MappingProxyType

_CUSTOM = re.compile(
    r"(?:(?:n1|n2|n2d|n4|e2)-)?custom-(?P<vcpus>\d{1,3})-(?P<memory>\d{3,7})(?:-ext)?"
    r"|e2-custom-(?P<shared>micro|small|medium)-(?P<shared_memory>\d{3,7})"
)
_CUSTOM_MEMORY_STEP_MB = 256
_SHARED_MEMORY_MB = {"micro": (1024, 2048), "small": (2048, 4096), "medium": (4096, 8192)}
"""Least and most of custom shared-core types."""
_FEWEST_INTERFACES, _MOST_INTERFACES = 2, 10
"""What each machine type may have at least, and any of them at most."""


@dataclass(frozen=True, slots=True)
class MachineType:
    """One machine type; `vcpus` is the ceiling that the machine may use, `memory_mb` in MiB."""

    name: str
    vcpus: int
    memory_mb: int
    shared: bool = False

    @property
    def series(self) -> str:
        """The machine series, `n2`; of the first one are also the types whose names say none."""
        first = self.name.partition("-")[0]
        return "n1" if first in {"custom", "f1", "g1"} else first

    @property
    def most_interfaces(self) -> int:
        """https://cloud.google.com/vpc/docs/create-use-multiple-interfaces#max-interfaces"""
        return min(max(self.vcpus, _FEWEST_INTERFACES), _MOST_INTERFACES)

    @property
    def description(self) -> str:
        """The sentence that Google's catalogue shows, in its form."""
        gigabytes = f"{self.memory_mb / 1024:g}"
        burst = " (burstable)" if self.shared else ""
        return f"{self.vcpus} vCPU{'s' if self.vcpus > 1 else ''}{burst}, {gigabytes} GB RAM"


@dataclass(frozen=True, slots=True)
class _CustomLimits:
    """What custom types of a series may have; memory in MiB for each vCPU."""

    vcpus: Collection[int]
    least: Fraction
    most: int
    extended: bool

    def memory(self, vcpus: int) -> tuple[int, int]:
        """Least and most MiB of a machine; the least is a multiple of the step."""
        steps = math.ceil(vcpus * self.least / _CUSTOM_MEMORY_STEP_MB)
        return steps * _CUSTOM_MEMORY_STEP_MB, vcpus * self.most


_SOME_VCPUS = (1, *range(2, 97, 2))
_HALF = Fraction(512)
_CUSTOM_LIMITS: Mapping[str, _CustomLimits] = MappingProxyType(
    {
        "e2": _CustomLimits(range(2, 33, 2), _HALF, 8192, extended=False),
        "n1": _CustomLimits(_SOME_VCPUS, Fraction(9216, 10), 6656, extended=True),
        "n2": _CustomLimits((*range(2, 33, 2), *range(36, 129, 4)), _HALF, 8192, extended=True),
        "n2d": _CustomLimits((2, 4, 8, 16, 32, 48, 64, 80, 96), _HALF, 8192, extended=True),
    }
)
"""As Google's own samples check them:
https://cloud.google.com/compute/docs/samples/compute-custom-machine-type-helper-class. They know no
N4: of its memory only the step is looked at.
"""

_SHARED = (
    MachineType("f1-micro", 1, 614, shared=True),
    MachineType("g1-small", 1, 1740, shared=True),
    MachineType("e2-micro", 2, 1024, shared=True),
    MachineType("e2-small", 2, 2048, shared=True),
    MachineType("e2-medium", 2, 4096, shared=True),
)

_UNEVEN = (MachineType("c4-standard-2", 2, 7168),)
"""Those that have another share of memory than their family."""

_FAMILIES = (
    # series-shape, GB of memory a vCPU, vCPU counts
    ("e2-standard", 4.0, (2, 4, 8, 16, 32)),
    ("e2-highmem", 8.0, (2, 4, 8, 16)),
    ("e2-highcpu", 1.0, (2, 4, 8, 16, 32)),
    ("n1-standard", 3.75, (1, 2, 4, 8, 16, 32, 64, 96)),
    ("n1-highmem", 6.5, (2, 4, 8, 16, 32, 64, 96)),
    ("n1-highcpu", 0.9, (2, 4, 8, 16, 32, 64, 96)),
    ("n2-standard", 4.0, (2, 4, 8, 16, 32, 48, 64, 80, 96, 128)),
    ("n2-highmem", 8.0, (2, 4, 8, 16, 32, 48, 64, 80, 96)),
    ("n2-highcpu", 1.0, (2, 4, 8, 16, 32, 48, 64, 80, 96)),
    ("n2d-standard", 4.0, (2, 4, 8, 16, 32, 48, 64, 80, 96, 128, 224)),
    ("n2d-highmem", 8.0, (2, 4, 8, 16, 32, 48, 64, 80, 96)),
    ("n2d-highcpu", 1.0, (2, 4, 8, 16, 32, 48, 64, 80, 96, 128, 224)),
    ("n4-standard", 4.0, (2, 4, 8, 16, 32, 48, 64, 80)),
    ("n4-highmem", 8.0, (2, 4, 8, 16, 32, 48, 64, 80)),
    ("n4-highcpu", 2.0, (2, 4, 8, 16, 32, 48, 64, 80)),
    ("c2-standard", 4.0, (4, 8, 16, 30, 60)),
    ("c2d-standard", 4.0, (2, 4, 8, 16, 32, 56, 112)),
    ("c2d-highmem", 8.0, (2, 4, 8, 16, 32, 56, 112)),
    ("c2d-highcpu", 2.0, (2, 4, 8, 16, 32, 56, 112)),
    ("c3-standard", 4.0, (4, 8, 22, 44, 88, 176)),
    ("c3-highmem", 8.0, (4, 8, 22, 44, 88, 176)),
    ("c3-highcpu", 2.0, (4, 8, 22, 44, 88, 176)),
    ("c3d-standard", 4.0, (4, 8, 16, 30, 60, 90, 180, 360)),
    ("c4-standard", 3.75, (4, 8, 16, 32, 48, 96, 192)),
    ("t2d-standard", 4.0, (1, 2, 4, 8, 16, 32, 48, 60)),
)


def _all() -> Iterator[MachineType]:
    yield from _SHARED
    yield from _UNEVEN
    for shape, gigabytes, counts in _FAMILIES:
        for count in counts:
            yield MachineType(f"{shape}-{count}", count, round(count * gigabytes * 1024))


MACHINE_TYPES: Mapping[str, MachineType] = MappingProxyType(
    {machine_type.name: machine_type for machine_type in _all()}
)
"""Predefined machine types by name."""


def machine_type(name: str) -> MachineType | None:
    """Return the predefined or custom (`n2-custom-4-8192`) machine type of this name, or None."""
    if predefined := MACHINE_TYPES.get(name):
        return predefined
    custom = _custom(name)
    return custom if custom and not _fault(custom) else None


def why_not(name: str) -> str | None:
    """Return Google's sentence on a custom machine type that cannot be; None for other names.

    As https://github.com/elotl/kip/issues/171, https://github.com/DataBiosphere/dsub/issues/232
    and https://github.com/nf-core/configs/pull/386 quote it.
    """
    custom = _custom(name)
    return _fault(custom) if custom else None


def _custom(name: str) -> MachineType | None:
    """Return what the name of a custom type asks for, whether that can be or not."""
    if not (match := _CUSTOM.fullmatch(name)):
        return None
    if match["shared"]:
        return MachineType(name, 2, int(match["shared_memory"]), shared=True)
    return MachineType(name, int(match["vcpus"]), int(match["memory"]))


def _fault(custom: MachineType) -> str | None:
    if custom.memory_mb % _CUSTOM_MEMORY_STEP_MB:
        return (
            f"Memory should be a multiple of {_CUSTOM_MEMORY_STEP_MB}MiB, "
            f"while {custom.memory_mb}MiB is requested"
        )
    unknown = f"Custom Machine type with name '{custom.name}' does not exist."
    if custom.shared:
        least, most = _SHARED_MEMORY_MB[custom.name.split("-")[2]]
        return None if least <= custom.memory_mb <= most else unknown
    if (limits := _CUSTOM_LIMITS.get(custom.series)) is None:
        return None if custom.vcpus in _SOME_VCPUS else unknown
    extended = custom.name.endswith("-ext")
    if custom.vcpus not in limits.vcpus or (extended and not limits.extended):
        return unknown
    least, most = limits.memory(custom.vcpus)
    if extended or least <= custom.memory_mb <= most:
        return None
    return (
        f"Memory size for {custom.vcpus:.1f} vCPU instance should be between {least}MiB and "
        f"{most}MiB, while {custom.memory_mb}MiB is requested."
    )
