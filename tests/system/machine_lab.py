# SPDX-License-Identifier: GPL-3.0-or-later
"""Real machines without the rest of a sandbox.

Each machine's network namespace holds the machine's address, the metadata server and the test's
ssh client: no packet leaves it, and the host's network is not touched.
"""

from __future__ import annotations

import asyncio
import contextlib
import socket
import subprocess
import time
from collections.abc import AsyncIterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from cloudspill_sandbox.metadata.interface import AccessToken
from cloudspill_sandbox.metadata.server import serve
from cloudspill_sandbox.network import namespaces
from cloudspill_sandbox.runtime.interface import MachineExit, MachineNic, MachineSpec
from cloudspill_sandbox.runtime.machines import PodmanRuntime
from cloudspill_sandbox.settings import Settings
from tests.system.sandbox import SSH

METADATA = "169.254.169.254"
LOGIN_PATIENCE = 60.0
USER = "tester"


def call(*command: str) -> None:
    """Run a command of the host; it must succeed."""
    subprocess.run(command, check=True)


@dataclass
class Instance:
    """Implements MetadataSource for one machine, whoever asks.

    Attributes:
        number: makes ids and addresses.
        public_key: may log in.
        attributes: further metadata attributes.
    """

    number: int
    public_key: str
    attributes: dict[str, str] = field(default_factory=dict)

    @property
    def id(self) -> str:
        return str(4_000_000_000_000_000_000 + self.number)

    @property
    def address(self) -> str:
        return f"10.138.0.{self.number + 1}"

    def tree(self, address: str) -> dict[str, Any] | None:
        keys = {"ssh-keys": f"{USER}:{self.public_key}", "enable-oslogin": "FALSE"}
        return {
            "instance": {
                "attributes": keys | self.attributes,
                "hostname": f"vm{self.number}.us-west1-b.c.lab.internal",
                "id": int(self.id),
                "name": f"vm{self.number}",
                "networkInterfaces": [{"ip": self.address, "mac": "42:01:0a:8a:00:02"}],
                "zone": "projects/1/zones/us-west1-b",
            },
            "project": {"attributes": {}, "numericProjectId": 1, "projectId": "lab"},
        }

    async def changed(self, address: str) -> None:
        await asyncio.Event().wait()

    def access_token(self, address: str, account: str, scopes: frozenset[str]) -> AccessToken:
        raise KeyError(account)

    def identity_token(self, address: str, account: str, audience: str, *, full: bool) -> str:
        raise KeyError(account)

    def guest_attributes(self, address: str) -> dict[str, dict[str, str]] | None:
        return None

    def put_guest_attribute(self, address: str, namespace: str, key: str, value: str) -> None:
        raise PermissionError

    def delete_guest_attribute(self, address: str, namespace: str, key: str) -> None:
        raise KeyError(key)


