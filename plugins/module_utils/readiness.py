# SPDX-License-Identifier: GPL-3.0-or-later
# GNU General Public License v3.0+ (see https://www.gnu.org/licenses/gpl-3.0.txt)
"""When a server answers: RUNNING is not ready."""

from __future__ import annotations

import socket
import time
from collections.abc import Callable
from dataclasses import dataclass

_INTERVAL = 0.1
_PATIENCE = 3.0


@dataclass(frozen=True, slots=True)
class Check:
    """What shall answer.

    Attributes:
        name: such as `ssh`.
        port: TCP port.
        path: page that shall answer 200; None where the server greets first, as ssh does.
    """

    name: str
    port: int
    path: str | None = None

    def answers(self, address: str) -> bool:
        """Ask once."""
        if self.path is None:
            return _greets(address, self.port)
        import requests

        try:
            page = f"http://{address}:{self.port}{self.path}"
            return requests.get(page, timeout=_PATIENCE).status_code == 200
        except requests.exceptions.RequestException:
            return False


def await_answer(
    check: Check,
    address: str,
    until: float,
    *,
    now: Callable[[], float] = time.monotonic,
    sleep: Callable[[float], None] = time.sleep,
) -> bool:
    """Ask again and again until there is an answer; False when `until` comes first."""
    while not check.answers(address):
        if now() >= until:
            return False
        sleep(_INTERVAL)
    return True


def _greets(address: str, port: int) -> bool:
    try:
        with socket.create_connection((address, port), timeout=_PATIENCE) as connection:
            return bool(connection.recv(1))
    except OSError:
        return False
