# SPDX-License-Identifier: GPL-3.0-or-later
"""Google's own guest agent, on a real machine in the VPC, is content with the metadata server."""

from __future__ import annotations

import asyncio
import socket
import subprocess
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from cloudspill_sandbox.front.tls import CERTIFICATE, ensure_authority
from cloudspill_sandbox.metadata.interface import AccessToken
from cloudspill_sandbox.metadata.server import serve
from cloudspill_sandbox.network.interface import API_ADDRESS, METADATA_ADDRESS, Topology
from cloudspill_sandbox.network.name_server import NameServer
from cloudspill_sandbox.network.router import NamespaceNetwork
from cloudspill_sandbox.runtime.guest_image import ensure_guest_image
from cloudspill_sandbox.runtime.interface import MachineNic, MachineSpec
from cloudspill_sandbox.runtime.leftovers import sweep
from cloudspill_sandbox.runtime.machines import PodmanRuntime
from cloudspill_sandbox.settings import Settings
from tests.system.network.guests import A, B, at
from tests.system.network.vpc_host import NAME

pytestmark = [pytest.mark.sandbox, pytest.mark.slow]

MACHINE = "4242424242424242424"
KEY = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIDdYk5KA9c5y0bK3rCC0cNpbTpd5n1dNQ9s5Q0pZ0b1q test"


class Source:
    """Implements MetadataSource for the instance at A's address.

    Attributes:
        requests: how often the tree was read.
    """

    def __init__(self) -> None:
        self.requests = 0
        self.attributes: dict[str, dict[str, str]] = {}
        self._metadata = {"enable-guest-attributes": "TRUE", "enable-oslogin": "FALSE"}
        self._changed = asyncio.Condition()

    async def set_metadata(self, **values: str) -> None:
        self._metadata |= {key.replace("_", "-"): value for key, value in values.items()}
        await self._announce()

    async def until(self, condition: Callable[[], bool]) -> None:
        """Return when a condition on the guest attributes holds."""
        async with asyncio.timeout(60), self._changed:
            await self._changed.wait_for(condition)

    async def _announce(self) -> None:
        async with self._changed:
            self._changed.notify_all()

    def tree(self, address: str) -> dict[str, Any] | None:
        if address != A.internal_ip:
            return None
        self.requests += 1
        return {
            "instance": {
                "attributes": dict(self._metadata),
                "hostname": A.hostname,
                "id": int(MACHINE),
                "name": "vm2",
                "networkInterfaces": [
                    {"accessConfigs": [], "forwardedIps": [], "ip": address, "mac": A.mac}
                ],
                "zone": "projects/1/zones/us-west1-b",
            },
            "project": {"attributes": {}, "numericProjectId": 1, "projectId": "p"},
        }

    async def changed(self, address: str) -> None:
        async with self._changed:
            await self._changed.wait()

    def access_token(self, address: str, account: str, scopes: frozenset[str]) -> AccessToken:
        raise KeyError(account)

    def identity_token(self, address: str, account: str, audience: str, *, full: bool) -> str:
        raise KeyError(account)

    def guest_attributes(self, address: str) -> dict[str, dict[str, str]] | None:
        return self.attributes

    def put_guest_attribute(self, address: str, namespace: str, key: str, value: str) -> None:
        self.attributes.setdefault(namespace, {})[key] = value
        self._announcing = asyncio.ensure_future(self._announce())

    def delete_guest_attribute(self, address: str, namespace: str, key: str) -> None:
        del self.attributes[namespace][key]


@dataclass
class Guest:
    """A booted machine at A and what its agent talks to."""

    source: Source
    runtime: PodmanRuntime

    async def output(self, command: str) -> str:
        """Return what a command in the machine prints, "" when it fails."""
        words = [*self.runtime.console_command(MACHINE, False), "sh", "-c", command]
        done = await asyncio.to_thread(subprocess.run, words, capture_output=True, check=False)
        return done.stdout.decode().strip() if done.returncode == 0 else ""

    async def soon(self, command: str, *, containing: str) -> bool:
        """Whether a command prints a text within some seconds."""
        deadline = asyncio.get_running_loop().time() + 20
        while asyncio.get_running_loop().time() < deadline:
            if containing in await self.output(command):
                return True
            await asyncio.sleep(0.1)
        return False


@pytest.fixture
async def image() -> Path:
    """The guest image of this host's sandboxes, built when it is missing."""
    shared = Settings()
    ensure_authority(shared.ca_dir)
    return await ensure_guest_image(shared, [shared.ca_dir / CERTIFICATE], print)


@pytest.fixture
async def guest(
    image: Path,  # first: the host of its own, where the network is, cannot build one
    network: NamespaceNetwork,
    tmp_path: Path,
) -> AsyncIterator[Guest]:
    await network.apply(Topology((A, B)))
    source = Source()
    metadata = await serve(source, network.listen(METADATA_ADDRESS, 80, socket.SOCK_STREAM))
    names = NameServer(lambda: network.topology, resolv_conf=Path("/nonexistent"))
    await names.start(
        network.listen(METADATA_ADDRESS, 53, socket.SOCK_DGRAM),
        network.listen(METADATA_ADDRESS, 53, socket.SOCK_STREAM),
    )
    settings = Settings(name=NAME, state_root=tmp_path)
    runtime = PodmanRuntime(settings, image)
    await runtime.start(lambda machine, why: None)
    try:
        await runtime.create_volume("disk", "debian-12", 10)
        nic = MachineNic(str(at(A)), A.internal_ip, A.mac)
        await runtime.boot(MachineSpec(MACHINE, "vm2", A.hostname, "disk", nic, 2.0, 1024))
        yield Guest(source, runtime)
    finally:
        await runtime.stop()
        sweep(settings)
        settings.run_dir.rmdir()
        await names.stop()
        await metadata.cleanup()


async def test_the_agent_publishes_host_keys_makes_users_and_then_is_quiet(guest: Guest) -> None:
    await guest.source.until(lambda: "ssh-ed25519" in guest.source.attributes.get("hostkeys", {}))
    host_key = await guest.output("cut -d ' ' -f 2 /etc/ssh/ssh_host_ed25519_key.pub")
    assert guest.source.attributes["hostkeys"]["ssh-ed25519"] == host_key
    await guest.source.set_metadata(ssh_keys=f"alice:{KEY}")
    assert await guest.soon("cat /home/alice/.ssh/authorized_keys", containing=KEY.split()[1])
    # It waits for the next change with one request; an eager server would make it spin.
    # Where its boot takes long, some of that is yet to come.
    asked = 4
    async with asyncio.timeout(60):
        while asked > 3:
            before = guest.source.requests
            await asyncio.sleep(5)
            asked = guest.source.requests - before


async def test_a_machine_sees_itself_its_network_and_the_api_by_name(guest: Guest) -> None:
    header = "Metadata-Flavor: Google"
    url = "http://metadata.google.internal/computeMetadata/v1/instance/id"
    assert await guest.output(f"curl -sf -H '{header}' {url}") == MACHINE
    assert await guest.output(f"curl -sf {url}") == ""
    for name, address in (
        (B.hostname, B.internal_ip),
        ("metadata", METADATA_ADDRESS),
        ("storage.googleapis.com", API_ADDRESS),
    ):
        assert (await guest.output(f"getent ahostsv4 {name}")).split()[0] == address
