# SPDX-License-Identifier: GPL-3.0-or-later
# GNU General Public License v3.0+ (see https://www.gnu.org/licenses/gpl-3.0.txt)
"""Lines of progress, written where the action plugin on the controller reads them."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Callable
from pathlib import Path


def reporter(path: str | None) -> Callable[[str], None]:
    """Return what adds lines to a file, whole lines from whichever thread; nothing to None.

    Nobody reading any more, or no right to write as the user that the module runs as, stops no
    work: what is being made would be lost to its result.
    """
    lock = threading.Lock()

    def report(line: str) -> None:
        if path is not None:
            with lock, contextlib.suppress(OSError), Path(path).open("a", encoding="utf-8") as file:
                file.write(f"{line}\n")

    return report
