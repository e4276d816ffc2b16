# SPDX-License-Identifier: GPL-3.0-or-later
"""Which volume of the runtime holds the content of a disk, snapshot or image.

The volume's id is the document's numeric id with a letter before it: short, because overlay mounts
name many of them in one page, and never used twice.
"""

from __future__ import annotations

from cloudspill_sandbox.compute import names
from cloudspill_sandbox.compute.catalogue.public_images import BASE_VOLUME, PUBLIC_IMAGES
from cloudspill_sandbox.engine.call import Document

_LETTERS = {"compute#disk": "d", "compute#snapshot": "s", "compute#image": "i"}


def volume_of(document: Document) -> str:
    """Return the id of the volume behind a disk, snapshot or image document."""
    if names.relative(document["selfLink"]) in PUBLIC_IMAGES:
        return BASE_VOLUME
    return _LETTERS[document["kind"]] + str(document["id"])
