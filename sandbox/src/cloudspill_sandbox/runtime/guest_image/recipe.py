# SPDX-License-Identifier: GPL-3.0-or-later
"""What goes into the guest image, and the digest that changes when any of it does."""

from __future__ import annotations

import hashlib
import platform
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

SUITE = "bookworm"
PYTHON = "3.11"

PACKAGES = (
    "bzip2",
    "ca-certificates",
    "cron",
    "curl",
    "dbus",
    "file",
    "google-guest-agent",
    "gpg",
    "iproute2",
    "iputils-ping",
    "less",
    "lsof",
    "nano",
    "netbase",
    "openssh-server",
    "procps",
    "psmisc",
    "python3",
    "python3-apt",
    "rsync",
    "sudo",
    "systemd",
    "systemd-sysv",
    "tzdata",
    "unzip",
    "vim-tiny",
    "wget",
    "xz-utils",
)
"""No more than Google's Debian 12 image has; the OS Login package is left out, as is its API."""

PACKAGES_AT_HAND = ("git", "python3-venv")
WHEELS_AT_HAND = ("flask", "waitress")
"""Not installed: they lie in the caches that apt and pip look into first."""

_HERE = Path(__file__).parent
CUSTOMIZE = _HERE / "customize.sh"
FILES = _HERE / "files"
_HOST_CERTIFICATES = Path("/usr/local/share/ca-certificates")


@dataclass(frozen=True, slots=True)
class Recipe:
    """What decides the content of an image, beside the day on which it is built.

    Attributes:
        certificates: PEM files of authorities that the guest trusts beside Debian's.
    """

    certificates: tuple[Path, ...]

    @classmethod
    def for_this_host(cls, extra_cas: Sequence[Path]) -> Recipe:
        """Return the recipe that also trusts the authorities that the host's administrator added.

        Args:
            extra_cas: PEM files of further authorities.
        """
        return cls((*extra_cas, *sorted(_HOST_CERTIFICATES.rglob("*.crt"))))

    @property
    def digest(self) -> str:
        """Sixteen hexadecimal digits."""
        content = hashlib.sha256(f"{SUITE} {platform.machine()}".encode())
        builders = (_HERE / "build.py", _HERE / "recipe.py", CUSTOMIZE)
        for path in (*builders, *sorted(FILES.rglob("*")), *self.certificates):
            if path.is_file():
                content.update(path.name.encode() + b"\0" + path.read_bytes() + b"\0")
        return content.hexdigest()[:16]


def debian_sources() -> list[str]:
    """Return the host's own sources of the suite in apt's one-line format.

    Empty when it has none: mmdebstrap then takes the ones it knows.
    """
    listed = subprocess.run(
        [
            *("apt-get", "indextargets", "--format"),
            "$(ORIGIN) $(CODENAME) deb $(REPO_URI) $(RELEASE) $(COMPONENT)",
            "Created-By: Packages",
        ],
        capture_output=True,
        text=True,
        check=False,
    )
    lines = []
    for line in listed.stdout.splitlines():
        origin, codename, source = line.split(" ", 2)
        if origin == "Debian" and codename.split("-")[0] == SUITE:
            lines.append(source)
    has_main = any(f" {SUITE} main" in line for line in lines)
    return list(dict.fromkeys(lines)) if has_main else []


def apt_transport_options() -> list[str]:
    """Return the host's settings of how apt reaches its sources (proxies, certificates)."""
    dumped = subprocess.run(
        [
            *("apt-config", "dump", "--no-empty", "--format", '%F "%v";%n'),
            *("Acquire::http", "Acquire::https"),
        ],
        capture_output=True,
        text=True,
        check=False,
    )
    return [line for line in dumped.stdout.splitlines() if line]
