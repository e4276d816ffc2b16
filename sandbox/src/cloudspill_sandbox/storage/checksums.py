# SPDX-License-Identifier: GPL-3.0-or-later
"""MD5 and CRC32C of an object's bytes, and what a client says they are.

https://cloud.google.com/storage/docs/data-validation
"""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Mapping
from typing import BinaryIO

import google_crc32c

from cloudspill_sandbox.engine.call import Document
from cloudspill_sandbox.storage.refusals import invalid

BLOCK = 256 * 1024
"""Bytes that are hashed, read or written at once."""

_FIELDS = {"crc32c": "crc32c", "md5": "md5Hash"}
_NAMES = {"crc32c": "CRC32C", "md5Hash": "MD5 hash"}


class Digest:
    """The checksums of bytes that come one block after the other."""

    def __init__(self) -> None:
        self._md5 = hashlib.md5(usedforsecurity=False)
        self._crc32c = google_crc32c.Checksum()
        self.size = 0

    def update(self, block: bytes) -> None:
        """Take the next bytes."""
        self._md5.update(block)
        self._crc32c.update(block)
        self.size += len(block)

    def fields(self) -> Document:
        """Return `size`, `md5Hash` and `crc32c` as an object's resource has them."""
        return {
            "size": str(self.size),
            "md5Hash": base64.b64encode(self._md5.digest()).decode(),
            "crc32c": base64.b64encode(self._crc32c.digest()).decode(),
        }


def digest_of(file: BinaryIO) -> Digest:
    """Return the checksums of the rest of a file. Blocks for the disk."""
    digest = Digest()
    while block := file.read(BLOCK):
        digest.update(block)
    return digest


def expected(headers: Mapping[str, str], body: Document) -> dict[str, str]:
    """Return the checksums that a client gave, in its metadata or its headers, by field.

    https://cloud.google.com/storage/docs/xml-api/reference-headers#xgooghash
    """
    found = {field: body[field] for field in _NAMES if body.get(field)}
    for part in headers.get("X-Goog-Hash", "").split(","):
        name, _, value = part.strip().partition("=")
        if name in _FIELDS and value:
            found[_FIELDS[name]] = value
    if md5 := headers.get("Content-MD5"):
        found["md5Hash"] = md5
    return found


def check(given: Mapping[str, str], calculated: Document) -> None:
    """Refuse bytes that are not what the client meant to send.

    Raises:
        ApiError: 400 as Google words it.
    """
    for field, name in _NAMES.items():
        if field in given and given[field] != calculated[field]:
            raise invalid(
                f'Provided {name} "{given[field]}" doesn\'t match calculated {name} '
                f'"{calculated[field]}".'
            )
