# SPDX-License-Identifier: GPL-3.0-or-later
"""The two commands that shape the VPC, `ip` and `nft`, run in the caller's namespace.

Both block for some milliseconds: call them from a worker thread.
"""

from __future__ import annotations

import json
import re
import subprocess
from collections.abc import Iterable
from typing import Any

from cloudspill_sandbox.network.interface import NetworkError

_TIMEOUT = 30.0


def ip_batch(lines: Iterable[str]) -> None:
    """Carry out `ip` commands in one process; the first failure ends it.

    Raises:
        NetworkError: a command failed; the message holds it and the kernel's answer.
    """
    commands = list(lines)
    done = _run(["ip", "-batch", "-"], "\n".join(commands) + "\n")
    if done.returncode:
        found = re.search(r"Command failed -:(\d+)", done.stderr)
        failed = commands[int(found.group(1)) - 1] if found else "; ".join(commands)
        raise NetworkError(f"`ip {failed}` failed: {_first_line(done.stderr)}")


def ip_json(*arguments: str) -> list[dict[str, Any]]:
    """Return what `ip -json` prints.

    Raises:
        NetworkError: the command failed.
    """
    done = _run(["ip", "-json", *arguments], "")
    if done.returncode:
        raise NetworkError(f"`ip {' '.join(arguments)}` failed: {_first_line(done.stderr)}")
    return [entry for entry in json.loads(done.stdout or "[]") if entry]


def nft(script: str) -> None:
    """Load an nft script as one transaction: all of it or nothing.

    Raises:
        NetworkError: it was refused; nothing has changed.
    """
    done = _run(["nft", "-f", "-"], script)
    if done.returncode:
        raise NetworkError(f"nft refused the ruleset: {_first_line(done.stderr)}")


def nft_json(*arguments: str) -> list[dict[str, Any]]:
    """Return the objects that `nft --json --handle` prints.

    Raises:
        NetworkError: the command failed.
    """
    done = _run(["nft", "--json", "--handle", *arguments], "")
    if done.returncode:
        raise NetworkError(f"`nft {' '.join(arguments)}` failed: {_first_line(done.stderr)}")
    objects: list[dict[str, Any]] = json.loads(done.stdout)["nftables"]
    return objects


def _run(command: list[str], text: str) -> subprocess.CompletedProcess[str]:
    try:
        return subprocess.run(
            command, input=text, capture_output=True, text=True, check=False, timeout=_TIMEOUT
        )
    except FileNotFoundError:
        package = {"ip": "iproute2", "nft": "nftables"}[command[0]]
        raise NetworkError(f"{command[0]} is missing: apt-get install {package}") from None
    except subprocess.TimeoutExpired:
        raise NetworkError(f"{command[0]} did not end within {_TIMEOUT:.0f} s") from None


def _first_line(text: str) -> str:
    return text.strip().split("\n", 1)[0] or "no reason given"
