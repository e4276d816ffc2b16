# SPDX-License-Identifier: GPL-3.0-or-later
"""What the sandbox needs from its host, found out before anything is changed.

What can be tried is tried, in namespaces that vanish with the attempt: a kernel's list of features
and a version number say less.
"""

from __future__ import annotations

import importlib.util
import os
import platform
import re
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from cloudspill_sandbox.settings import Settings

_COMMANDS = {
    "podman": "podman",
    "conmon": "conmon",
    "ip": "iproute2",
    "nft": "nftables",
    "mmdebstrap": "mmdebstrap",
    "apt-get": "apt",
    "unshare": "util-linux",
    "setpriv": "util-linux",
    "ssh": "openssh-client",
}
"""Commands and the Debian packages that bring them."""

_OCI_RUNTIMES = ("crun", "runc")
_NETAVARK_FOLDERS = ("/usr/lib/podman", "/usr/libexec/podman", "/usr/local/libexec/podman")
_KEYRING = "/usr/share/keyrings/debian-archive-keyring.gpg"
_OLDEST_PODMAN = (3, 4)
_OLDEST_KERNEL = (5, 10)
_FREE_BYTES = 2 << 30

_ATTEMPTS = (
    (
        "overlay file systems",
        "modprobe overlay",
        "--mount",
        "mount -t tmpfs none /mnt && mkdir /mnt/l /mnt/u /mnt/w /mnt/m && "
        "mount -t overlay none -o lowerdir=/mnt/l,upperdir=/mnt/u,workdir=/mnt/w /mnt/m",
    ),
    (
        "virtual Ethernet pairs",
        "modprobe veth",
        "--net",
        "ip link add probe0 type veth peer name probe1",
    ),
    (
        "nf_tables with address translation",
        "modprobe nf_tables nft_nat nft_chain_nat",
        "--net",
        "nft 'add table ip probe; "
        "add chain ip probe nat { type nat hook postrouting priority 100; }'",
    ),
)
"""(what it gives, what mends it, namespace, shell command)."""

_CANNOT_CARRY_LAYERS = frozenset({"overlay", "nfs", "nfs4", "vfat", "exfat", "ntfs", "9p", "cifs"})


@dataclass(frozen=True, slots=True)
class Requirement:
    """Something that the host lacks.

    Attributes:
        lacking: what is missing and what for, as a sentence without its full stop.
        remedy: the package or command that mends it.
    """

    lacking: str
    remedy: str

    def __str__(self) -> str:
        """Both as one sentence."""
        return f"{self.lacking}: {self.remedy}"


def _run(command: Sequence[str]) -> tuple[int, str]:
    try:
        done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=30)
    except (OSError, subprocess.TimeoutExpired) as error:
        return 127, str(error)
    return done.returncode, done.stdout + done.stderr


@dataclass(frozen=True, slots=True)
class Host:
    """A host as far as the requirements look at it.

    Attributes:
        system: name of the operating system.
        kernel: its release.
        user: effective user id.
        which: returns the path of a command, or None.
        exists: whether a file is there.
        run: runs a command and returns its exit status and output.
        free_bytes: space for a file at a path whose folder may not exist yet.
        has_pip: whether this Python can download wheels.
    """

    system: str
    kernel: str
    user: int
    which: Callable[[str], str | None]
    exists: Callable[[str], bool]
    run: Callable[[Sequence[str]], tuple[int, str]]
    free_bytes: Callable[[Path], int]
    has_pip: bool

    @classmethod
    def current(cls) -> Host:
        """Return the host that this process runs on."""
        path = os.environ.get("PATH", os.defpath) + ":/usr/local/sbin:/usr/sbin:/sbin"
        return cls(
            system=platform.system(),
            kernel=platform.release(),
            user=os.geteuid(),
            which=lambda command: shutil.which(command, path=path),
            exists=lambda file: Path(file).exists(),
            run=_run,
            free_bytes=lambda file: shutil.disk_usage(_existing(file)).free,
            has_pip=importlib.util.find_spec("pip") is not None,
        )


