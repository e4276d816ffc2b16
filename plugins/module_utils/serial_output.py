# SPDX-License-Identifier: GPL-3.0-or-later
# GNU General Public License v3.0+ (see https://www.gnu.org/licenses/gpl-3.0.txt)
"""What an instance writes on its serial console."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from .compute import Compute


class SerialOutput:
    """The serial output of an instance, read piece by piece.

    https://cloud.google.com/compute/docs/reference/rest/v1/instances/getSerialPortOutput: `next`
    of one answer is `start` of the next.
    """

    def __init__(self, compute: Compute, instance: str) -> None:
        """Read nothing yet."""
        self._compute = compute
        self._reference = f"{instance}/serialPort"
        self._start = "0"
        self._text = ""

    @property
    def lines(self) -> list[str]:
        """All lines so far."""
        return self._text.splitlines()

    @property
    def whole_lines(self) -> list[str]:
        """The lines that have ended: not the one that is being written."""
        return self._text[: self._text.rfind("\n") + 1].splitlines()

    def read(self) -> None:
        """Take what has come since the last time."""
        piece = self._compute.get(self._reference, start=self._start)
        self._text += piece.get("contents", "")
        self._start = str(piece.get("next", self._start))

    def last(self, pattern: re.Pattern[str]) -> str:
        """The last match of a pattern, or nothing."""
        found = [match[0] for match in pattern.finditer(self._text)]
        return found[-1].strip() if found else ""
