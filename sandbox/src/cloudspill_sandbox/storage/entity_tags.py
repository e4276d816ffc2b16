# SPDX-License-Identifier: GPL-3.0-or-later
"""Entity tags: opaque to clients, the same for the same versions of a resource."""

from __future__ import annotations

import base64


def entity_tag(*versions: int) -> str:
    """Return the tag of a resource: `CAE=` for a bucket of metageneration 1.

    Google's tags are a protocol buffer message of the version numbers in base64, so a tag made
    here looks like Google's.

    Args:
        versions: metageneration of a bucket; generation and metageneration of an object.
    """
    message = bytearray()
    for field, version in enumerate(versions, start=1):
        message.append(field << 3)
        message += _varint(version)
    return base64.b64encode(message).decode()


def _varint(number: int) -> bytes:
    encoded = bytearray()
    while number > 127:
        encoded.append(number & 127 | 128)
        number >>= 7
    encoded.append(number)
    return bytes(encoded)
