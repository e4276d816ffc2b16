# SPDX-License-Identifier: GPL-3.0-or-later
"""Finding out, before any machine is asked for, whether containers start on this host."""

from __future__ import annotations

import shutil
from pathlib import Path

from cloudspill_sandbox.runtime.leftovers import probe_directory
from cloudspill_sandbox.runtime.mounts import mount_overlay, overlay_options, unmount
from cloudspill_sandbox.runtime.podman import Podman
from cloudspill_sandbox.settings import Settings


async def prove(settings: Settings, guest_image: Path, podman: Podman) -> None:
    """Start Podman and a container on the guest image; both leave nothing.

    Raises:
        MachineError: containers do not start on this host; the message says why.
    """
    probe = probe_directory(settings)
    for part in ("u", "w", "m"):
        (probe / part).mkdir(parents=True)
    mount_overlay(probe / "m", overlay_options([guest_image], probe / "u", probe / "w"))
    try:
        await podman.start(probe / "m")
    finally:
        unmount(probe / "m", detach=True)
        shutil.rmtree(probe)
