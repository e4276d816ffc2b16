# SPDX-License-Identifier: GPL-3.0-or-later
"""The bytes of an object on their way to a client: whole, a range, or unpacked.

https://cloud.google.com/storage/docs/json_api/v1/objects/get,
https://cloud.google.com/storage/docs/transcoding
"""

from __future__ import annotations

import re
import zlib
from email.utils import formatdate
from typing import BinaryIO

from cloudspill_sandbox.engine.call import Call, Document, Reply
from cloudspill_sandbox.engine.errors import ApiError
from cloudspill_sandbox.storage.checksums import BLOCK
from cloudspill_sandbox.storage.cloud import StorageCloud
from cloudspill_sandbox.storage.objects import CONTENT, etag, is_header_value, media_type
from cloudspill_sandbox.storage.timestamps import seconds_of

_RANGE = re.compile(r"bytes=(\d{0,19})-(\d{0,19})", re.ASCII | re.IGNORECASE)
_TOKEN = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")
"""What may be the name of a header (RFC 9110, section 5.6.2)."""

_METADATA_HEADERS = {
    "cacheControl": "Cache-Control",
    "contentDisposition": "Content-Disposition",
    "contentLanguage": "Content-Language",
}


class FilePart:
    """Some bytes of a file.

    Args:
        file: closed with the part.
        size: how many bytes are sent.
    """

    def __init__(self, file: BinaryIO, start: int, size: int) -> None:
        self._file = file
        self._left = size
        self.size: int | None = size
        file.seek(start)

    def read(self) -> bytes:
        """Return the next bytes, b"" at the end."""
        block = self._file.read(min(BLOCK, self._left))
        if not block and self._left:
            raise OSError(f"{self._file.name} is {self._left} bytes shorter than its document says")
        self._left -= len(block)
        return block

    def close(self) -> None:
        """Let go of the file."""
        self._file.close()


class Unpacked:
    """The bytes that were compressed with gzip; how many is not known before.

    A file may have several members one after the other (RFC 1952, section 2.2).
    """

    size: int | None = None

    def __init__(self, file: BinaryIO) -> None:
        self._file = file
        self._gzip = _member()

    def read(self) -> bytes:
        """Return the next bytes, b"" at the end."""
        while True:
            packed = self._gzip.unconsumed_tail or self._gzip.unused_data or self._file.read(BLOCK)
            if not packed:
                return self._gzip.flush()
            if self._gzip.eof:
                packed = packed.lstrip(b"\0")  # padding between members, or behind the last
                self._gzip = _member()
            if block := self._gzip.decompress(packed, BLOCK):
                return block

    def close(self) -> None:
        """Let go of the file."""
        self._file.close()


def _member() -> zlib._Decompress:
    return zlib.decompressobj(zlib.MAX_WBITS | 16)


def media(cloud: StorageCloud, call: Call, version: Document) -> Reply:
    """Return the bytes of a version, as `alt=media` asks for them.

    Raises:
        ApiError: 416, the range asked for is behind the object's end.
    """
    headers = _headers(version)
    if _is_to_be_unpacked(call, version):
        file = cloud.blobs.open(version[CONTENT])
        if _is_gzip(file):
            headers |= {"Warning": "214 UploadServer gunzipped", "Vary": "Accept-Encoding"}
            return Reply(200, Unpacked(file), headers)
        file.close()  # whoever said so was wrong: it is sent as it is
    if "contentEncoding" in version:
        headers["Content-Encoding"] = version["contentEncoding"]
    size = int(version["size"])
    asked = _range(call.wire.headers.get("Range"), size)
    if asked is None:
        return Reply(200, FilePart(cloud.blobs.open(version[CONTENT]), 0, size), headers)
    start, end = asked
    headers["Content-Range"] = f"bytes {start}-{end - 1}/{size}"
    part = FilePart(cloud.blobs.open(version[CONTENT]), start, end - start)
    return Reply(206, part, headers)


def _headers(version: Document) -> dict[str, str]:
    hashes = {"crc32c": version["crc32c"], "md5": version.get("md5Hash")}
    headers = {
        "Content-Type": media_type(version),
        "ETag": etag(version),
        "Last-Modified": formatdate(seconds_of(version["updated"]), usegmt=True),
        "Accept-Ranges": "bytes",
        "X-Goog-Generation": version["generation"],
        "X-Goog-Metageneration": version["metageneration"],
        "X-Goog-Hash": ",".join(f"{name}={value}" for name, value in hashes.items() if value),
        "X-Goog-Storage-Class": version["storageClass"],
        "X-Goog-Stored-Content-Length": version["size"],
        "X-Goog-Stored-Content-Encoding": version.get("contentEncoding", "identity"),
    }
    headers |= {
        header: version[field] for field, header in _METADATA_HEADERS.items() if field in version
    }
    metadata: dict[str, str] = version.get("metadata", {})
    return headers | {
        f"X-Goog-Meta-{key}": value
        for key, value in metadata.items()
        if _TOKEN.fullmatch(key) and is_header_value(value)
    }


def _is_to_be_unpacked(call: Call, version: Document) -> bool:
    return (
        version.get("contentEncoding") == "gzip"
        and "gzip" not in call.wire.headers.get("Accept-Encoding", "").lower()
        and "no-transform" not in version.get("cacheControl", "")
    )


def _is_gzip(file: BinaryIO) -> bool:
    magic = file.read(2)
    file.seek(0)
    return magic == b"\x1f\x8b"


def _range(header: str | None, size: int) -> tuple[int, int] | None:
    """Return start and end (exclusive) of the one range asked for; None for the whole.

    A header that is none, or that names several ranges, is as good as none (RFC 9110, 14.2).
    """
    match = _RANGE.fullmatch(header.strip()) if header else None
    if match is None or match.groups() == ("", ""):
        return None
    first, last = match.groups()
    if not first:
        start, end = max(0, size - int(last)), size
    else:
        start, end = int(first), min(size, int(last) + 1) if last else size
        if last and int(last) < start:
            return None
    if start >= size:
        raise ApiError(
            416,
            "requestedRangeNotSatisfiable",
            "Request range not satisfiable",
            location="Range",
            headers={"Content-Range": f"bytes */{size}"},
        )
    return start, end
