# SPDX-License-Identifier: GPL-3.0-or-later
"""The programs that build a guest image: their progress, and why they failed, in a sentence."""

from __future__ import annotations

import asyncio
import contextlib
import os
import re
from collections import deque
from collections.abc import Callable, Iterable
from pathlib import Path

Progress = Callable[[str], None]

_STEPS = {
    "running apt-get update": "Guest image: reading the package lists",
    "downloading packages": "Guest image: downloading packages",
    "extracting archives": "Guest image: unpacking the essential packages",
    "installing essential": "Guest image: installing the essential packages",
    "installing remaining": "Guest image: installing systemd, ssh and Google's guest agent",
    "running --customize-hook": "Guest image: settings, and packages kept at hand",
}
"""What mmdebstrap says, and what we say."""

_REMEMBERED = 200
_LINE_LIMIT = 1 << 20
_SENTENCE = 300
_COMPLAINT = re.compile(r"E:|ERROR:|error:|dpkg: error|.*No space left on device")
_NO_REASON = re.compile(r"E: (mmdebstrap failed to run|.+ failed)$")


class GuestImageError(RuntimeError):
    """The guest image could not be built; the message says at which step and why."""


async def run_step(what: str, command: list[str], log: Path, progress: Progress) -> None:
    """Run a program, reporting its steps.

    Args:
        what: its name.
        command: program and arguments.
        log: what it says is appended here; several programs may share it.
        progress: called with a sentence at each step that it announces.

    Raises:
        GuestImageError: it failed; the message has its reason and names the log.
        OSError: it could not be started.
    """
    process = await asyncio.create_subprocess_exec(
        *command,
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
        limit=_LINE_LIMIT,
        env={**os.environ, "DEBIAN_FRONTEND": "noninteractive", "LC_ALL": "C.UTF-8"},
    )
    assert process.stdout is not None
    last: deque[str] = deque(maxlen=_REMEMBERED)
    try:
        with log.open("ab", buffering=0) as file:
            async for line in process.stdout:
                with contextlib.suppress(OSError):  # a full disk fails the program, not its log
                    file.write(line)
                text = line.decode(errors="replace").strip()
                last.append(text)
                for said, sentence in _STEPS.items():
                    if said in text:
                        progress(sentence)
        status = await process.wait()
    except BaseException:
        with contextlib.suppress(ProcessLookupError):
            process.kill()
        await process.wait()
        raise
    if status:
        raise GuestImageError(f"{what} failed: {reason(last)} (its log is {log})")


def reason(said: Iterable[str]) -> str:
    """Return the last line that tells why a program failed, shortened to a sentence."""
    lines = [line for line in said if line]
    complaints = [line for line in lines if _COMPLAINT.match(line) and not _NO_REASON.match(line)]
    chosen = (complaints or lines or ["it did not say why"])[-1]
    return chosen if len(chosen) <= _SENTENCE else f"{chosen[:_SENTENCE]}…"
