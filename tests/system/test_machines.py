# SPDX-License-Identifier: GPL-3.0-or-later
"""Real machines on real disks: boot, reboot, power, copies, and the host given back."""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Iterator
from dataclasses import replace
from pathlib import Path

import pytest
import pytest_asyncio

from cloudspill_sandbox.provision import guest_image
from cloudspill_sandbox.runtime.interface import MachineError, MachineExit
from cloudspill_sandbox.runtime.leftovers import sweep
from cloudspill_sandbox.settings import Settings
from sandbox.tests.runtime.runtime_table import RuntimeTable
from tests.system.machine_lab import Lab, call
from tests.system.sandbox import control_groups

pytestmark = [
    pytest.mark.sandbox,
    pytest.mark.slow,
    pytest.mark.skipif(os.geteuid() != 0, reason="needs root"),
]


@pytest.fixture
def settings(tmp_path: Path) -> Iterator[Settings]:
    # Podman refuses long paths, hence the run directory of sandboxes, not the test's.
    settings = Settings(name="lab", state_root=tmp_path)
    yield settings
    sweep(settings)
    settings.run_dir.rmdir()


@pytest_asyncio.fixture
async def lab(settings: Settings) -> AsyncIterator[Lab]:
    image = await guest_image(Settings(), print)
    async with Lab(settings, image).running() as lab:
        yield lab


class TestPodmanRuntime(RuntimeTable):
    """In the table of all runtimes."""


async def test_a_reboot_is_one_on_the_console_too(lab: Lab) -> None:
    vm = await lab.booted(1)
    first = await lab.log_in(vm)
    await lab.run(vm, "sudo shutdown -r 0")
    assert await lab.log_in(vm, unlike_boot=first) != first
    # The second boot has the account from the start, and lets it in before the agent is there.
    async with asyncio.timeout(60):
        while lab.runtime.serial_output(vm.id, 0)[0].count(b"GCE Agent Started") < 2:  # noqa: ASYNC110
            await asyncio.sleep(0.1)
    console, position = lab.runtime.serial_output(vm.id, 0)
    assert console.count(b"Rebooting.") == 1
    assert console.count(b"GCE Agent Started") == 2
    assert position == len(console)


async def test_a_machine_has_its_own_disk_name_and_limits(lab: Lab) -> None:
    vm = await lab.booted(1)
    await lab.output(vm, "echo mine | sudo tee /var/mark && sync")
    assert await lab.output(vm, "hostname; hostname -f; getent hosts metadata.google.internal") == (
        "vm1\nvm1.us-west1-b.c.lab.internal\n169.254.169.254 metadata.google.internal"
    )
    assert await lab.output(vm, "systemctl --failed --no-legend") == ""
    await lab.runtime.create_volume("other", "debian-12", 10)
    await lab.runtime.shut_down(vm.id, 30)
    await lab.runtime.boot(lab.spec(vm, "other", memory_mb=600))
    await lab.log_in(vm)
    assert (await lab.run(vm, "cat /var/mark")).returncode != 0
    memory = "cat /sys/fs/cgroup/memory.max 2>/dev/null || "
    memory += "cat /sys/fs/cgroup/memory/memory.limit_in_bytes"
    assert await lab.output(vm, memory) == str(600 << 20)


async def test_a_user_s_manager_ends_in_a_moment(lab: Lab) -> None:
    """As after the last logout where libpam-systemd is installed: the next login waits for it."""
    vm = await lab.booted(1)
    there = "[Service]\\nEnvironment=XDG_RUNTIME_DIR=/run/user/%%i\\n"  # as libpam-systemd says
    folder = "/run/systemd/system/user@.service.d"
    await lab.output(vm, f"sudo mkdir {folder}; printf '{there}' | sudo tee {folder}/there.conf")
    await lab.output(vm, "sudo systemctl daemon-reload; sudo systemctl start user@$(id -u)")
    await lab.output(vm, "sudo timeout 60 systemctl stop user@$(id -u)")
    assert await lab.output(vm, "systemctl --failed --no-legend") == ""


async def test_what_google_s_image_has_works(lab: Lab) -> None:
    vm = await lab.booted(1)
    tools = "bzip2 crontab file gpg killall lsof rsync unzip xz"
    assert len((await lab.output(vm, f"command -v {tools}")).splitlines()) == len(tools.split())
    assert await lab.output(vm, "systemctl is-active cron") == "active"
    await lab.output(vm, "sudo timedatectl set-timezone Asia/Kolkata")
    assert await lab.output(vm, "date +%Z") == "IST"


