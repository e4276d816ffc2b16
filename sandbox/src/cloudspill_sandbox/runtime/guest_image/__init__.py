# SPDX-License-Identifier: GPL-3.0-or-later
"""The guest image: the root file system that boot disks begin with, built once a host."""

from cloudspill_sandbox.runtime.guest_image.build import GuestImageError, ensure_guest_image

__all__ = ["GuestImageError", "ensure_guest_image"]
