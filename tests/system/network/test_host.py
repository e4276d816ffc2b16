# SPDX-License-Identifier: GPL-3.0-or-later
"""The host is left as it was found."""

from __future__ import annotations

import asyncio
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from cloudspill_sandbox.network.commands import ip_batch
from cloudspill_sandbox.network.interface import (
    NetworkError,
    Topology,
)
from cloudspill_sandbox.network.router import NamespaceNetwork
from cloudspill_sandbox.settings import Settings
from tests.system.network.guests import OPEN, A, B, C, at
from tests.system.network.vpc_host import (
    HOST,
    NAME,
    connect,
    host_state,
    server,
)

pytestmark = pytest.mark.sandbox


async def test_stop_leaves_the_host_as_it_was(host: None, tmp_path: Path) -> None:
    before = host_state()
    network = NamespaceNetwork(Settings(name=NAME, state_root=tmp_path))
    await network.start()
    await asyncio.gather(*(network.attach((nic,)) for nic in (A, B, C)))
    await network.apply(Topology((A, B, C), OPEN))
    assert host_state() != before
    await network.stop()
    assert host_state() == before
    assert not list(tmp_path.rglob("*.json"))
    await network.stop()
    assert host_state() == before


KILLED = """
import asyncio, os, signal, sys
from pathlib import Path
from cloudspill_sandbox.network.interface import Nic, Topology
from cloudspill_sandbox.network.router import NamespaceNetwork
from cloudspill_sandbox.settings import Settings

async def main():
    network = NamespaceNetwork(Settings(name=sys.argv[1], state_root=Path(sys.argv[2])))
    await network.start()
    nic = Nic("10.138.0.2", "198.18.0.2", "default", "10.138.0.0/20", frozenset(), "a.internal")
    await network.attach((nic,))
    await network.apply(Topology((nic,)))
    os.kill(os.getpid(), signal.SIGKILL)

asyncio.run(main())
"""


@pytest.mark.parametrize("state_kept", [True, False])
async def test_what_a_killed_sandbox_left_is_swept(
    host: None, tmp_path: Path, state_kept: bool
) -> None:
    before = host_state()
    command = [sys.executable, "-c", KILLED, NAME, str(tmp_path)]
    killed = await asyncio.to_thread(subprocess.run, command, check=False, capture_output=True)
    assert killed.returncode == -signal.SIGKILL, killed.stderr
    assert host_state() != before
    network = NamespaceNetwork(Settings(name=NAME, state_root=tmp_path))
    try:
        if state_kept:
            await network.start()
            await network.attach((A,))
            await network.apply(Topology((A,), OPEN))
            with server(at(A), 5000):
                assert connect(HOST, "198.18.0.2", 5000) == "open"
        else:
            # The state directory is gone: only the previous sysctl cannot be known.
            for path in tmp_path.rglob("network.json"):
                path.unlink()
            Path("/proc/sys/net/ipv4/conf/eth0/forwarding").write_text("0")
    finally:
        await network.stop()
    assert host_state() == before


async def test_forwarding_that_others_came_to_need_is_left_on(host: None, tmp_path: Path) -> None:
    network = NamespaceNetwork(Settings(name=NAME, state_root=tmp_path))
    await network.start()
    Path("/proc/sys/net/ipv4/ip_forward").write_text("1")
    await network.stop()
    assert Path("/proc/sys/net/ipv4/conf/eth0/forwarding").read_text() == "1\n"


async def test_a_range_that_others_use_is_refused_before_anything_changes(
    host: None, tmp_path: Path
) -> None:
    ip_batch(["route add blackhole 198.18.5.0/24"])
    before = host_state()
    network = NamespaceNetwork(Settings(name=NAME, state_root=tmp_path))
    with pytest.raises(NetworkError, match=r"already routes 198\.18\.5\.0/24"):
        await network.start()
    assert host_state() == before


async def test_only_one_sandbox_runs_and_the_refusal_names_it(
    network: NamespaceNetwork, tmp_path: Path
) -> None:
    before = host_state()
    second = NamespaceNetwork(Settings(name="second", state_root=tmp_path))
    with pytest.raises(NetworkError, match=f"CLOUDSPILL_SANDBOX={NAME} cloudspill-sandbox down"):
        await second.start()
    await second.stop()
    assert host_state() == before


async def test_a_start_that_fails_half_way_is_undone(host: None, tmp_path: Path) -> None:
    # A link of the name that the VPC's own link should have, but no veth: not ours to remove.
    ip_batch([f"link add {NAME}-gw type bridge"])
    before = host_state()
    network = NamespaceNetwork(Settings(name=NAME, state_root=tmp_path))
    with pytest.raises(NetworkError, match=f"{NAME}-gw"):
        await network.start()
    assert host_state() == before


async def test_a_tunnel_that_covers_everything_is_no_owner(host: None, tmp_path: Path) -> None:
    ip_batch(["route add 128.0.0.0/1 via 192.0.2.1", "route add 0.0.0.0/1 via 192.0.2.1"])
    network = NamespaceNetwork(Settings(name=NAME, state_root=tmp_path))
    await network.start()
    await network.stop()


DIRECTORY = """
from pathlib import Path
from cloudspill_sandbox.network import namespaces
from cloudspill_sandbox.network.addressing import NAMESPACES

def states(before, used):
    namespaces.open_directory()
    seen = [namespaces.directory_state()]
    if used:
        with namespaces.inside_new(NAMESPACES / "others"):
            pass
    namespaces.close_directory(before)
    seen.append(namespaces.directory_state())
    namespaces.remove(NAMESPACES / "others")
    namespaces.close_directory(before)
    return [*seen, namespaces.directory_state()]

print(*states(namespaces.directory_state(), used=False), *states("absent", used=True))
NAMESPACES.mkdir()
print(*states(namespaces.directory_state(), used=False))
"""


async def test_the_directory_of_namespaces_is_given_back_unless_others_use_it(host: None) -> None:
    script = ["-c", 'mount -t tmpfs none /run && exec "$0" -c "$1"', sys.executable, DIRECTORY]
    done = await asyncio.to_thread(
        subprocess.run,
        ["unshare", "--mount", "--propagation", "private", "sh", *script],
        check=True,
        capture_output=True,
        text=True,
    )
    assert done.stdout.splitlines() == [
        "mounted absent absent mounted mounted absent",
        "mounted plain plain",
    ]
