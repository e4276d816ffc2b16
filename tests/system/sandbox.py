# SPDX-License-Identifier: GPL-3.0-or-later
"""A sandbox of the tests' own, used as a person would: by its commands, playbooks and clients."""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parents[2]
BIN = Path(sys.executable).parent
FLASK_APP = ROOT / "roles" / "flask_app" / "files" / "app"
SSH = (
    *("ssh", "-F", "none"),
    *("-o", "BatchMode=yes", "-o", "ConnectTimeout=5", "-o", "LogLevel=ERROR"),
    *("-o", "StrictHostKeyChecking=no", "-o", "UserKnownHostsFile=/dev/null"),
    # A moment after sshd began to listen, Google's agent has it read its settings again; until it
    # has, connections are refused.
    *("-o", "ConnectionAttempts=3"),
)
"""ssh to a test's own machine, by nobody's settings."""


@dataclass(frozen=True, slots=True)
class Play:
    """What came of a playbook run."""

    status: int
    output: str

    @property
    def changed(self) -> int:
        """Tasks that said `changed`, over all hosts."""
        return sum(int(count) for count in re.findall(r"\bchanged=(\d+)", self.output))


class Sandbox:
    """Runs commands against one sandbox.

    Args:
        home: a home directory of the tests' own: ssh keys and caches go there.
        variables: environment variables that name the sandbox.
    """

    def __init__(self, home: Path, variables: dict[str, str]) -> None:
        inherited = {key: value for key, value in os.environ.items() if "proxy" not in key.lower()}
        self.base = (
            inherited
            | variables
            | {
                "HOME": str(home),
                "PATH": f"{BIN}:{os.environ['PATH']}",
                "ANSIBLE_FORCE_COLOR": "0",
                "CLOUDSDK_CONFIG": str(home / "gcloud"),
                "CLOUDSDK_CORE_DISABLE_PROMPTS": "1",
            }
        )
        self.state_dir = Path("/var/lib/cloudspill") / variables["CLOUDSPILL_SANDBOX"]
        self.run_dir = Path("/run/cloudspill") / variables["CLOUDSPILL_SANDBOX"]

    def run(
        self, *command: str, check: bool = True, extra: dict[str, str] | None = None
    ) -> subprocess.CompletedProcess[str]:
        """Run a command in the checkout; its output is shown when it fails."""
        done = subprocess.run(
            command,
            cwd=ROOT,
            env=self.base | (extra or {}),
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            check=False,
            timeout=280,
        )
        if check and done.returncode:
            raise AssertionError(
                f"{command} ended with {done.returncode}:\n{done.stdout}\n{done.stderr}"
            )
        return done

    def cli(self, *arguments: str, check: bool = True) -> subprocess.CompletedProcess[str]:
        """Run cloudspill-sandbox."""
        return self.run("cloudspill-sandbox", *arguments, check=check)

    def up(self, *options: str) -> None:
        """Start it, with the application published."""
        self.cli("up", "--publish", f"flask-app={FLASK_APP}", *options)

    def play(self, playbook: str, *options: str) -> Play:
        """Run a playbook of the collection."""
        done = self.run("ansible-playbook", f"playbooks/{playbook}", *options, check=False)
        return Play(done.returncode, done.stdout + done.stderr)

    def start(self, playbook: str, *options: str) -> subprocess.Popen[bytes]:
        """Run a playbook that the caller ends; nobody hears what it says."""
        return subprocess.Popen(
            ["ansible-playbook", f"playbooks/{playbook}", *options],
            cwd=ROOT,
            env=self.base,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )

    def inventory(self) -> dict[str, dict[str, str]]:
        """What the inventory knows of each instance."""
        listed = json.loads(self.run("ansible-inventory", "--list").stdout)
        known: dict[str, dict[str, str]] = listed["_meta"]["hostvars"]
        return known

    def client_environment(self) -> dict[str, str]:
        """What `cloudspill-sandbox env` gives a shell."""
        variables: dict[str, str] = json.loads(self.cli("env", "--output", "json").stdout)
        return variables

    def client(self, *command: str, check: bool = True) -> subprocess.CompletedProcess[str]:
        """Run a command as in a shell that has evaluated `cloudspill-sandbox env`."""
        return self.run(*command, check=check, extra=self.client_environment())

    def resources(self) -> dict[str, list[str]]:
        """Names of all that a run could have made, by kind, asked with Google's own client."""
        script = (
            "import json, sys\n"
            "from google.cloud import compute_v1 as c, storage\n"
            "p = sys.argv[1]\n"
            "def scoped(client, kind):\n"
            "    for _, page in client.aggregated_list(project=p):\n"
            "        yield from getattr(page, kind)\n"
            "print(json.dumps({\n"
            "  'instances': sorted(i.name for i in scoped(c.InstancesClient(), 'instances')),\n"
            "  'disks': sorted(i.name for i in scoped(c.DisksClient(), 'disks')),\n"
            "  'addresses': sorted(i.name for i in scoped(c.AddressesClient(), 'addresses')),\n"
            "  'images': sorted(i.name for i in c.ImagesClient().list(project=p)),\n"
            "  'snapshots': sorted(i.name for i in c.SnapshotsClient().list(project=p)),\n"
            "  'firewalls': sorted(i.name for i in c.FirewallsClient().list(project=p)),\n"
            "  'buckets': sorted(b.name for b in storage.Client(project=p).list_buckets()),\n"
            "}))\n"
        )
        project = self.client_environment()["GCP_PROJECT"]
        found: dict[str, list[str]] = json.loads(
            self.client(sys.executable, "-c", script, project).stdout
        )
        return found

    def pid(self) -> int:
        """Ask for the sandbox's process."""
        return int(json.loads(self.cli("status", "--output", "json").stdout)["pid"])

    def kill(self) -> None:
        """End the sandbox's process by SIGKILL; returns when it is gone."""
        pid = self.pid()
        os.kill(pid, signal.SIGKILL)
        eventually(lambda: not Path(f"/proc/{pid}").exists(), within=30, what="the daemon is gone")

    def destroy(self) -> None:
        """Stop it and forget all that it kept."""
        try:
            self.cli("down")
        finally:
            shutil.rmtree(self.state_dir, ignore_errors=True)
            shutil.rmtree(self.run_dir, ignore_errors=True)