def missing(settings: Settings, host: Host | None = None) -> list[Requirement]:
    """Return what the host lacks to run a sandbox; empty when it lacks nothing.

    Nothing is changed. Where there is no Linux or no root, nothing else is looked at.

    Args:
        settings: where the sandbox's state will lie.
        host: the host to look at; by default this one.
    """
    host = host or Host.current()
    if host.system != "Linux":
        return [
            Requirement(f"the sandbox runs on Linux, not on {host.system}", "use a Linux machine")
        ]
    if host.user != 0:
        return [Requirement("the sandbox needs root", "run the command with sudo")]
    lacking = [*_programs(host), *_versions(host)]
    if not lacking:  # the attempts need the programs
        lacking += _kernel_features(host)
    return [*lacking, *_storage(settings, host)]


def _programs(host: Host) -> Iterator[Requirement]:
    for command, package in _COMMANDS.items():
        if host.which(command) is None:
            yield Requirement(f"the command {command} is missing", f"apt-get install {package}")
    if not any(host.which(command) for command in _OCI_RUNTIMES):
        yield Requirement(
            "neither crun nor runc is there to run containers", "apt-get install runc"
        )
    if not host.exists(_KEYRING):
        yield Requirement(
            f"Debian's signing keys ({_KEYRING}) are missing",
            "apt-get install debian-archive-keyring",
        )
    if not host.has_pip:
        yield Requirement(
            f"{sys.executable} has no pip to download wheels for guests",
            f"{sys.executable} -m ensurepip",
        )


def _versions(host: Host) -> Iterator[Requirement]:
    if _version(host.kernel) < _OLDEST_KERNEL:
        yield Requirement(
            f"the kernel is {host.kernel}, older than {_dotted(_OLDEST_KERNEL)}",
            "use Debian 12, Ubuntu 22.04 or newer",
        )
    if host.which("podman") is None:
        return
    _, answer = host.run(["podman", "--version"])
    version = _version(answer)
    if version < _OLDEST_PODMAN:
        yield Requirement(
            f"Podman is {answer.strip() or 'of unknown version'}, "
            f"older than {_dotted(_OLDEST_PODMAN)}",
            "use Debian 12, Ubuntu 22.04 or newer",
        )
    has_netavark = any(host.exists(f"{folder}/netavark") for folder in _NETAVARK_FOLDERS)
    if version >= (4, 0) and not has_netavark:
        yield Requirement("Podman lacks netavark, its network backend", "apt-get install netavark")


def _kernel_features(host: Host) -> Iterator[Requirement]:
    for gives, remedy, namespace, command in _ATTEMPTS:
        status, answer = host.run(["unshare", namespace, "sh", "-c", command])
        if status:
            reason = answer.strip().splitlines()[-1] if answer.strip() else f"status {status}"
            yield Requirement(f"the kernel does not offer {gives} here ({reason})", remedy)
    groups = ("/sys/fs/cgroup/cgroup.controllers", "/sys/fs/cgroup/freezer")
    if not any(host.exists(group) for group in groups):
        yield Requirement(
            "no control groups are mounted at /sys/fs/cgroup",
            "mount -t cgroup2 none /sys/fs/cgroup",
        )


def _storage(settings: Settings, host: Host) -> Iterator[Requirement]:
    folder = settings.state_root
    status, kind = host.run(
        ["findmnt", "--noheadings", "--output", "FSTYPE", "--target", str(_existing(folder))]
    )
    if status == 0 and kind.strip() in _CANNOT_CARRY_LAYERS:
        yield Requirement(
            f"{folder} lies on a file system of type {kind.strip()}, which cannot carry disks",
            f"mount a local disk (ext4, xfs, btrfs) at {folder}",
        )
    free = host.free_bytes(folder)
    if free < _FREE_BYTES:
        yield Requirement(
            f"{folder} has {free >> 20} MiB free, fewer than the {_FREE_BYTES >> 20} that the "
            "guest image needs",
            "free some space there",
        )


def _existing(folder: Path) -> Path:
    return next(path for path in (folder, *folder.parents) if path.exists())


def _version(text: str) -> tuple[int, ...]:
    found = re.search(r"(\d+)\.(\d+)", text)
    return tuple(map(int, found.groups())) if found else (0, 0)


def _dotted(version: tuple[int, ...]) -> str:
    return ".".join(map(str, version))
