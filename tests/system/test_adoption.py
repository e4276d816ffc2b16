# SPDX-License-Identifier: GPL-3.0-or-later
"""The sandbox is killed and comes up again: its guests go on as if nothing had been."""

from __future__ import annotations

import os
import re
import signal
import sqlite3
import subprocess
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import pytest

from cloudspill_sandbox.settings import Settings
from tests.lives.api import ZONE, Api, Json
from tests.lives.inventory import containers
from tests.system.sandbox import SSH, Sandbox, control_groups, eventually

pytestmark = [pytest.mark.sandbox, pytest.mark.slow, pytest.mark.timeout(280)]

SETTINGS = Settings(name="systest", port=8461)
USER = "tester"
INSTANCES = f"zones/{ZONE}/instances"
ATTACH = "compute.instances.attachDisk"
IMAGE = "projects/debian-cloud/global/images/family/debian-12"
BOOT = "cat /proc/sys/kernel/random/boot_id"
UNTIL_NOBODY_WATCHES = (
    "while curl -s -m 10 -o /dev/null http://169.254.169.254/; do sleep 0.2; done"
)
"""In a guest: return when the metadata server, which is the sandbox, answers no more."""


@pytest.fixture(scope="module")
def key(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("ssh") / "key"
    subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", path], check=True)
    return path


class Guest:
    """An instance and the way into it by ssh."""

    def __init__(self, sandbox: Sandbox, key: Path, name: str) -> None:
        self._sandbox, self._key, self.name = sandbox, key, name
        public = key.with_suffix(".pub").read_text().strip()
        body = {
            "name": name,
            "machineType": f"zones/{ZONE}/machineTypes/f1-micro",
            "disks": [
                {"boot": True, "autoDelete": True, "initializeParams": {"sourceImage": IMAGE}}
            ],
            "networkInterfaces": [
                {
                    "network": "global/networks/default",
                    "accessConfigs": [{"type": "ONE_TO_ONE_NAT"}],
                }
            ],
            "metadata": {"items": [{"key": "ssh-keys", "value": f"{USER}:{public}"}]},
        }
        with Api(SETTINGS) as api:
            made = api.call("POST", INSTANCES, body)
            assert made.ok, made.text
            operation = made.json()["selfLink"].split("/", 7)[7]
            ended = api.call("POST", f"{operation}/wait").json()
            assert "error" not in ended, ended
        access = self.document()["networkInterfaces"][0]["accessConfigs"][0]
        self.address: str = access["natIP"]
        self.wait_for_login()

    def document(self) -> Json:
        with Api(SETTINGS) as api:
            found = api.get(f"{INSTANCES}/{self.name}")
        assert found is not None
        return found

    @property
    def status(self) -> object:
        return self.document()["status"]

    def wait_for_login(self) -> None:
        """Return when a login works. That sshd listens is not enough: see `SSH`."""
        eventually(
            lambda: self.ssh("true").returncode == 0, within=60, what=f"login to {self.name}"
        )

    def command(self, *words: str) -> list[str]:
        return [*SSH, "-i", str(self._key), f"{USER}@{self.address}", *words]

    def ssh(self, command: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            self.command(command), capture_output=True, text=True, check=False, timeout=60
        )

    def output(self, command: str) -> str:
        done = self.ssh(command)
        assert done.returncode == 0, (command, done.stderr)
        return done.stdout.strip()

    def boot(self) -> str:
        """What tells one boot from another."""
        return self.output(BOOT)

    def delete(self) -> None:
        with Api(SETTINGS) as api:
            asked = api.call("DELETE", f"{INSTANCES}/{self.name}")
            if asked.ok:  # the next test makes one of the same name
                api.call("POST", f"{asked.json()['selfLink'].split('/', 7)[7]}/wait")


@contextmanager
def guest(sandbox: Sandbox, key: Path, name: str) -> Iterator[Guest]:
    """A guest for one test."""
    sandbox.up()
    made = Guest(sandbox, key, name)
    try:
        yield made
    finally:
        sandbox.up()
        made.delete()


def limits() -> list[str]:
    """The ceilings of the machines' control groups."""
    names = {"memory.limit_in_bytes", "memory.max", "cpu.cfs_quota_us", "cpu.max", "pids.max"}
    return sorted(
        f"{path}: {path.read_text()}"
        for group in control_groups("cloudspill/systest/libpod-*")
        for path in group.iterdir()
        if path.name in names
    )


def test_a_guest_and_a_session_in_it_outlive_a_kill(sandbox: Sandbox, key: Path) -> None:
    with guest(sandbox, key, "vm") as vm:
        boot, document = vm.boot(), vm.document()
        running, ceilings = containers(SETTINGS), limits()
        assert len(running) == 1
        assert ceilings
        session = subprocess.Popen(
            vm.command("cat"), stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
        assert session.stdin is not None
        assert session.stdout is not None

        def echo(text: str) -> str:
            assert session.stdin is not None
            assert session.stdout is not None
            session.stdin.write(f"{text}\n")
            session.stdin.flush()
            return session.stdout.readline().strip()

        with session:
            assert echo("before") == "before"
            sandbox.kill()
            assert echo("while it is dead") == "while it is dead"
            sandbox.up()
            assert echo("after") == "after"
            session.stdin.close()
            assert session.wait(60) == 0
        assert (vm.boot(), vm.document()) == (boot, document)
        assert (containers(SETTINGS), limits()) == (running, ceilings)


def test_an_adopted_guest_is_attended_to_like_any_other(sandbox: Sandbox, key: Path) -> None:
    with guest(sandbox, key, "vm") as vm:
        sandbox.kill()
        sandbox.up()
        url = "http://metadata.google.internal/computeMetadata/v1/instance/name"
        assert vm.output(f"curl -sS -H Metadata-Flavor:Google {url}") == "vm"
        vm.output("echo 'a line after the kill' | sudo tee /dev/console")
        eventually(
            lambda: "a line after the kill" in sandbox.cli("serial", "vm").stdout,
            within=30,
            what="the console goes on",
        )
        boot = vm.boot()
        vm.ssh("sudo systemctl reboot")
        # One look, not two: a login may still work when the next does no more.
        eventually(
            lambda: vm.ssh(BOOT).stdout.strip() not in {"", boot},
            within=60,
            what="the guest has rebooted",
        )
        assert vm.status == "RUNNING"
        sandbox.kill()
        sandbox.up()
        vm.ssh("sudo systemctl poweroff")
        eventually(lambda: vm.status == "TERMINATED", within=30, what="its end is seen")


def test_a_disk_that_was_on_its_way_comes_and_others_are_left_alone(
    sandbox: Sandbox, key: Path
) -> None:
    with guest(sandbox, key, "vm") as vm, Api(SETTINGS) as api:

        def begin(method: str, collection: str, body: Json | None = None) -> str:
            begun = api.call(method, collection, body)
            assert begun.ok, begun.text
            return str(begun.json()["selfLink"].split("/", 7)[7])

        def end(operation: str) -> None:
            ended = api.call("POST", f"{operation}/wait").json()
            assert "error" not in ended, ended

        def attach(name: str) -> str:
            end(begin("POST", f"zones/{ZONE}/disks", {"name": name}))
            source = f"zones/{ZONE}/disks/{name}"
            attached = {"source": source, "deviceName": name, "autoDelete": True}
            return begin("POST", f"{INSTANCES}/vm/attachDisk", attached)

        end(attach("first"))
        vm.output("sudo touch /mnt/disks/first/file")
        opened = "--property=StandardInput=file:/mnt/disks/first/file"
        vm.output(f"sudo systemd-run --quiet --unit=holder {opened} sleep 600")
        sandbox.cli("faults", "add", "operation-slow", "--method", ATTACH, "--delay", "100")
        coming = attach("second")
        sandbox.kill()
        sandbox.up()
        end(coming)
        held = "/proc/$(systemctl show --property=MainPID --value holder)/fd/0"
        devices = f"sudo stat --dereference --format=%d {held} /mnt/disks/first"
        of_file, of_disk = vm.output(devices).splitlines()
        assert of_file == of_disk  # it is the disk that it was, and no second mount of it
        mounts = "findmnt --noheadings --output TARGET --list | grep /mnt/disks || true"
        assert vm.output(mounts).split() == ["/mnt/disks/first", "/mnt/disks/second"]
        end(begin("POST", f"{INSTANCES}/vm/detachDisk?deviceName=second"))
        assert vm.output(mounts).split() == ["/mnt/disks/first"]
        end(begin("DELETE", f"zones/{ZONE}/disks/second"))


def test_a_guest_that_writes_megabytes_to_its_console_is_not_held_up_by_the_dead(
    sandbox: Sandbox, key: Path
) -> None:
    with guest(sandbox, key, "vm") as vm:
        sandbox.kill()
        flood = "yes 0123456789abcdef0123456789abcdef | head -c 6000000 | sudo tee /dev/console"
        assert vm.ssh(f"{flood} | wc -c").stdout.strip() == "6000000"
        sandbox.up()
        vm.output("echo 'after the flood' | sudo tee /dev/console")
        eventually(
            lambda: "after the flood" in sandbox.cli("serial", "vm").stdout,
            within=30,
            what="the console goes on",
        )


def test_what_a_guest_did_while_nobody_watched_is_found_out(sandbox: Sandbox, key: Path) -> None:
    with guest(sandbox, key, "off") as off, guest(sandbox, key, "again") as again:
        boot = again.boot()
        assert len(containers(SETTINGS)) == 2
        for each, verb in ((off, "poweroff"), (again, "reboot")):
            end = f"{UNTIL_NOBODY_WATCHES}; systemctl --force --force {verb}"
            each.output(f"sudo systemd-run sh -c '{end}'")
        sandbox.kill()
        eventually(lambda: not containers(SETTINGS), within=60, what="both guests have ended")
        sandbox.up()
        eventually(lambda: off.status == "TERMINATED", within=30, what="one is off")
        again.wait_for_login()
        assert again.status == "RUNNING"
        assert again.boot() != boot


def test_a_guest_whose_end_nobody_would_see_is_booted_again(sandbox: Sandbox, key: Path) -> None:
    with guest(sandbox, key, "vm") as vm:
        boot = vm.boot()
        vm.output("echo kept | sudo tee /root/note; sync")
        (conmon,) = containers(SETTINGS)
        sandbox.kill()
        os.kill(conmon, signal.SIGKILL)
        sandbox.up()
        vm.wait_for_login()
        assert vm.boot() != boot
        assert vm.output("sudo cat /root/note") == "kept"
        assert len(containers(SETTINGS)) == 1


def test_a_guest_that_was_paused_for_a_copy_goes_on(sandbox: Sandbox, key: Path) -> None:
    with guest(sandbox, key, "vm") as vm:
        boot = vm.boot()
        sandbox.kill()
        freezers = [
            (group / name, word)
            for group in control_groups("cloudspill/systest/libpod-*")
            for name, word in (("freezer.state", "FROZEN"), ("cgroup.freeze", "1"))
            if (group / name).exists()
        ]
        for freezer, word in freezers:
            freezer.write_text(word)
        assert freezers
        sandbox.up()
        assert vm.boot() == boot


def test_what_belongs_to_no_running_instance_is_ended(sandbox: Sandbox, key: Path) -> None:
    with guest(sandbox, key, "vm") as vm:
        sandbox.kill()
        subprocess.run(["ip", "netns", "add", "systest-0a8affff"], check=True)
        link = "link add i0a8affff type veth peer name eth0 netns systest-0a8affff"
        subprocess.run(["ip", "-n", "systest-vpc", *link.split()], check=True)
        with closing(sqlite3.connect(SETTINGS.database)) as database, database:
            database.execute(
                "UPDATE documents SET body = replace(body, '\"RUNNING\"', '\"TERMINATED\"')"
                " WHERE name LIKE '%/instances/vm'"
            )
        sandbox.up()
        assert vm.status == "TERMINATED"
        assert not containers(SETTINGS)
        shown = subprocess.run(
            ["ip", "-n", "systest-vpc", "link"], capture_output=True, text=True, check=True
        )
        assert not re.search("i0a8affff", shown.stdout)
        assert not Path("/run/netns/systest-0a8affff").exists()
