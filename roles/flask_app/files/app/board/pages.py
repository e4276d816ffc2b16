# SPDX-License-Identifier: GPL-3.0-or-later
"""What the board answers."""

from __future__ import annotations

import socket
import sqlite3
from typing import Any

from flask import Blueprint, current_app, render_template

from . import database

blueprint = Blueprint("pages", __name__)


@blueprint.get("/")
def index() -> str:
    """The page."""
    return render_template(
        "index.html",
        title=current_app.config["TITLE"],
        entries=database.entries(),
        hostname=socket.gethostname(),
    )


@blueprint.get("/health")
def health() -> tuple[dict[str, Any], int]:
    """Whether the database can be read."""
    try:
        count = len(database.entries())
    except sqlite3.Error as error:
        return {"status": "failed", "reason": str(error)}, 503
    return {"status": "ok", "entries": count}, 200