async def test_a_machine_that_cannot_come_back_from_a_reboot_has_crashed(lab: Lab) -> None:
    vm = await lab.booted(1)
    containers = lab.settings.run_dir / "podman" / "containers"
    containers.rename(containers.with_name("away"))
    containers.touch()  # a file where a directory should be, as any other trouble of the host
    await lab.run(vm, "sudo shutdown -r 0")
    await lab.off(vm)
    assert lab.exits == [(vm.id, MachineExit.CRASH)]
    assert not lab.runtime.is_running(vm.id)


async def test_no_user_of_the_host_reaches_what_a_guest_s_root_made(lab: Lab) -> None:
    vm = await lab.booted(1)
    await lab.output(vm, "sudo install -m 4755 /usr/bin/id /usr/local/bin/trap && sync")
    found = 0
    for folder in (lab.settings.state_dir, lab.settings.run_dir):
        for path in folder.rglob("usr/local/bin/trap"):
            # Entered from within: what lies above may be closed for other reasons. A shell between
            # them: setpriv itself still has root's capabilities.
            found += 1
            tried = await asyncio.to_thread(
                subprocess.run,
                [
                    *("setpriv", "--reuid=65534", "--regid=65534", "--clear-groups"),
                    *("sh", "-c", f"exec {path.relative_to(folder)}"),
                ],
                cwd=folder,
                capture_output=True,
                check=False,
            )
            assert b"Permission denied" in tried.stderr, (path, tried)
    assert found


async def test_shutting_down_runs_the_shutdown_script(lab: Lab) -> None:
    vm = await lab.booted(1, shutdown_script="#!/bin/sh\necho farewell; echo done > /var/farewell")
    await lab.runtime.shut_down(vm.id, 30)
    assert lab.exits == []
    console, _ = lab.runtime.serial_output(vm.id, 0)
    assert b"farewell" in console
    await lab.runtime.boot(lab.spec(vm, "disk1"))
    await lab.log_in(vm)
    assert await lab.output(vm, "cat /var/farewell") == "done"


async def test_the_power_is_cut_when_a_machine_takes_too_long(lab: Lab) -> None:
    vm = await lab.booted(1, shutdown_script="#!/bin/sh\nsleep 300")
    began = time.monotonic()
    await lab.runtime.shut_down(vm.id, 1.5)
    assert time.monotonic() - began < 60
    assert not lab.runtime.is_running(vm.id)


async def test_a_machine_that_was_only_just_started_can_be_shut_down(lab: Lab) -> None:
    vm = await lab.instance(1)
    await lab.runtime.create_volume("disk1", "debian-12", 10)
    await lab.runtime.boot(lab.spec(vm, "disk1"))
    began = time.monotonic()
    await lab.runtime.shut_down(vm.id, 150)
    assert time.monotonic() - began < 100
    assert not lab.runtime.is_running(vm.id)


async def test_clones_have_the_data_and_an_identity_of_their_own(lab: Lab) -> None:
    vm = await lab.booted(1)
    await lab.output(vm, "echo data | sudo tee /var/mark && sync")
    await lab.runtime.freeze_volume("snapshot", "disk1")
    await lab.runtime.create_volume("disk2", "snapshot", 10)
    await lab.runtime.delete_volume("snapshot")
    clone = await lab.instance(2)
    await lab.runtime.boot(lab.spec(clone, "disk2"))
    await lab.log_in(clone)
    assert await lab.output(clone, "cat /var/mark") == "data"
    for identity in ("cat /etc/machine-id", "cat /etc/ssh/ssh_host_ed25519_key.pub"):
        assert await lab.output(clone, identity) != await lab.output(vm, identity)
    assert len(await lab.output(clone, "cat /etc/machine-id")) == 32


async def test_a_copy_of_a_running_machine_lacks_what_was_not_synced(lab: Lab) -> None:
    vm = await lab.booted(1)
    await lab.output(vm, "sudo sh -c 'echo a > /var/synced; sync; echo b > /var/unsynced'")
    await lab.runtime.freeze_volume("crash", "disk1")
    await lab.output(vm, "sync")
    await lab.runtime.freeze_volume("quiet", "disk1")
    assert await lab.output(vm, "cat /var/unsynced") == "b"
    seen = {}
    for number, volume in enumerate(("crash", "quiet"), start=2):
        clone = await lab.instance(number)
        await lab.runtime.create_volume(f"disk{number}", volume, 10)
        await lab.runtime.boot(lab.spec(clone, f"disk{number}"))
        await lab.log_in(clone)
        seen[volume] = await lab.output(clone, "cat /var/synced /var/unsynced")
    assert seen == {"crash": "a", "quiet": "a\nb"}


