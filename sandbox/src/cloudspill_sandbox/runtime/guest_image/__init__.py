# SPDX-License-Identifier: GPL-3.0-or-later
"""The guest image: the root file system that boot disks begin with, built once a host."""

from cloudspill_sandbox.runtime.guest_image.build import ensure_guest_image
from cloudspill_sandbox.runtime.guest_image.in_use import image_in_use
from cloudspill_sandbox.runtime.guest_image.steps import GuestImageError

__all__ = ["GuestImageError", "ensure_guest_image", "image_in_use"]
