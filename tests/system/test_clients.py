# SPDX-License-Identifier: GPL-3.0-or-later
"""Clients that reach into a machine, and Google's own libraries inside of one.

https://cloud.google.com/sdk/gcloud/reference/compute/ssh; inside, a program has the machine's
identity, the names of Google's hosts and a certificate that the system trusts, and nothing else.
"""

from __future__ import annotations

import re
import shutil
import tarfile
from collections.abc import Iterator
from importlib.metadata import distribution
from pathlib import Path

import pytest

from tests.system.sandbox import Sandbox

pytestmark = [
    pytest.mark.sandbox,
    pytest.mark.slow,
    pytest.mark.timeout(280),
    pytest.mark.skipif(shutil.which("gcloud") is None, reason="gcloud is not installed"),
]

ZONE = "us-west1-b"
INSIDE = f"""
from google.cloud import compute_v1, storage
client = storage.Client()
bucket = client.create_bucket("inside-" + client.project, location="us-west1")
bucket.blob("greeting").upload_from_string("hello")
print(bucket.blob("greeting").download_as_text())
bucket.delete(force=True)
instances = compute_v1.InstancesClient(transport="rest")
print(*(each.name for each in instances.list(project=client.project, zone="{ZONE}")))
"""


class Gcloud:
    """gcloud, with an instance `vm` that it made."""

    def __init__(self, sandbox: Sandbox) -> None:
        self._sandbox = sandbox
        self("instances", "create", "vm", "--machine-type=e2-small", "--scopes=cloud-platform")
        self.ssh("true")  # makes a key, and says so

    def __call__(self, *words: str) -> str:
        """Return what a command of `gcloud compute` printed."""
        command = ("gcloud", "compute", *words, f"--zone={ZONE}", "--quiet")
        return self._sandbox.client(*command).stdout

    def ssh(self, command: str) -> str:
        """Return what a command in the instance printed."""
        return self("ssh", "vm", "--strict-host-key-checking=no", f"--command={command}").strip()

    def scp(self, source: str, target: str) -> None:
        """Copy a file to or from the instance."""
        self("scp", "--strict-host-key-checking=no", source, target)


@pytest.fixture(scope="module")
def gcloud(running: Sandbox) -> Gcloud:
    return Gcloud(running)


def test_gcloud_logs_in_and_copies_files(gcloud: Gcloud, tmp_path: Path) -> None:
    assert gcloud.ssh("hostname") == "vm"
    (tmp_path / "there").write_text("hello")
    gcloud.scp(str(tmp_path / "there"), "vm:greeting")
    assert gcloud.ssh("cat greeting") == "hello"
    gcloud.scp("vm:greeting", str(tmp_path / "back"))
    assert (tmp_path / "back").read_text() == "hello"


def test_a_disk_comes_to_a_machine_that_runs_and_goes(gcloud: Gcloud) -> None:
    gcloud("disks", "create", "data", "--size=200GB", "--type=pd-standard")
    gcloud("instances", "attach-disk", "vm", "--disk=data", "--device-name=data")
    gcloud.ssh("echo kept | sudo tee /mnt/disks/data/noted && sudo sync")
    gcloud("instances", "detach-disk", "vm", "--disk=data")
    assert gcloud.ssh("ls /mnt/disks/data 2>&1 | wc -l; findmnt /mnt/disks/data | wc -l") == "1\n0"
    gcloud("instances", "attach-disk", "vm", "--disk=data", "--device-name=again", "--mode=ro")
    assert gcloud.ssh("cat /mnt/disks/again/noted") == "kept"
    assert "Read-only" in gcloud.ssh("sudo touch /mnt/disks/again/x 2>&1 || true")


def test_a_suspended_machine_goes_on_where_it_was(gcloud: Gcloud) -> None:
    gcloud.ssh("sudo systemd-run --unit=count sh -c 'while sleep 1; do date; done'")
    boot = gcloud.ssh("cat /proc/sys/kernel/random/boot_id; systemctl show -P MainPID count")
    gcloud("instances", "suspend", "vm")
    gcloud("instances", "resume", "vm")
    after = gcloud.ssh("cat /proc/sys/kernel/random/boot_id; systemctl show -P MainPID count")
    assert after == boot


def test_google_s_libraries_work_inside_with_the_machine_s_own_identity(
    gcloud: Gcloud, tmp_path: Path
) -> None:
    archive = tmp_path / "libraries.tar.gz"
    with tarfile.open(archive, "w:gz", compresslevel=1) as tar:
        for name in sorted(_with_what_it_needs("google-cloud-compute", "google-cloud-storage")):
            for file in distribution(name).files or ():
                if file.suffix != ".pyc" and ".." not in file.parts:
                    tar.add(str(file.locate()), arcname=f"libraries/{file}")
    (tmp_path / "program.py").write_text(INSIDE)
    gcloud.scp(str(archive), "vm:")
    gcloud.scp(str(tmp_path / "program.py"), "vm:")
    said = gcloud.ssh("tar xf libraries.tar.gz && PYTHONPATH=libraries python3 program.py")
    assert said.splitlines() == ["hello", "vm"]


def _with_what_it_needs(*names: str) -> set[str]:
    """Return the distributions and all that they require, without extras."""
    found: set[str] = set()
    wanted = list(names)
    while wanted:
        name = wanted.pop()
        if name not in found:
            found.add(name)
            wanted += _requirements(name)
    return found


def _requirements(name: str) -> Iterator[str]:
    for line in distribution(name).requires or ():
        if "extra ==" not in line and "python_version <" not in line:
            yield re.split(r"[^A-Za-z0-9._-]", line, maxsplit=1)[0]