async def test_readers_share_a_disk_that_none_of_them_can_write(lab: Lab) -> None:
    await lab.runtime.create_volume("data", None, 10)
    shared = {"data_volumes": (("archive", "data"),), "read_only": frozenset({"archive"})}
    vms = [await lab.instance(number) for number in (1, 2)]
    for vm in vms:
        await lab.runtime.create_volume(f"disk{vm.number}", "debian-12", 10)
        await lab.runtime.boot(lab.spec(vm, f"disk{vm.number}", **shared))
        await lab.log_in(vm)
    for attempt in ("sudo touch", "sudo mount -o remount,rw /mnt/disks/archive; sudo touch"):
        refused = await lab.run(vms[0], f"{attempt} /mnt/disks/archive/file")
        assert "Read-only file system" in refused.stderr
    await lab.runtime.power_off(vms[0].id)
    await lab.output(vms[1], "ls /mnt/disks/archive")


async def test_a_disk_that_could_not_be_plugged_in_is_free(lab: Lab) -> None:
    vm = await lab.booted(1)
    await lab.log_in(vm)
    await lab.runtime.create_volume("data", None, 10)
    await lab.output(vm, "sudo mkdir -p /mnt/disks && sudo touch /mnt/disks/archive")
    with pytest.raises(MachineError, match=r"gets no disk archive: .* File exists"):
        await lab.runtime.plug(vm.id, "archive", "data", read_only=False)
    await lab.runtime.delete_volume("data")


async def test_a_machine_without_its_network_is_refused_and_leaves_nothing(lab: Lab) -> None:
    vm = await lab.instance(1)
    await lab.runtime.create_volume("disk1", "debian-12", 10)
    gone = replace(lab.spec(vm, "disk1").nic, namespace="/run/netns/labgone")
    with pytest.raises(MachineError, match="podman run"):
        await lab.runtime.boot(lab.spec(vm, "disk1", nic=gone))
    assert not lab.runtime.is_running(vm.id)
    await lab.runtime.delete_volume("disk1")
    assert lab.exits == []


async def test_applications_install_from_the_caches_without_the_internet(lab: Lab) -> None:
    vm = await lab.booted(1)
    assert (await lab.run(vm, "command -v git")).returncode == 1
    assert (await lab.run(vm, "python3 -m venv /tmp/none")).returncode == 1
    await lab.output(vm, "sudo apt-get install -y -q git python3-venv 2>&1")
    await lab.output(
        vm, "python3 -m venv ~/v && ~/v/bin/pip install -q flask && ~/v/bin/flask --version"
    )
    assert "git version" in await lab.output(vm, "git --version")


_VICTIM = """
import asyncio, sys
from pathlib import Path
from tests.system.machine_lab import Lab
from cloudspill_sandbox.settings import Settings

async def main():
    state_root, image = map(Path, sys.argv[1:])
    lab = Lab(Settings(name="lab", state_root=state_root), image)
    async with lab.running():
        vm = await lab.booted(1)
        await lab.output(vm, "echo kept | sudo tee /var/mark")
        print("ready", flush=True)
        await asyncio.sleep(300)

asyncio.run(main())
"""


async def test_a_successor_ends_what_a_killed_sandbox_left_and_keeps_disks(
    settings: Settings, tmp_path: Path
) -> None:
    image = await guest_image(Settings(), print)
    before = host_resources()
    victim = await asyncio.create_subprocess_exec(
        sys.executable,
        "-c",
        _VICTIM,
        str(tmp_path),
        str(image),
        stdout=asyncio.subprocess.PIPE,
    )
    try:
        assert victim.stdout is not None
        assert await victim.stdout.readline() == b"ready\n"
        assert host_resources() != before
        victim.kill()
        await victim.wait()
        (settings.state_root / "key").unlink()
        call("ip", "netns", "del", "lab1")
        lab = Lab(settings, image)
        async with lab.running():
            vm = await lab.instance(1)
            await lab.runtime.boot(lab.spec(vm, "disk1"))
            await lab.log_in(vm)
            assert await lab.output(vm, "cat /var/mark") == "kept"
        assert host_resources() == before
    finally:
        if victim.returncode is None:
            victim.kill()
        if Path("/run/netns/lab1").exists():
            call("ip", "netns", "del", "lab1")


async def test_stopping_gives_the_host_back(settings: Settings) -> None:
    image = await guest_image(Settings(), print)
    before = host_resources()
    async with Lab(settings, image).running() as lab:
        await lab.booted(1)
        assert host_resources() != before
    assert host_resources() == before


def host_resources() -> dict[str, list[str]]:
    """What machines take of a host and must give back."""
    mounts = Path("/proc/self/mountinfo").read_text().splitlines()
    return {
        "cgroups": [str(path) for path in control_groups("cloudspill/lab*")],
        "inotify": [Path("/proc/sys/fs/inotify/max_user_instances").read_text()],
        "locks": [str(path) for path in Path("/dev/shm").iterdir()],
        "mounts": [line for line in mounts if "/lab/" in line],
    }
