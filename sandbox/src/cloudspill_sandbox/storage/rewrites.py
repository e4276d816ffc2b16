# SPDX-License-Identifier: GPL-3.0-or-later
"""Rewrites of several calls: each says how far it is and gives a token for the next.

Bytes move only between locations or storage classes; else one call is enough, as for a caller who
does not limit what a call may rewrite.
https://cloud.google.com/storage/docs/json_api/v1/objects/rewrite
"""

from __future__ import annotations

import secrets
from dataclasses import dataclass

from cloudspill_sandbox.engine.call import Call, Document
from cloudspill_sandbox.engine.errors import ApiError
from cloudspill_sandbox.engine.store import Store, Transaction
from cloudspill_sandbox.storage.buckets import found
from cloudspill_sandbox.storage.cloud import StorageCloud
from cloudspill_sandbox.storage.names import REWRITES
from cloudspill_sandbox.storage.refusals import invalid, no_such_bucket
from cloudspill_sandbox.storage.versions import Destination

LIFETIME = 7 * 86400
"""Seconds until a token does not hold any more."""

_UNIT = 1024 * 1024
_PATH = ("sourceBucket", "sourceObject", "destinationBucket", "destinationObject")


@dataclass(frozen=True, slots=True)
class Progress:
    """How far a rewrite is.

    Attributes:
        done: bytes.
        token: for the next call; None when nothing is left.
    """

    done: int
    token: str | None


def advance(
    cloud: StorageCloud, call: Call, source: Document, target: Destination, storage_class: str
) -> Progress:
    """Go on with a rewrite, or begin it.

    Raises:
        ApiError: 400, the token is none of this rewrite, or the limit cannot be; 404, the bucket
            into which it was begun is gone.
    """
    size = int(source["size"])
    limit = int(call.query.get("maxBytesRewrittenPerCall") or 0)
    if limit % _UNIT or limit < 0:
        raise invalid("Invalid argument. maxBytesRewrittenPerCall must be a multiple of 1 MiB.")
    token = call.query.get("rewriteToken")
    what = {key: call.path[key] for key in _PATH} | {"generation": source["generation"]}
    done = _done(cloud, token, what, target) if token else 0
    moves = (
        found(cloud.store, call.path["destinationBucket"])["location"]
        != found(cloud.store, call.path["sourceBucket"])["location"]
        or storage_class != source["storageClass"]
    )
    if not limit or not moves or done + limit >= size:
        return Progress(size, None)
    token = token or secrets.token_urlsafe(48)
    rewrite = {
        "what": what,
        "bucketGeneration": target.bucket_generation,
        "done": done + limit,
        "created": cloud.clock(),
    }
    cloud.store.put(f"{REWRITES}/{token}", rewrite)
    return Progress(done + limit, token)


def finish(tx: Transaction, token: str) -> None:
    """Forget a rewrite whose last call writes the object; its token is good for no other.

    Raises:
        ApiError: 400, another call was the last.
    """
    if tx.get(f"{REWRITES}/{token}") is None:
        raise _not_of_this_rewrite()
    tx.delete(f"{REWRITES}/{token}")


def sweep(store: Store, now: float) -> None:
    """Forget rewrites whose time is over."""
    rewrites = store.children(REWRITES).items()
    over = [
        token
        for token, rewrite in rewrites
        # A release that did not tell a bucket from another of its name may have begun it.
        if "bucketGeneration" not in rewrite or rewrite["created"] + LIFETIME <= now
    ]
    with store.transaction() as tx:
        for token in over:
            tx.delete(f"{REWRITES}/{token}")


def _done(cloud: StorageCloud, token: str, what: Document, target: Destination) -> int:
    rewrite = cloud.store.get(f"{REWRITES}/{token}")
    if rewrite is None or rewrite["what"] != what:
        raise _not_of_this_rewrite()
    if rewrite["bucketGeneration"] != target.bucket_generation:
        raise no_such_bucket()
    return int(rewrite["done"])


def _not_of_this_rewrite() -> ApiError:
    return invalid("Invalid argument. The rewriteToken is none of this rewrite.")
