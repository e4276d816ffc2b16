# SPDX-License-Identifier: GPL-3.0-or-later
"""Giving the host back: ends and removes everything that runs or is mounted in a sandbox's name.

It needs nothing of the sandbox that left it: names and paths alone say what is the sandbox's.
"""

from __future__ import annotations

import logging
import shutil

from cloudspill_sandbox.runtime.cgroups import SandboxCgroup, processes_naming
from cloudspill_sandbox.runtime.kernel_limits import KernelLimits
from cloudspill_sandbox.runtime.mounts import mounts_below, unmount
from cloudspill_sandbox.settings import Settings

_PODMAN_COMMANDS = frozenset({"podman", "conmon", "runc", "crun"})

_log = logging.getLogger(__name__)


def sweep(settings: Settings) -> None:
    """End machines, mounts and kernel limits of a sandbox that is not running; keep volumes.

    Idempotent. Blocks until processes are gone.

    Raises:
        TimeoutError: a process would not end.
        OSError: a directory could not be removed.
    """
    podman, probe = settings.run_dir / "podman", settings.run_dir / "probe"
    cgroup = SandboxCgroup(settings.name)
    ended = cgroup.end_processes(processes_naming(podman, _PODMAN_COMMANDS))
    if ended:
        _log.info("ended %d processes of machines of the sandbox %s", ended, settings.name)
    for point in mounts_below(podman, probe, settings.volumes_dir):
        unmount(point, detach=True)
    for leftover in (podman, probe):
        if leftover.exists():
            shutil.rmtree(leftover)
    cgroup.remove()
    kernel_limits(settings).restore()


def kernel_limits(settings: Settings) -> KernelLimits:
    """Return the kernel parameters that a sandbox raises while it runs."""
    return KernelLimits(settings.run_dir / "kernel-limits.json")
