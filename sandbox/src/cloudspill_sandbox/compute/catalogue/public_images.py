# SPDX-License-Identifier: GPL-3.0-or-later
"""Public images, the families that programs name. Source:
https://cloud.google.com/compute/docs/images/os-details.

Each boots the runtime's base volume `debian-12`, whatever it is called, and its description says
so: family names let playbooks run unchanged, they do not bring Ubuntu.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType

BASE_VOLUME = "debian-12"
"""The runtime's volume that every public image boots."""


@dataclass(frozen=True, slots=True)
class PublicImage:
    """One image of a public project.

    Attributes:
        stands_for: the operating system that this image is on Google Cloud.
        id: fixed numeric id, so that disks made of it compare equal over restarts.
        disk_gb: size of its disks, below which none can be made.
    """

    project: str
    family: str
    name: str
    stands_for: str
    license: str
    id: str
    disk_gb: int = 10

    @property
    def description(self) -> str:
        """Says what really boots."""
        what = "Debian 12 (bookworm), built locally by the sandbox."
        if self.family == "debian-12":
            return what
        return f"{what} Stands in for {self.stands_for}."


_IMAGES = (
    PublicImage(
        "debian-cloud",
        "debian-11",
        "debian-11-bullseye-v20250610",
        "Debian 11 (bullseye)",
        "debian-11-bullseye",
        "1100000000000000011",
    ),
    PublicImage(
        "debian-cloud",
        "debian-12",
        "debian-12-bookworm-v20250610",
        "Debian 12 (bookworm)",
        "debian-12-bookworm",
        "1100000000000000012",
    ),
    PublicImage(
        "debian-cloud",
        "debian-13",
        "debian-13-trixie-v20250812",
        "Debian 13 (trixie)",
        "debian-13-trixie",
        "1100000000000000013",
    ),
    PublicImage(
        "almalinux-cloud",
        "almalinux-9",
        "almalinux-9-v20250611",
        "AlmaLinux 9",
        "almalinux-9",
        "3300000000000000009",
        disk_gb=20,
    ),
    PublicImage(
        "centos-cloud",
        "centos-stream-9",
        "centos-stream-9-v20250610",
        "CentOS Stream 9",
        "centos-stream-9",
        "3300000000000000109",
        disk_gb=20,
    ),
    PublicImage(
        "centos-cloud",
        "centos-stream-10",
        "centos-stream-10-v20250610",
        "CentOS Stream 10",
        "centos-stream-10",
        "3300000000000000110",
        disk_gb=20,
    ),
    PublicImage(
        "cos-cloud",
        "cos-stable",
        "cos-stable-121-18867-90-62",
        "Container-Optimized OS",
        "cos-pcid",
        "4400000000000000001",
    ),
    PublicImage(
        "rhel-cloud",
        "rhel-8",
        "rhel-8-v20250610",
        "Red Hat Enterprise Linux 8",
        "rhel-8-server",
        "3300000000000000208",
        disk_gb=20,
    ),
    PublicImage(
        "rhel-cloud",
        "rhel-9",
        "rhel-9-v20250610",
        "Red Hat Enterprise Linux 9",
        "rhel-9-server",
        "3300000000000000209",
        disk_gb=20,
    ),
    PublicImage(
        "rocky-linux-cloud",
        "rocky-linux-8",
        "rocky-linux-8-v20250610",
        "Rocky Linux 8",
        "rocky-linux-8",
        "3300000000000000308",
        disk_gb=20,
    ),
    PublicImage(
        "rocky-linux-cloud",
        "rocky-linux-9",
        "rocky-linux-9-v20250611",
        "Rocky Linux 9",
        "rocky-linux-9",
        "3300000000000000309",
        disk_gb=20,
    ),
    PublicImage(
        "suse-cloud",
        "sles-15",
        "sles-15-sp7-v20250627-x86-64",
        "SUSE Linux Enterprise Server 15",
        "sles-15",
        "3300000000000000415",
    ),
    PublicImage(
        "ubuntu-os-cloud",
        "ubuntu-2004-lts",
        "ubuntu-2004-focal-v20250605",
        "Ubuntu 20.04 LTS (focal)",
        "ubuntu-2004-lts",
        "2200000000000002004",
    ),
    PublicImage(
        "ubuntu-os-cloud",
        "ubuntu-2204-lts",
        "ubuntu-2204-jammy-v20250604",
        "Ubuntu 22.04 LTS (jammy)",
        "ubuntu-2204-lts",
        "2200000000000002204",
    ),
    PublicImage(
        "ubuntu-os-cloud",
        "ubuntu-2404-lts-amd64",
        "ubuntu-2404-noble-amd64-v20250606",
        "Ubuntu 24.04 LTS (noble)",
        "ubuntu-2404-lts",
        "2200000000000002404",
    ),
    PublicImage(
        "ubuntu-os-cloud",
        "ubuntu-minimal-2204-lts",
        "ubuntu-minimal-2204-jammy-v20250603",
        "Ubuntu Minimal 22.04 LTS (jammy)",
        "ubuntu-minimal-2204-lts",
        "2200000000000012204",
    ),
    PublicImage(
        "ubuntu-os-cloud",
        "ubuntu-minimal-2404-lts-amd64",
        "ubuntu-minimal-2404-noble-amd64-v20250606",
        "Ubuntu Minimal 24.04 LTS (noble)",
        "ubuntu-minimal-2404-lts",
        "2200000000000012404",
    ),
)

PUBLIC_PROJECTS = frozenset(
    {
        "almalinux-cloud",
        "centos-cloud",
        "cos-cloud",
        "debian-cloud",
        "deeplearning-platform-release",
        "fedora-cloud",
        "fedora-coreos-cloud",
        "opensuse-cloud",
        "oracle-linux-cloud",
        "rhel-cloud",
        "rhel-sap-cloud",
        "rocky-linux-accelerator-cloud",
        "rocky-linux-cloud",
        "suse-cloud",
        "suse-sap-cloud",
        "ubuntu-os-accelerator-images",
        "ubuntu-os-cloud",
        "ubuntu-os-pro-cloud",
        "windows-cloud",
        "windows-sql-cloud",
    }
)
"""Projects that exist only to hold public images; clients list them all. Most are empty here."""

PUBLIC_IMAGES: Mapping[str, PublicImage] = MappingProxyType(
    {f"projects/{image.project}/global/images/{image.name}": image for image in _IMAGES}
)
"""Public images by relative resource name."""
