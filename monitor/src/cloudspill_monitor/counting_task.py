#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-3.0-or-later
"""A CPU-bound task that counts for ever and keeps its count: `count.py CHECKPOINT [--duty 0.5]`.

It goes on from the checkpoint if there is one, and writes it every few seconds and when it is
asked to stop (SIGTERM, SIGINT). It needs nothing but Python, here and on any VM.
"""

from __future__ import annotations

import argparse
import os
import signal
import sys
import time
from pathlib import Path

_BATCH = 200_000
_REPORT_SECONDS = 5.0


def main() -> int:
    """Count until a signal comes; returns the exit status."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("checkpoint", type=Path, help="file that holds the count")
    parser.add_argument("--duty", type=float, default=1.0, help="fraction of one core to use")
    arguments = parser.parse_args()
    stop: list[int] = []
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda received, _: stop.append(received))
    count = _read(arguments.checkpoint)
    _say(f"counting from {count} in process {os.getpid()}")
    reported = time.monotonic()
    while not stop:
        started = time.process_time()
        for _ in range(_BATCH):
            count += 1
        if arguments.duty < 1.0:
            time.sleep((time.process_time() - started) * (1.0 / arguments.duty - 1.0))
        if time.monotonic() - reported >= _REPORT_SECONDS:
            reported = time.monotonic()
            _write(arguments.checkpoint, count)
            _say(f"at {count} in process {os.getpid()}")
    _write(arguments.checkpoint, count)
    _say(f"stopped at {count}")
    return 0


def _read(checkpoint: Path) -> int:
    try:
        return int(checkpoint.read_text())
    except FileNotFoundError:
        return 0


def _write(checkpoint: Path, count: int) -> None:
    fresh = checkpoint.with_name(f"{checkpoint.name}.new")
    fresh.write_text(f"{count}\n")
    fresh.replace(checkpoint)  # whole or not at all


def _say(text: str) -> None:
    sys.stdout.write(f"{text}\n")
    sys.stdout.flush()


if __name__ == "__main__":
    sys.exit(main())
