# SPDX-License-Identifier: GPL-3.0-or-later
"""Taking back what a transaction wrote, when the operation that it opened fails.

Others may have written since: their changes stay.
"""

from __future__ import annotations

from cloudspill_sandbox.compute.operations import Writes
from cloudspill_sandbox.engine.call import Document
from cloudspill_sandbox.engine.store import Store, Transaction


def rollback(store: Store, tx: Transaction) -> Writes:
    """Return what takes back all that a transaction has written so far.

    Call it before the operation is opened, which shall stay.
    """
    changes = {name: (store.get(name), after) for name, after in tx.writes.items()}

    def take_back(later: Transaction) -> None:
        for name, (before, after) in changes.items():
            now = later.get(name)
            if now is not None and before is not None and after is not None:
                later.put(name, _restored(now, before, after))
            elif now == after and before is None:
                later.delete(name)
            elif now == after and before is not None:
                later.put(name, before)

    return take_back


def _restored(now: Document, before: Document, after: Document) -> Document:
    """Return a document whose fields are as before where they are as after."""
    restored = {
        key: before.get(key) if now.get(key) == after.get(key) else now.get(key)
        for key in now | before
    }
    return {key: value for key, value in restored.items() if value is not None}
