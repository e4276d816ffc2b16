# SPDX-License-Identifier: GPL-3.0-or-later
"""What a service manager is told, on a real socket."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from cloudspill_monitor.sd_notify import Notifier, take


class Manager:
    """A service manager's end of the socket."""

    def __init__(self, address: str) -> None:
        self.socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self.socket.bind(address)
        self.socket.settimeout(5.0)

    def heard(self) -> list[str]:
        return self.socket.recv(65536).decode().split("\n")


@pytest.fixture
def address(tmp_path: Path) -> str:
    return str(tmp_path / "notify")


@pytest.fixture
def manager(address: str) -> Iterator[Manager]:
    made = Manager(address)
    yield made
    made.socket.close()


def test_ready_alive_and_stopping_are_one_datagram_each(manager: Manager, address: str) -> None:
    notifier = Notifier(address)
    notifier.ready(1.0)
    assert manager.heard() == ["READY=1"]
    notifier.alive("cpu 3 %")
    assert manager.heard() == ["WATCHDOG=1", "STATUS=cpu 3 %"]
    notifier.stopping(60.0, "deleting burst-1")
    assert manager.heard() == [
        "STOPPING=1",
        "WATCHDOG=1",
        "EXTEND_TIMEOUT_USEC=60000000",
        "STATUS=deleting burst-1",
    ]


def test_a_status_cannot_smuggle_in_another_word(manager: Manager, address: str) -> None:
    Notifier(address).alive("odd\nMAINPID=1")
    assert manager.heard() == ["WATCHDOG=1", "STATUS=odd MAINPID=1"]


def test_a_watchdog_with_too_little_patience_is_asked_for_more(
    manager: Manager, address: str
) -> None:
    Notifier(address, watchdog=30.0).ready(60.0)
    assert manager.heard() == ["READY=1", "WATCHDOG_USEC=600000000"]
    Notifier(address, watchdog=30.0).ready(1.0)
    assert manager.heard() == ["READY=1"]


def test_an_abstract_socket_is_reached(tmp_path: Path) -> None:
    name = f"cloudspill-{tmp_path.name}-{id(tmp_path)}"
    manager = Manager(f"\0{name}")
    try:
        Notifier(f"@{name}").ready(1.0)
        assert manager.heard() == ["READY=1"]
    finally:
        manager.socket.close()


def test_a_manager_that_is_gone_or_never_was_ends_nothing(manager: Manager, address: str) -> None:
    notifier = Notifier(address)
    Path(address).unlink()
    notifier.alive()
    Notifier().alive()
    manager.socket.setblocking(False)
    with pytest.raises(BlockingIOError):
        manager.heard()


def test_a_manager_that_does_not_read_holds_nothing_up(manager: Manager, address: str) -> None:
    notifier = Notifier(address)
    for _ in range(2000):
        notifier.alive("x" * 1000)
    assert manager.heard()[0] == "WATCHDOG=1"


def test_children_do_not_inherit_the_socket(manager: Manager, address: str) -> None:
    environ = {
        "NOTIFY_SOCKET": address,
        "WATCHDOG_USEC": "5000000",
        "WATCHDOG_PID": "7",
        "HOME": "/",
    }
    take(environ, 7).ready(1.0)
    assert environ == {"HOME": "/"}
    assert manager.heard() == ["READY=1", "WATCHDOG_USEC=10000000"]
    take({"NOTIFY_SOCKET": address, "WATCHDOG_USEC": "5000000", "WATCHDOG_PID": "8"}, 7).ready(1.0)
    assert manager.heard() == ["READY=1"]  # the watchdog is another process's
