# SPDX-License-Identifier: GPL-3.0-or-later
"""Giving the host back: ends and removes everything that runs or is mounted in a sandbox's name.

It needs nothing of the sandbox that left it: names and paths alone say what is the sandbox's.
"""

from __future__ import annotations

import logging
import shutil
from collections.abc import Collection
from pathlib import Path

from cloudspill_sandbox.runtime.cgroups import SandboxCgroup, processes_naming
from cloudspill_sandbox.runtime.kernel_limits import KernelLimits
from cloudspill_sandbox.runtime.mounts import mounts_below, unmount
from cloudspill_sandbox.settings import Settings

_PODMAN_COMMANDS = frozenset({"podman", "conmon", "runc", "crun"})

_log = logging.getLogger(__name__)


def podman_directory(settings: Settings) -> Path:
    """Return where the sandbox's Podman keeps everything; it is there while machines may be."""
    return settings.run_dir / "podman"


def probe_directory(settings: Settings) -> Path:
    """Return where a root file system is mounted to try whether containers start."""
    return settings.run_dir / "probe"


def sweep(settings: Settings) -> None:
    """End machines, mounts and kernel limits of a sandbox that is not running; keep volumes.

    Idempotent. Blocks until processes are gone.

    Raises:
        TimeoutError: a process would not end.
        OSError: a directory could not be removed.
    """
    end_all_but((), (), settings)
    podman = podman_directory(settings)
    if podman.exists():
        shutil.rmtree(podman)
    kernel_limits(settings).restore()


def end_all_but(
    containers: Collection[str], mount_points: Collection[Path], settings: Settings
) -> None:
    """End every process and mount of a sandbox that is not running, but for some machines.

    Args:
        containers: ids of the containers that go on.
        mount_points: of the volumes that they use.
        settings: of the sandbox.

    Raises:
        TimeoutError: a process would not end.
        OSError: a directory could not be removed.
    """
    podman, probe = podman_directory(settings), probe_directory(settings)
    cgroup = SandboxCgroup(settings.name)
    found = processes_naming(podman, _PODMAN_COMMANDS)
    # conmon, and whoever works on or in a container, has its id as an argument.
    spared = {pid for pid, words in found.items() if not words.isdisjoint(containers)}
    ended = cgroup.end_processes(found.keys() - spared, besides=containers, spared=spared)
    if ended:
        _log.info("ended %d processes of machines of the sandbox %s", ended, settings.name)
    for point in mounts_below(podman, probe, settings.volumes_dir):
        if point not in mount_points and set(point.parts).isdisjoint(containers):
            unmount(point, detach=True)
    if probe.exists():
        shutil.rmtree(probe)
    cgroup.remove(besides=containers)


def kernel_limits(settings: Settings) -> KernelLimits:
    """Return the kernel parameters that a sandbox raises while it runs."""
    return KernelLimits(settings.run_dir / "kernel-limits.json")
