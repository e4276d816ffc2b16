# SPDX-License-Identifier: GPL-3.0-or-later
"""What the playbooks scale_out and scale_in do, in the same order, with VMs made of processes.

`python play.py CLOUD DIRECTION VARIABLES`. It fails with one sentence on stderr. Files in CLOUD
direct it: at each point NAME it makes `at-NAME` and goes on when there is no `hold-NAME`; a file
`fail-NAME` makes it fail there with what the file says.
"""

import hashlib
import json
import os
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

GUEST = Path(__file__).with_name("guest.py")
POLL = 0.01
PATIENCE = 30.0

Document = dict[str, Any]


class PlayFailedError(Exception):
    """The play ends; the text says why."""


class Play:
    """One run of a playbook."""

    def __init__(self, cloud: Path, direction: str, variables: Document) -> None:
        self.cloud, self.direction = cloud, direction
        self.move = variables["burst_move"]
        self.control = Path(variables["burst_control"])
        self.settings = {
            "controller": variables["burst_vm_controller"],
            "lease": variables["burst_vm_lease"],
            "initial_lease": variables["burst_vm_lease"],
            "tick": 0.1,
        }
        self.vms = variables["burst_vms"]
        self.spot = variables["burst_vm_spot"]

    def run(self) -> None:
        step = self.scale_out if self.direction == "out" else self.scale_in
        for vm in self.vms:
            step(vm)

    def scale_out(self, vm: Document) -> None:
        name = vm["name"]
        self.point("make")
        if not (self.cloud / name).exists():
            self.make(name)
        self.point("made")
        self.keeper(name, {"do": "status"})
        self.ask(
            {
                "do": "vm_ready",
                "vm": name,
                "zone": "us-west1-b",
                "instance_id": name,
                "machine_type": "n1-standard-1",
                "spot": self.spot,
                "ssh_command": [str(self.cloud / name / "ssh")],
            }
        )
        self.point("ready")
        for task in vm["tasks"]:
            self.hand_over(name, task)

    def scale_in(self, vm: Document) -> None:
        name = vm["name"]
        for task in vm["tasks"]:
            self.hand_over(name, task)
        if vm["delete"]:
            self.point("delete")
            self.delete(name)
            self.point("deleted")

    def hand_over(self, vm: str, task: str) -> None:
        answer = self.ask({"do": "handover", "task": task, "vm": vm})
        self.point("handed")
        if "skip" in answer:
            return
        archive = Path(answer["archive"]).read_bytes() if answer.get("archive") else b""
        said, came = self.keeper(vm, {**answer["request"], "archive": len(archive)}, archive)
        if "error" in said:
            raise PlayFailedError(
                f"the keeper of {vm} refuses {task}: {said['error']} ({said['kind']})"
            )
        if answer.get("deliver"):
            assert hashlib.sha256(came).hexdigest() == said["sha256"]
            Path(answer["deliver"]).write_bytes(came)
        self.point("called")
        self.ask({"do": "confirm", "task": task, "vm": vm, "answer": said})
        self.point("confirmed")

    def make(self, name: str) -> None:
        folder = self.cloud / name
        folder.mkdir()
        ssh = folder / "ssh"
        files = GUEST.parents[2] / "roles" / "burst_vm" / "files"
        ssh.write_text(
            "#!/usr/bin/python3 -IS\n"
            "import sys\n"
            f"sys.path.insert(0, {str(files)!r})\n"
            "from cloudspill_burst.client import stream\n"
            f"sys.exit(stream({str(folder / 'wire.sock')!r}))\n"
        )
        ssh.chmod(0o700)
        environment = {k: v for k, v in os.environ.items() if k != "CLOUDSPILL_MOVE"}
        words = [sys.executable, str(GUEST), str(folder), json.dumps(self.settings)]
        with (folder / "guest.log").open("wb") as log:
            command = ["setsid", "--fork", *words]
            null = subprocess.DEVNULL
            subprocess.run(command, env=environment, stdin=null, stdout=log, stderr=log, check=True)
        self.until((folder / "run" / "keeper.sock").exists)

    def delete(self, name: str) -> None:
        pid = self.cloud / name / "guest.pid"
        if not pid.exists():
            return
        try:
            os.kill(int(pid.read_text()), signal.SIGTERM)
        except ProcessLookupError:
            return
        self.until(lambda: not running(int(pid.read_text())))

    def keeper(self, vm: str, request: Document, archive: bytes = b"") -> tuple[Document, bytes]:
        with socket.socket(socket.AF_UNIX) as connection:
            connection.settimeout(PATIENCE)
            connect(connection, self.cloud / vm / "wire.sock")
            connection.sendall(json.dumps(request).encode() + b"\n" + archive)
            if request["do"] != "status":
                self.point("sent")
            with connection.makefile("rb") as answers:
                line = answers.readline()
                if not line:
                    raise PlayFailedError(
                        f"the connection to {vm} broke while its answer was awaited"
                    )
                answer = json.loads(line)
                return answer, answers.read(answer.get("archive") or 0)

    def ask(self, request: Document) -> Document:
        with socket.socket(socket.AF_UNIX) as connection:
            connection.settimeout(PATIENCE)
            connect(connection, self.control)
            connection.sendall(json.dumps({**request, "move": self.move}).encode() + b"\n")
            with connection.makefile("rb") as answers:
                answer: Document = json.loads(answers.readline() or b'{"error": "it hung up"}')
        if "error" in answer:
            raise PlayFailedError(f"{answer['error']} ({answer.get('kind')})")
        return answer

    def point(self, name: str) -> None:
        name = f"{self.direction}-{name}"
        (self.cloud / f"at-{name}").touch()
        self.until(lambda: not (self.cloud / f"hold-{name}").exists())
        failure = self.cloud / f"fail-{name}"
        if failure.exists():
            raise PlayFailedError(failure.read_text())

    def until(self, condition: Any) -> None:
        while not condition():
            time.sleep(POLL)


def connect(connection: socket.socket, path: Path) -> None:
    """By way of a descriptor: an address holds 107 characters at most."""
    folder = os.open(path.parent, os.O_PATH)
    try:
        connection.connect(f"/proc/self/fd/{folder}/{path.name}")
    except OSError as error:
        raise PlayFailedError(f"{path} does not answer: {error}") from error
    finally:
        os.close(folder)


def running(pid: int) -> bool:
    """Whether the process lives."""
    try:
        text = Path(f"/proc/{pid}/stat").read_bytes()
    except OSError:
        return False
    return text.rpartition(b")")[2].split()[0] not in (b"Z", b"X")


if __name__ == "__main__":
    try:
        Play(Path(sys.argv[1]), sys.argv[2], json.loads(sys.argv[3])).run()
    except PlayFailedError as failed:
        sys.exit(str(failed))
