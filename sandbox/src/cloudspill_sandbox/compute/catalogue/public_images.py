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
    """

    project: str
    family: str
    name: str
    stands_for: str
    license: str
    id: str

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
