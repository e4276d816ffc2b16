# SPDX-License-Identifier: GPL-3.0-or-later
"""Words to the service manager: ready, alive, stopping. One datagram each.

See sd_notify(3) and https://systemd.io/NOTIFY_SOCKET/; nothing is said where nobody asked for it.
"""

from __future__ import annotations

import socket
from collections.abc import MutableMapping
from contextlib import suppress

_SHORTEST_WATCHDOG = 10  # intervals: a machine that is much too busy may miss some samples


class Notifier:
    """Speaks to the socket `address`, or (None) to nobody; `watchdog` is after how many seconds
    without a word it ends the monitor, None if it does not.
    """

    def __init__(self, address: str | None = None, watchdog: float | None = None) -> None:
        self._watchdog = watchdog
        self._address = "\0" + address[1:] if address and address[0] == "@" else address

    def ready(self, interval: float) -> None:
        """The monitor works, and says so every `interval` seconds from now on. A watchdog that has
        too little patience for that is asked for more.
        """
        words = ["READY=1"]
        if self._watchdog is not None and self._watchdog < _SHORTEST_WATCHDOG * interval:
            words.append(f"WATCHDOG_USEC={round(_SHORTEST_WATCHDOG * interval * 1e6)}")
        self._say(*words)

    def alive(self, status: str | None = None) -> None:
        """A look at the machine was taken; `status` is what there is to know, in one line."""
        self._say("WATCHDOG=1", *([] if status is None else [f"STATUS={status}"]))

    def stopping(self, seconds: float, status: str) -> None:
        """The monitor ends, and is to be left at least `seconds` more for it."""
        self._say(
            "STOPPING=1",
            "WATCHDOG=1",
            f"EXTEND_TIMEOUT_USEC={round(seconds * 1e6)}",
            f"STATUS={status}",
        )

    def _say(self, *words: str) -> None:
        if self._address is None:
            return
        text = "\n".join(word.replace("\n", " ") for word in words)
        flags = socket.SOCK_DGRAM | socket.SOCK_NONBLOCK | socket.SOCK_CLOEXEC
        # A service manager that is gone, or has too much to read, must not end the watch.
        with suppress(OSError), socket.socket(socket.AF_UNIX, flags) as sender:
            sender.sendto(text.encode(), self._address)


def take(environ: MutableMapping[str, str], pid: int) -> Notifier:
    """Speaks to the service manager that `environ` names, for the process `pid`.

    What names it is taken away, for what the monitor starts must not speak for it.
    """
    address = environ.pop("NOTIFY_SOCKET", None)
    patience = environ.pop("WATCHDOG_USEC", "")
    addressed = environ.pop("WATCHDOG_PID", str(pid)) == str(pid)
    watchdog = int(patience) / 1e6 if addressed and patience.isdecimal() else None
    return Notifier(address, watchdog)
