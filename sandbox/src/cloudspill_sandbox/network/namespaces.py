# SPDX-License-Identifier: GPL-3.0-or-later
"""Network namespaces by system call: a thread steps into one and comes back.

The kernel keeps the network namespace per thread, so the rest of the process never notices.
Child processes started inside are born there. (Python 3.12 has os.setns and os.unshare.)
"""

from __future__ import annotations

import contextlib
import ctypes
import errno
import os
from collections.abc import Iterator
from pathlib import Path

from cloudspill_sandbox.network.addressing import NAMESPACES
from cloudspill_sandbox.network.interface import NetworkError

NO_IPV6 = {f"net/ipv6/conf/{scope}/disable_ipv6": "1" for scope in ("all", "default")}
"""Kernel parameters of a namespace that is to have no IPv6."""

_CLONE_NEWNET = 0x40000000
_MS_BIND, _MS_REC, _MS_SHARED = 4096, 16384, 1 << 20
_MNT_DETACH = 2
_OWN = "/proc/thread-self/ns/net"
_libc = ctypes.CDLL(None, use_errno=True)


def _check(result: int, action: str) -> None:
    if result != 0:
        code = ctypes.get_errno()
        raise OSError(code, f"{action}: {os.strerror(code)}")


def _mount(source: str, target: str, flags: int) -> None:
    _check(
        _libc.mount(source.encode(), target.encode(), None, ctypes.c_ulong(flags), None),
        f"mount {source} on {target}",
    )


@contextlib.contextmanager
def _returning() -> Iterator[None]:
    origin = os.open(_OWN, os.O_RDONLY | os.O_CLOEXEC)
    try:
        yield
    finally:
        try:
            _check(_libc.setns(origin, _CLONE_NEWNET), "return to the host's namespace")
        finally:
            os.close(origin)


@contextlib.contextmanager
def inside(path: Path) -> Iterator[None]:
    """Run the body in a network namespace; it must not await.

    Raises:
        NetworkError: there is no such namespace.
    """
    try:
        target = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    except FileNotFoundError:
        raise NetworkError(f"network namespace {path} does not exist") from None
    with _returning():
        try:
            _check(_libc.setns(target, _CLONE_NEWNET), f"enter {path}")
        finally:
            os.close(target)
        yield


@contextlib.contextmanager
def inside_new(path: Path) -> Iterator[None]:
    """Make a network namespace that outlives the process and run the body in it."""
    os.close(os.open(path, os.O_RDONLY | os.O_CREAT | os.O_EXCL, 0o444))
    try:
        with _returning():
            _check(_libc.unshare(_CLONE_NEWNET), "unshare the network")
            _mount(_OWN, str(path), _MS_BIND)
            yield
    except BaseException:
        remove(path)
        raise


def remove(path: Path) -> None:
    """Forget a namespace; it ends when nothing runs in it. No error when it is gone."""
    while _libc.umount2(str(path).encode(), _MNT_DETACH) == 0:
        pass
    if (code := ctypes.get_errno()) not in (errno.EINVAL, errno.ENOENT):
        raise OSError(code, f"unmount {path}: {os.strerror(code)}")
    path.unlink(missing_ok=True)


def exists(path: Path) -> bool:
    """Whether a namespace is mounted there (a file alone is left by a reboot or a kill)."""
    return path.exists() and path.stat().st_dev != path.parent.stat().st_dev


def directory_state() -> str:
    """Say how `ip netns` finds its directory: `absent`, `plain` or `mounted`."""
    if not NAMESPACES.is_dir():
        return "absent"
    return "mounted" if _is_mount_point(NAMESPACES) else "plain"


def open_directory() -> None:
    """Make the directory a shared mount as `ip netns add` does, so that both may be used."""
    NAMESPACES.mkdir(mode=0o755, parents=True, exist_ok=True)
    if not _is_mount_point(NAMESPACES):
        _mount(str(NAMESPACES), str(NAMESPACES), _MS_BIND | _MS_REC)
        _mount("", str(NAMESPACES), _MS_SHARED | _MS_REC)


def close_directory(before: str) -> None:
    """Give the directory back as directory_state() found it, unless others use it by now."""
    if before == "mounted" or directory_state() == "absent" or any(NAMESPACES.iterdir()):
        return
    if directory_state() == "mounted":
        _check(_libc.umount2(str(NAMESPACES).encode(), 0), f"unmount {NAMESPACES}")
    if before == "absent":
        NAMESPACES.rmdir()


def write_sysctls(values: dict[str, str]) -> None:
    """Set kernel parameters of the namespace that this thread is in (`net/ipv4/ip_forward`)."""
    for name, value in values.items():
        Path("/proc/sys", name).write_text(value)


def _is_mount_point(path: Path) -> bool:
    # os.path.ismount misses a bind mount within one file system.
    return _mount_id(path) != _mount_id(path.parent)


def _mount_id(path: Path) -> str:
    descriptor = os.open(path, os.O_PATH | os.O_CLOEXEC)
    try:
        lines = Path(f"/proc/self/fdinfo/{descriptor}").read_text().splitlines()
    finally:
        os.close(descriptor)
    return next(line for line in lines if line.startswith("mnt_id:"))
