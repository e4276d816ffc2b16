# SPDX-License-Identifier: GPL-3.0-or-later
"""What is made before a sandbox starts, and removed when one has died: needs no running daemon."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from cloudspill_sandbox.front.tls import CERTIFICATE, ensure_authority
from cloudspill_sandbox.network.router import NamespaceNetwork
from cloudspill_sandbox.runtime import leftovers
from cloudspill_sandbox.runtime.guest_image import ensure_guest_image
from cloudspill_sandbox.settings import Settings

Progress = Callable[[str], None]


async def guest_image(settings: Settings, progress: Progress) -> Path:
    """Return the guest's root file system, built when it is missing; guests trust our authority.

    Raises:
        AuthorityError: the host's certificate authority is damaged.
        GuestImageError: it could not be built.
    """
    ensure_authority(settings.ca_dir)
    return await ensure_guest_image(settings, [settings.ca_dir / CERTIFICATE], progress)


async def sweep(settings: Settings) -> bool:
    """Remove from the host what a dead sandbox left; volumes stay. Return whether there was any.

    The caller holds the sandbox's lock.
    """
    traces = (settings.environment_file, settings.admin_socket)
    found = any(path.exists() for path in (*traces, leftovers.podman_directory(settings)))
    if settings.owns_host:
        leftovers.sweep(settings)
        await NamespaceNetwork(settings).stop()
    for path in traces:
        path.unlink(missing_ok=True)
    return found
