# SPDX-License-Identifier: GPL-3.0-or-later
"""setLabels, the same for every resource that has labels.

https://cloud.google.com/compute/docs/labeling-resources.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from cloudspill_sandbox.compute import documents, names
from cloudspill_sandbox.compute.handlers import CloudHandler
from cloudspill_sandbox.compute.lookup import Locate, found
from cloudspill_sandbox.engine.call import Call, Document

if TYPE_CHECKING:
    from cloudspill_sandbox.compute.cloud import Cloud


def _as_it_is(document: Document) -> Document:
    return document


def set_labels(locate: Locate, collection: str) -> CloudHandler:
    """Return the setLabels of a resource of which nothing else changes with its labels.

    Args:
        locate: finds its name: zonal, regional or worldwide.
        collection: what many are called, `addresses`.
    """

    async def answer(cloud: Cloud, call: Call) -> Document:
        return await replace(cloud, call, locate(call, collection, "resource"))

    return answer


async def replace(
    cloud: Cloud,
    call: Call,
    name: str,
    finish: Callable[[Document], Document] = _as_it_is,
) -> Document:
    """Replace all labels of a resource; answers the operation.

    Args:
        finish: what else changes with the labels.

    Raises:
        ApiError: 404, 412 for a stale fingerprint, 400 for a bad label.
    """
    with cloud.transaction() as tx:
        current = found(tx, name)
        documents.check_fingerprint(
            call.body.get("labelFingerprint"), current["labelFingerprint"], "labels"
        )
        labels = names.check_labels("labels", call.body.get("labels"))
        tx.put(name, finish(documents.labelled(current, labels)))
        operation = cloud.operations.open(tx, call, "setLabels", name)
        cloud.operations.close(tx, operation)
    return found(cloud.store, operation)
