# SPDX-License-Identifier: GPL-3.0-or-later
"""CPU traces: CSV files with one CPU percentage a row."""

from __future__ import annotations

import csv
import itertools
import math
import statistics
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

_VALUE_NAMES = ("value", "cpu", "cpu_percent", "cpu_utilization", "utilization")
_DEFAULT_ROW_SECONDS = 1.0


class TraceError(Exception):
    """The trace cannot be used; the message names file, line and remedy."""


@dataclass(frozen=True, slots=True)
class Trace:
    """CPU in percent, one value for each `row_seconds`; `irregular` counts uneven time stamps."""

    name: str
    values: tuple[float, ...]
    row_seconds: float
    irregular: int = 0

    @property
    def seconds(self) -> float:
        """Length of the trace."""
        return len(self.values) * self.row_seconds


def read_trace(path: Path, column: str | None = None, row_seconds: float | None = None) -> Trace:
    """Read `path`: a header line is optional, the CPU column is `column`, else a usual name, else
    the last one. Without `row_seconds` a row lasts as long as the time stamps of the first column
    are apart (median), or 1 s without any.

    Raises TraceError for a file that cannot be read, an empty one, an unknown column, and a value
    that is not a number within 0 to 100.
    """
    try:
        with path.open(newline="", encoding="utf-8-sig") as lines:
            reader = csv.reader(lines)
            rows = [(reader.line_num, row) for row in reader if any(cell.strip() for cell in row)]
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise TraceError(f"{path}: cannot be read as CSV: {error}") from error
    header = rows.pop(0)[1] if rows and _is_header(rows[0][1]) else None
    if not rows:
        raise TraceError(f"{path}: holds no rows; one CPU percentage a row is needed")
    index = _column_index(path, header, column, len(rows[0][1]))
    values = tuple(_value(path, line, row, index) for line, row in rows)
    seconds, irregular = (row_seconds, 0) if row_seconds is not None else _spacing(rows, index)
    if not (math.isfinite(seconds) and seconds > 0):
        raise TraceError(f"{path}: a row must last more than 0 s, not {seconds}")
    return Trace(path.stem, values, seconds, irregular)


def _is_header(row: Sequence[str]) -> bool:
    return all(_number(cell) is None and _timestamp(cell) is None for cell in row)


def _column_index(path: Path, header: Sequence[str] | None, column: str | None, width: int) -> int:
    names = [name.strip().lower() for name in header or ()]
    if column is not None:
        if column.lower() not in names:
            known = ", ".join(names) or "no header line"
            raise TraceError(f"{path}: has no column {column!r} (it has: {known})")
        return names.index(column.lower())
    return next((names.index(name) for name in _VALUE_NAMES if name in names), width - 1)


def _value(path: Path, line: int, row: Sequence[str], index: int) -> float:
    if index >= len(row):
        raise TraceError(f"{path}, line {line}: has {len(row)} columns; CPU is in {index + 1}")
    value = _number(row[index])
    if value is None or not 0.0 <= value <= 100.0:
        raise TraceError(
            f"{path}, line {line}: {row[index]!r} is not a CPU percentage within 0 to 100"
        )
    return value


def _number(cell: str) -> float | None:
    try:
        return float(cell)
    except ValueError:
        return None


def _timestamp(cell: str) -> float | None:
    try:
        return datetime.fromisoformat(cell.strip()).timestamp()
    except ValueError:
        return None


def _spacing(rows: Sequence[tuple[int, Sequence[str]]], index: int) -> tuple[float, int]:
    if index == 0:
        return _DEFAULT_ROW_SECONDS, 0
    stamps = [_timestamp(row[0]) or _number(row[0]) for _, row in rows]
    times = [stamp for stamp in stamps if stamp is not None]
    steps = [b - a for a, b in itertools.pairwise(times)]
    if len(times) < len(stamps) or not steps or statistics.median(steps) <= 0:
        return _DEFAULT_ROW_SECONDS, 0
    median = statistics.median(steps)
    return median, sum(abs(step - median) > median / 2 for step in steps)