@contextmanager
def host_to_ourselves() -> Iterator[None]:
    """The host without a person's sandbox, which is started again afterwards: one alone can run.

    Its instances boot on their disks then, with their addresses.
    """
    program = str(BIN / "cloudspill-sandbox")
    theirs = subprocess.run([program, "status"], capture_output=True, check=False).returncode == 0
    if theirs:
        subprocess.run([program, "down"], check=True)
    try:
        yield
    finally:
        if theirs:
            subprocess.run([program, "up"], check=True)


def control_groups(pattern: str) -> list[Path]:
    """Control groups by a pattern of their paths.

    A guest's systemd makes and removes them all the time: unlike `Path.rglob`, a walk takes one
    that goes meanwhile for empty.
    """
    found = (Path(folder) for folder, _, _ in os.walk("/sys/fs/cgroup"))
    return sorted(path for path in found if path.match(pattern))


def eventually(condition: Callable[[], bool], within: float, what: str) -> float:
    """Wait until a condition holds; return the seconds that it took.

    Raises:
        AssertionError: it did not within `within` seconds.
    """
    began = time.monotonic()
    while not condition():
        if time.monotonic() - began > within:
            raise AssertionError(f"not within {within:.0f} s: {what}")
        time.sleep(0.1)
    return time.monotonic() - began


def opens(address: str, port: int, within: float = 1.0) -> bool:
    """Whether a TCP connection comes about."""
    try:
        socket.create_connection((address, port), timeout=within).close()
    except OSError:
        return False
    return True


def page(address: str, port: int = 5000) -> tuple[int, str]:
    """GET / without any proxy; (0, reason) when nothing answers."""
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    try:
        with opener.open(f"http://{address}:{port}/", timeout=10) as answer:
            return answer.status, answer.read().decode()
    except urllib.error.HTTPError as error:
        return error.code, error.read().decode()
    except OSError as error:
        return 0, str(error)
