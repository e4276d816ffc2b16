# SPDX-License-Identifier: GPL-3.0-or-later
"""The board: a page with a list of entries."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from flask import Flask

from . import database, pages


def create_app(settings: Mapping[str, Any] | None = None) -> Flask:
    """Make the application.

    Args:
        settings: Flask settings that replace the defaults: `DATABASE` (path of the SQLite file)
            and `TITLE`.
    """
    app = Flask(__name__, instance_relative_config=True)
    app.config.from_mapping(
        DATABASE=str(Path(app.instance_path) / "board.sqlite3"),
        TITLE="Cloudspill board",
    )
    app.config.from_mapping(settings or {})
    Path(app.config["DATABASE"]).parent.mkdir(parents=True, exist_ok=True)
    database.register(app)
    app.register_blueprint(pages.blueprint)
    return app
