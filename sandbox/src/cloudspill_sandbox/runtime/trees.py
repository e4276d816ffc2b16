# SPDX-License-Identifier: GPL-3.0-or-later
"""Directory trees that a guest made: as deep as it liked, with whatever names it liked.

Nothing here recurses in Python (before 3.12 `shutil.rmtree` and `os.walk` do): a disk with a
directory 1,500 levels down would end them.
"""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator
from pathlib import Path


def remove_tree(path: Path) -> None:
    """Remove a directory and all below it; no error when it is gone. Blocks.

    File systems mounted below stay, and with them the directories that lead there.

    Args:
        path: the directory; a link is removed, not followed.

    Raises:
        OSError: something could not be removed; the message has what and why.
    """
    done = subprocess.run(
        ["rm", "-rf", "--one-file-system", "--", str(path.absolute())],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        check=False,
    )
    if done.returncode:
        complaint = done.stderr.decode(errors="replace").strip().splitlines()
        reason = complaint[0].removeprefix("rm: ") if complaint else f"status {done.returncode}"
        raise OSError(f"{path} could not be removed: {reason[:300]}")


def tree_bytes(path: Path) -> int:
    """Return the bytes that a directory and all below it take on the disk. Blocks.

    What vanishes meanwhile is passed over.
    """
    done = subprocess.run(
        ["du", "--summarize", "--block-size=1", "--one-file-system", "--", str(path.absolute())],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        check=False,
    )
    return int(done.stdout.split()[0]) if done.stdout else 0


def directories_below(top: Path) -> Iterator[Path]:
    """Yield `top` and every directory below it, each before what it contains.

    Links are not followed. What vanishes, cannot be read, or lies deeper than a path can say
    is passed over.
    """
    waiting = [str(top)]
    while waiting:
        directory = waiting.pop()
        try:
            with os.scandir(directory) as entries:
                waiting += [entry.path for entry in entries if entry.is_dir(follow_symlinks=False)]
        except OSError:
            continue
        yield Path(directory)
