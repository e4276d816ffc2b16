# SPDX-License-Identifier: GPL-3.0-or-later
"""Tables on a terminal and in a pipe: no column's text is ever cut off."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from rich.console import Console
from rich.table import Table

_WIDEST = 10_000
"""Columns."""


def show(columns: Sequence[str], rows: Iterable[Sequence[str]]) -> None:
    """Print a table: folded into a terminal's width, as wide as it is where there is none."""
    table = Table()
    for column in columns:
        table.add_column(column, overflow="fold")
    for row in rows:
        table.add_row(*row)
    console = Console(highlight=False, markup=False)
    if not console.is_terminal:
        unbounded = console.options.update(max_width=_WIDEST)
        console.width = console.measure(table, options=unbounded).maximum
    console.print(table)
