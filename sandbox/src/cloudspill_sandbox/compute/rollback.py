# SPDX-License-Identifier: GPL-3.0-or-later
"""Taking back what a transaction wrote, when the operation that it opened fails.

Others may have written since. Fields that this transaction left alone are theirs; once they have
changed one that it wrote, theirs is the last word on all of it, for its documents belong together.
So it is once they made one anew under its name: that has another id, and is none of this one's.
A fingerprint is nobody's: it follows from the rest.
"""

from __future__ import annotations

from dataclasses import dataclass

from cloudspill_sandbox.compute import documents, names
from cloudspill_sandbox.compute.operations import Writes
from cloudspill_sandbox.engine.call import Document
from cloudspill_sandbox.engine.store import Store, Transaction

_FINGERPRINT = "fingerprint"
_ID = "id"


def rollback(store: Store, tx: Transaction, *, needs: str = "") -> Writes:
    """Return what takes back all that a transaction has written so far.

    Call it before the operation is opened, which shall stay.

    Args:
        needs: link of what these documents point to as they were before, and which nobody keeps
            for them meanwhile; where it is gone they stay as they are.
    """
    changes = [_Change(name, store.get(name), after) for name, after in tx.writes.items()]
    ground = names.relative(needs)
    identity = _identity(store, ground)

    def take_back(later: Transaction) -> None:
        if _identity(later, ground) != identity:
            return
        if all(change.stands(later) for change in changes):
            for change in changes:
                change.take_back(later)

    return take_back


@dataclass(frozen=True, slots=True)
class _Change:
    """What became of one document; None where it is not there."""

    name: str
    before: Document | None
    after: Document | None

    @property
    def fields(self) -> set[str]:
        """The fields that differ."""
        before, after = _content(self.before or {}), _content(self.after or {})
        return {key for key in before | after if before.get(key) != after.get(key)}

    def stands(self, tx: Transaction) -> bool:
        """Whether nobody has changed the same since."""
        now = tx.get(self.name)
        if now is None or self.before is None or self.after is None:
            return now == self.after
        return all(now.get(key) == self.after.get(key) for key in self.fields | {_ID})

    def take_back(self, tx: Transaction) -> None:
        """Write the fields as they were before."""
        if self.before is None:
            tx.delete(self.name)
            return
        now = tx.get(self.name) or {}
        rest = {key: value for key, value in _content(now).items() if key not in self.fields}
        rest |= {key: self.before[key] for key in self.fields & self.before.keys()}
        if now.get(_FINGERPRINT) != (self.after or {}).get(_FINGERPRINT):
            rest |= {_FINGERPRINT: documents.fingerprint(rest)}
        elif _FINGERPRINT in self.before:
            rest |= {_FINGERPRINT: self.before[_FINGERPRINT]}
        tx.put(self.name, rest)


def _identity(store: Store | Transaction, name: str) -> object:
    """Return the id of what has this name, None where nothing has."""
    return (store.get(name) or {}).get(_ID)


def _content(document: Document) -> Document:
    return {key: value for key, value in document.items() if key != _FINGERPRINT}
