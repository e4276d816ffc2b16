# SPDX-License-Identifier: GPL-3.0-or-later
"""Documents by relative name: memory is the read model, SQLite holds it.

A transaction is committed to SQLite before memory shows it and before anyone is told of it, so an
acknowledged write survives a kill of the process at any moment.
"""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from types import MappingProxyType

from cloudspill_sandbox.engine.call import Document

SCHEMA_VERSION = 1
_EMPTY: Mapping[str, Document] = MappingProxyType({})


class StoreVersionError(RuntimeError):
    """The database was written by another version of the sandbox."""


class StoreDamagedError(RuntimeError):
    """The database cannot be read; the message says which file and what to do."""


class Transaction:
    """Writes that become visible and durable together."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self.writes: dict[str, Document | None] = {}

    def get(self, name: str) -> Document | None:
        """Return the document as this transaction would leave it."""
        if name in self.writes:
            return self.writes[name]
        return self._store.get(name)

    def put(self, name: str, document: Document) -> None:
        """Create or replace `name`; the document must not be changed afterwards."""
        self.writes[name] = document

    def delete(self, name: str) -> None:
        """Remove `name`; removing what is absent is no error."""
        self.writes[name] = None


class Store:
    """All documents of a sandbox.

    Names are relative resource names, `projects/p/zones/z/instances/i`: a collection
    (`projects/p/zones/z/instances`) and a last segment. Readers get the stored dict itself and
    must not change it.

    Args:
        path: the SQLite file, made when absent, mode 0600 (metadata may hold secrets); None keeps
            everything in memory (tests).

    Raises:
        StoreVersionError: the file belongs to another version; it is left as it is.
        StoreDamagedError: the file is no database, or a damaged one.
    """

    def __init__(self, path: Path | None = None) -> None:
        self._collections: dict[str, dict[str, Document]] = {}
        if path is not None:
            path.touch(0o600)
            path.chmod(0o600)  # SQLite gives its other files the same
        self._database = sqlite3.connect(path or ":memory:", isolation_level=None)
        try:
            self._load(path)
        except BaseException as error:
            self._database.close()
            if not _is_damage(error):
                raise
            raise StoreDamagedError(
                f"{path} is damaged ({error}): put a copy of it back, or run "
                "`cloudspill-sandbox reset` to start with an empty cloud"
            ) from error

    def _load(self, path: Path | None) -> None:
        version = self._checked_version(path)
        # NORMAL in WAL mode loses nothing when the process dies, only when the host's power does.
        self._database.execute("PRAGMA journal_mode=WAL")
        self._database.execute("PRAGMA synchronous=NORMAL")
        if version == 0:
            self._database.execute(f"PRAGMA user_version={SCHEMA_VERSION}")
        self._database.execute(
            "CREATE TABLE IF NOT EXISTS documents (name TEXT PRIMARY KEY, body TEXT NOT NULL)"
        )
        for name, body in self._database.execute("SELECT name, body FROM documents ORDER BY rowid"):
            self._show(name, json.loads(body))

    def _checked_version(self, path: Path | None) -> int:
        """Return the version that the file has, 0 for a new one."""
        version: int = self._database.execute("PRAGMA user_version").fetchone()[0]
        if version not in (0, SCHEMA_VERSION):
            raise StoreVersionError(
                f"{path} has schema version {version}, this sandbox reads {SCHEMA_VERSION}: "
                "run `cloudspill-sandbox reset` to start with an empty cloud"
            )
        return version

    def get(self, name: str) -> Document | None:
        """Return the document of this name, or None."""
        collection, _, key = name.rpartition("/")
        return self._collections.get(collection, _EMPTY).get(key)

    def children(self, collection: str) -> Mapping[str, Document]:
        """Return the documents of a collection by last segment, oldest first."""
        return self._collections.get(collection, _EMPTY)

    def collections(self, prefix: str, kind: str) -> Iterator[tuple[str, Mapping[str, Document]]]:
        """Yield (collection name, documents) below `prefix` whose last segment is `kind`.

        `collections("projects/p", "instances")` yields one pair for each zone that has any.
        """
        for collection, documents in self._collections.items():
            if (
                documents
                and collection.startswith(prefix + "/")
                and collection.endswith("/" + kind)
            ):
                yield collection, documents

    @contextmanager
    def transaction(self) -> Iterator[Transaction]:
        """Collect writes; commit them when the block ends, drop them when it raises."""
        transaction = Transaction(self)
        yield transaction
        if transaction.writes:
            self._commit(transaction.writes)

    def put(self, name: str, document: Document) -> None:
        """Write one document in a transaction of its own."""
        self._commit({name: document})

    def delete(self, name: str) -> None:
        """Remove one document in a transaction of its own."""
        self._commit({name: None})

    def close(self) -> None:
        """Close the database."""
        self._database.close()

    def _commit(self, writes: Mapping[str, Document | None]) -> None:
        removed = [(name,) for name, document in writes.items() if document is None]
        written = [
            (name, json.dumps(document, separators=(",", ":")))
            for name, document in writes.items()
            if document is not None
        ]
        self._database.execute("BEGIN IMMEDIATE")
        try:
            self._database.executemany("DELETE FROM documents WHERE name=?", removed)
            self._database.executemany(
                "INSERT INTO documents VALUES (?, ?) "
                "ON CONFLICT (name) DO UPDATE SET body=excluded.body",
                written,
            )
            self._database.execute("COMMIT")
        except BaseException:
            if self._database.in_transaction:  # SQLite itself rolls back when the disk is full
                self._database.execute("ROLLBACK")
            raise
        for name, document in writes.items():
            self._show(name, document)

    def _show(self, name: str, document: Document | None) -> None:
        collection, _, key = name.rpartition("/")
        if document is None:
            self._collections.get(collection, {}).pop(key, None)
        else:
            self._collections.setdefault(collection, {})[key] = document


def _is_damage(error: BaseException) -> bool:
    """Whether an error says that a file's content is wrong, not that the disk or system refuses."""
    if isinstance(error, sqlite3.OperationalError):
        return False
    return isinstance(error, sqlite3.DatabaseError | json.JSONDecodeError)