class Lab:
    """A runtime and machines in it.

    Attributes:
        runtime: the runtime under test.
        exits: what it reported, in order.
    """

    def __init__(self, settings: Settings, image: Path) -> None:
        self.settings = settings
        self.runtime = PodmanRuntime(settings, image)
        self.exits: list[tuple[str, MachineExit]] = []
        self._key = settings.state_root / "key"
        self._stack = contextlib.AsyncExitStack()
        self._instances: dict[int, Instance] = {}

    @contextlib.asynccontextmanager
    async def running(self) -> AsyncIterator[Lab]:
        call("ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(self._key))
        # Machines stop first: their shutdown scripts come from the metadata server.
        async with self._stack:
            await self.runtime.start(lambda machine, why: self.exits.append((machine, why)))
            try:
                yield self
            finally:
                await self.runtime.stop()

    async def instance(self, number: int, **attributes: str) -> Instance:
        """Return an instance with its namespace and metadata server."""
        public_key = self._key.with_suffix(".pub").read_text().strip()
        names = {name.replace("_", "-"): value for name, value in attributes.items()}
        instance = Instance(number, public_key, names)
        namespace = self.namespace(number)
        call("ip", "netns", "add", namespace)
        self._stack.callback(call, "ip", "netns", "del", namespace)
        for command in (
            "link set lo up",
            f"addr add {METADATA} dev lo",
            f"addr add {instance.address} dev lo",
        ):
            call("ip", "-n", namespace, *command.split())
        with namespaces.inside(Path("/run/netns", namespace)):
            listener = socket.create_server((METADATA, 80))
        server = await serve(instance, listener)
        self._stack.push_async_callback(server.cleanup)
        return instance

    def namespace(self, number: int) -> str:
        return f"{self.settings.name}{number}"

    def spec(self, instance: Instance, boot_volume: str, **fields: Any) -> MachineSpec:
        namespace = f"/run/netns/{self.namespace(instance.number)}"
        spec = MachineSpec(
            id=instance.id,
            name=f"vm{instance.number}",
            hostname=f"vm{instance.number}.us-west1-b.c.lab.internal",
            boot_volume=boot_volume,
            nic=MachineNic(namespace, instance.address, "42:01:0a:8a:00:02"),
            vcpus=2.0,
            memory_mb=1024,
        )
        return replace(spec, **fields)

    async def machine(self, number: int, boot_volume: str, **fields: Any) -> MachineSpec:
        """As the table of all runtimes asks for it."""
        if number not in self._instances:
            self._instances[number] = await self.instance(number)
        return self.spec(self._instances[number], boot_volume, **fields)

    def _of(self, spec: MachineSpec) -> Instance:
        return next(each for each in self._instances.values() if each.id == spec.id)

    async def ready(self, spec: MachineSpec) -> None:
        """Return when a login works."""
        await self.log_in(self._of(spec))

    async def write(self, spec: MachineSpec, path: str, text: str) -> None:
        """Write a file on a running machine, and sync."""
        await self.output(self._of(spec), f"echo -n '{text}' | sudo tee {path} && sync")

    async def read(self, spec: MachineSpec, path: str) -> str | None:
        """Return a file of a running machine, None when there is none."""
        done = await self.run(self._of(spec), f"cat {path}")
        assert done.returncode in {0, 1}, done.stderr
        return None if done.returncode else done.stdout

    async def power_off_inside(self, spec: MachineSpec) -> None:
        """Run `poweroff`."""
        await self.run(self._of(spec), "sudo poweroff")

    async def reboot_inside(self, spec: MachineSpec) -> None:
        """Run `reboot`, and log in again."""
        before = await self.log_in(self._of(spec))
        await self.run(self._of(spec), "sudo shutdown -r 0")
        await self.log_in(self._of(spec), unlike_boot=before)

    async def reported(self, spec: MachineSpec) -> None:
        """Return when the runtime has reported a machine's end."""
        await self.off(self._of(spec))

    async def booted(self, number: int, **attributes: str) -> Instance:
        """Boot a machine from a new disk of the guest image, and log in."""
        instance = await self.instance(number, **attributes)
        await self.runtime.create_volume(f"disk{number}", "debian-12", 10)
        await self.runtime.boot(self.spec(instance, f"disk{number}"))
        await self.log_in(instance)
        return instance

    def ssh(self, instance: Instance, command: str) -> list[str]:
        """Return what runs a command over ssh."""
        return [
            *("ip", "netns", "exec", self.namespace(instance.number)),
            *(*SSH, "-i", str(self._key)),
            f"{USER}@{instance.address}",
            command,
        ]

    async def run(self, instance: Instance, command: str) -> subprocess.CompletedProcess[str]:
        """Run a command over ssh."""
        return await asyncio.to_thread(
            subprocess.run,
            self.ssh(instance, command),
            capture_output=True,
            text=True,
            check=False,
        )

    async def output(self, instance: Instance, command: str) -> str:
        """Return what a command prints; it must succeed."""
        done = await self.run(instance, command)
        assert done.returncode == 0, (command, done.stdout, done.stderr)
        return done.stdout.strip()

    async def log_in(self, instance: Instance, *, unlike_boot: str = "") -> str:
        """Return the boot's id as soon as a login works that is not of the boot `unlike_boot`."""
        deadline = time.monotonic() + LOGIN_PATIENCE
        query = "systemctl show --property UserspaceTimestampMonotonic --value && sudo -n true"
        while time.monotonic() < deadline:
            done = await self.run(instance, query)
            if done.returncode == 0 and done.stdout != unlike_boot:
                return done.stdout
            await asyncio.sleep(0.03)
        output, _ = self.runtime.serial_output(instance.id, 0)
        raise AssertionError(f"no login: {done.stderr}\n{output.decode(errors='replace')}")

    async def off(self, instance: Instance) -> None:
        """Return when the runtime has reported that a machine went off."""
        deadline = time.monotonic() + LOGIN_PATIENCE
        while instance.id not in dict(self.exits):
            assert time.monotonic() < deadline, "the machine stays on"
            await asyncio.sleep(0.02)
