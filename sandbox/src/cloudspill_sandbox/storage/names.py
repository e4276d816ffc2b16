# SPDX-License-Identifier: GPL-3.0-or-later
"""Names of documents: where buckets, objects and their versions lie in the store."""

from __future__ import annotations

from urllib.parse import quote, unquote

BUCKETS = "buckets"
UPLOADS = "uploads"
REWRITES = "rewrites"


def bucket_name(bucket: str) -> str:
    """Return `buckets/<bucket>`."""
    return f"{BUCKETS}/{bucket}"


def objects_of(bucket: str) -> str:
    """Return the collection of a bucket's live objects."""
    return f"{BUCKETS}/{bucket}/objects"


def generations_of(bucket: str) -> str:
    """Return the collection of a bucket's noncurrent versions."""
    return f"{BUCKETS}/{bucket}/generations"


def object_name(bucket: str, name: str) -> str:
    """Return the document's name of an object's live version."""
    return f"{objects_of(bucket)}/{quote(name, safe='')}"


def generation_name(bucket: str, name: str, generation: str) -> str:
    """Return the document's name of a noncurrent version."""
    return f"{generations_of(bucket)}/{quote(name, safe='')}#{generation}"


def name_of_key(key: str) -> str:
    """Return the object's name out of the last segment of either document's name."""
    return unquote(key.partition("#")[0])
