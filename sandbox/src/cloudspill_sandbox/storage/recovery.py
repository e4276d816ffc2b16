# SPDX-License-Identifier: GPL-3.0-or-later
"""What a start finds of the life before: bytes that nothing names, uploads at their end."""

from __future__ import annotations

import logging
from collections.abc import Iterator

from cloudspill_sandbox.engine.store import Store
from cloudspill_sandbox.storage import resumable, rewrites
from cloudspill_sandbox.storage.cloud import StorageCloud
from cloudspill_sandbox.storage.names import BUCKETS, UPLOADS
from cloudspill_sandbox.storage.objects import CONTENT

_LOG = logging.getLogger(__name__)


def recover(cloud: StorageCloud) -> None:
    """Make the directory of the objects' bytes hold what the documents name, and no more."""
    cloud.blobs.prepare()
    forget_expired(cloud)
    resumable.reopen(cloud)
    removed = cloud.blobs.sweep(set(_named(cloud.store)))
    if removed:
        _LOG.info("removed %d files of uploads that were cut short", removed)


def forget_expired(cloud: StorageCloud) -> None:
    """Forget uploads and rewrites that were begun a week ago, or by another release."""
    resumable.sweep(cloud)
    rewrites.sweep(cloud.store, cloud.clock())


def _named(store: Store) -> Iterator[str]:
    for kind in ("objects", "generations"):
        for _, documents in store.collections(BUCKETS, kind):
            yield from (document[CONTENT] for document in documents.values())
    yield from (upload[CONTENT] for upload in store.children(UPLOADS).values())
