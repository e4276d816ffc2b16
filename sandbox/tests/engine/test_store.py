# SPDX-License-Identifier: GPL-3.0-or-later
"""The file behind the documents: private, whole, and refused in words when it is neither."""

from __future__ import annotations

import resource
import sqlite3
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from cloudspill_sandbox.engine.store import Store, StoreDamagedError, StoreVersionError


@pytest.fixture
def database(tmp_path: Path) -> Path:
    return tmp_path / "state.sqlite3"


@contextmanager
def files_no_larger_than(size: int) -> Iterator[None]:
    """Let every write beyond a size fail, as on a disk that is full."""
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, limits[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)


def test_only_the_owner_reads_the_database(database: Path) -> None:
    """Metadata may hold secrets: Google shows it to nobody without a permission."""
    database.touch(0o644)  # an earlier version's
    store = Store(database)
    store.put("projects/p/global/networks/n", {"name": "n"})
    modes = {stat.S_IMODE(file.stat().st_mode) for file in database.parent.iterdir()}
    store.close()
    assert modes == {0o600}


@pytest.mark.parametrize("content", [b"no database " * 500, b"SQLite format 3\0" + bytes(5000)])
def test_a_damaged_database_is_refused_with_the_remedy(database: Path, content: bytes) -> None:
    database.write_bytes(content)
    with pytest.raises(StoreDamagedError, match=r"state\.sqlite3.*cloudspill-sandbox reset"):
        Store(database)
    assert database.read_bytes() == content


def test_a_damaged_document_is_refused_with_the_remedy(database: Path) -> None:
    Store(database).close()
    with sqlite3.connect(database) as connection:
        connection.execute("INSERT INTO documents VALUES ('projects/p', '{')")
    with pytest.raises(StoreDamagedError, match=r"state\.sqlite3.*cloudspill-sandbox reset"):
        Store(database)


def test_the_database_of_another_version_is_refused_and_left_alone(database: Path) -> None:
    with sqlite3.connect(database) as connection:
        connection.execute("PRAGMA user_version=99")
    content = database.read_bytes()
    with pytest.raises(StoreVersionError, match=r"99.*cloudspill-sandbox reset"):
        Store(database)
    assert database.read_bytes() == content


def test_a_write_that_finds_the_disk_full_is_refused_and_nothing_changes(database: Path) -> None:
    store = Store(database)
    store.put("projects/p", {"name": "p"})
    with (
        files_no_larger_than(64 * 1024),
        pytest.raises(sqlite3.OperationalError, match=r"full|disk I/O"),
    ):
        store.put("projects/large", {"text": "x" * 10_000_000})
    assert store.get("projects/large") is None
    store.put("projects/q", {"name": "q"})
    store.close()
    again = Store(database)
    assert (again.get("projects/q"), again.get("projects/large")) == ({"name": "q"}, None)
    again.close()
