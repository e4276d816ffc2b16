# SPDX-License-Identifier: GPL-3.0-or-later
"""Files that the host writes into a machine's disk, without trusting what lies there.

A disk may hold anything, a link from /etc to the host's own /etc too: every step is opened
without following links, and a file is replaced, never written through.
"""

from __future__ import annotations

import contextlib
import os
import stat
from collections.abc import Iterator
from pathlib import Path

from cloudspill_sandbox.runtime.interface import MachineSpec

_METADATA_ADDRESS = "169.254.169.254"
_MARK = "  # Added by Google"
"""Google's guest environment marks its own lines so."""
_READ_LIMIT = 1 << 20


def renew_identity(root: Path) -> None:
    """Empty the machine id: systemd makes a new one at the next boot.

    ssh host keys are the guest agent's, which makes new ones when the instance id has changed.

    Raises:
        OSError: the disk has something else than a directory at /etc.
    """
    with _opened(root, "etc") as folder:
        _replace(folder, "machine-id", b"")


def write_names(root: Path, spec: MachineSpec) -> None:
    """Write what Compute Engine's DHCP and guest environment would: resolver and own names.

    https://cloud.google.com/compute/docs/internal-dns

    Raises:
        OSError: the disk has something else than a directory at /etc.
    """
    labels = spec.hostname.split(".")
    search = [".".join(labels[1:]), ".".join(labels[2:]), "google.internal"]
    resolver = f"search {' '.join(filter(None, search))}\nnameserver {_METADATA_ADDRESS}\n"
    own = (
        f"{spec.nic.internal_ip} {spec.hostname} {spec.name}{_MARK}\n"
        f"{_METADATA_ADDRESS} metadata.google.internal{_MARK}\n"
    )
    with _opened(root, "etc") as folder:
        _replace(folder, "resolv.conf", resolver.encode())
        hosts = _read(folder, "hosts") or b"127.0.0.1 localhost\n"
        others = [line for line in hosts.splitlines(keepends=True) if _MARK.encode() not in line]
        _replace(folder, "hosts", b"".join(others) + own.encode())


@contextlib.contextmanager
def _opened(root: Path, *names: str) -> Iterator[int]:
    descriptor = os.open(root, os.O_RDONLY | os.O_DIRECTORY)
    try:
        for name in names:
            flags = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW
            inner = os.open(name, flags, dir_fd=descriptor)
            os.close(descriptor)
            descriptor = inner
        yield descriptor
    finally:
        os.close(descriptor)


def _read(folder: int, name: str) -> bytes | None:
    try:
        flags = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK
        descriptor = os.open(name, flags, dir_fd=folder)
    except OSError:
        return None
    try:
        if not stat.S_ISREG(os.fstat(descriptor).st_mode):
            return None
        return os.read(descriptor, _READ_LIMIT)
    finally:
        os.close(descriptor)


def _replace(folder: int, name: str, content: bytes) -> None:
    with contextlib.suppress(FileNotFoundError):
        os.unlink(name, dir_fd=folder)
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW
    descriptor = os.open(name, flags, 0o644, dir_fd=folder)
    try:
        os.fchmod(descriptor, 0o644)
        os.write(descriptor, content)
    finally:
        os.close(descriptor)
