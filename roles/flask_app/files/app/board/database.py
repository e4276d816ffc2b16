# SPDX-License-Identifier: GPL-3.0-or-later
"""The entries and the SQLite file that holds them."""

from __future__ import annotations

import sqlite3
import time

import click
from flask import Flask, current_app, g

SCHEMA = """
CREATE TABLE IF NOT EXISTS entry (
    id INTEGER PRIMARY KEY,
    written_at TEXT NOT NULL,
    body TEXT NOT NULL
);
"""
FIRST_ENTRY = "The database of this machine is set up."


def connection() -> sqlite3.Connection:
    """The connection of the present request or command; opened when first asked for."""
    if "connection" not in g:
        g.connection = sqlite3.connect(current_app.config["DATABASE"])
        g.connection.row_factory = sqlite3.Row
    opened: sqlite3.Connection = g.connection
    return opened


def entries() -> list[sqlite3.Row]:
    """All entries, the newest first."""
    return connection().execute("SELECT * FROM entry ORDER BY id DESC").fetchall()


def add(body: str) -> None:
    """Write an entry."""
    written_at = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())
    with connection() as transaction:
        transaction.execute(
            "INSERT INTO entry (written_at, body) VALUES (?, ?)", (written_at, body)
        )


@click.command("init-db")
def init_db() -> None:
    """Make the table and the first entry, where they do not exist."""
    connection().executescript(SCHEMA)
    if not entries():
        add(FIRST_ENTRY)
    click.echo("The database is set up.")


@click.command("add-entry")
@click.argument("body")
def add_entry(body: str) -> None:
    """Write an entry."""
    add(body)


def register(app: Flask) -> None:
    """Give the application its commands, and close the connection after each request."""
    app.cli.add_command(init_db)
    app.cli.add_command(add_entry)

    @app.teardown_appcontext
    def close(_error: BaseException | None) -> None:
        opened = g.pop("connection", None)
        if opened is not None:
            opened.close()
