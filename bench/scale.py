# SPDX-License-Identifier: GPL-3.0-or-later
"""A thousand instances through the API, and thirty real machines at once.

python -m bench.scale [--instances 1000] [--guests 30] [--json FILE]

The thousand live in a sandbox in memory that the benchmark starts; that needs no root. The thirty
are made in the sandbox that is up (`make up`), as root, with their logins by ssh; 0 leaves either
out. What the benchmark makes, it deletes.
"""

from __future__ import annotations

import argparse
import http.client
import json
import os
import ssl
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import google.auth
import google.auth.transport.requests
from rich.console import Console
from rich.progress import track
from rich.table import Table

from bench.api import HOST, PROGRAM, ROOT, ZONE, sandbox

CONNECTIONS = 8
DEBIAN = "projects/debian-cloud/global/images/family/debian-12"
LISTS = 20
DEADLINE = 600.0
USER = "bench"

Json = dict[str, Any]


class Api:
    """The API over kept-alive connections, one a thread, as google-cloud-compute keeps them."""

    def __init__(self, variables: dict[str, str]) -> None:
        self._project = variables["GCP_PROJECT"]
        self._port = int(variables["CLOUDSDK_PROXY_PORT"])
        self._context = ssl.create_default_context(cafile=variables["SSL_CERT_FILE"])
        credentials, _ = google.auth.default(scopes=["https://www.googleapis.com/auth/compute"])
        credentials.refresh(google.auth.transport.requests.Request())
        self._headers = {"Authorization": f"Bearer {credentials.token}"}
        self._thread = threading.local()

    def call(self, method: str, path: str, body: Json | None = None) -> Json:
        """Return the answer to a call of a path below the project.

        Raises:
            RuntimeError: it is a refusal.
        """
        connection = getattr(self._thread, "connection", None)
        if connection is None:
            connection = http.client.HTTPSConnection("127.0.0.1", self._port, context=self._context)
            connection.set_tunnel(HOST, 443)
            self._thread.connection = connection
        url = f"/compute/v1/projects/{self._project}/{path}"
        headers = self._headers | {"Content-Type": "application/json"}
        connection.request(method, url, json.dumps(body) if body else None, headers)
        response = connection.getresponse()
        content: Json = json.loads(response.read())
        if response.status != 200:
            raise RuntimeError(f"{method} {path}: {content['error']['message']}")
        return content

    def done(self, method: str, path: str, body: Json | None = None) -> None:
        """Call, and wait for the operation's end.

        Raises:
            RuntimeError: a refusal, or the operation failed.
        """
        operation = self.call(method, path, body)
        while operation["status"] != "DONE":
            operation = self.call("POST", f"zones/{ZONE}/operations/{operation['name']}/wait")
        if "error" in operation:
            raise RuntimeError(f"{method} {path}: {operation['error']['errors'][0]['message']}")

    def everywhere(self) -> int:
        """Return how many instances the aggregated list has, all its pages."""
        count, token = 0, ""
        while True:
            listed = self.call("GET", f"aggregated/instances?pageToken={token}")
            count += sum(len(scope.get("instances", ())) for scope in listed["items"].values())
            token = listed.get("nextPageToken", "")
            if not token:
                return count

    def instances(self) -> list[str]:
        """Return the names of all instances in the zone."""
        names: list[str] = []
        token = ""
        while True:
            listed = self.call("GET", f"zones/{ZONE}/instances?pageToken={token}")
            names += [instance["name"] for instance in listed["items"]]
            token = listed.get("nextPageToken", "")
            if not token:
                return names


def body(name: str, *, external: bool, public_key: str = "") -> Json:
    """Return a small instance as Google's samples make it."""
    interface: Json = {"network": "global/networks/default"}
    if external:
        interface["accessConfigs"] = [{"type": "ONE_TO_ONE_NAT"}]
    disk = {"boot": True, "autoDelete": True, "initializeParams": {"sourceImage": DEBIAN}}
    return {
        "name": name,
        "machineType": f"zones/{ZONE}/machineTypes/f1-micro",
        "labels": {"cloudspill-run": "bench"},
        "disks": [disk],
        "networkInterfaces": [interface],
        "metadata": {"items": [{"key": "ssh-keys", "value": f"{USER}:{public_key}"}]},
    }


def spread(work: Callable[[str], object], names: Iterable[str], threads: int, what: str) -> float:
    """Do something for each name, several at a time; return the seconds that all took."""
    names = list(names)
    began = time.monotonic()
    with ThreadPoolExecutor(threads) as pool:
        for _ in track(pool.map(work, names), what, total=len(names), transient=True):
            pass
    return time.monotonic() - began


def milliseconds(call: Callable[[], object]) -> float:
    """Return the median time of a call."""
    taken = []
    for _ in range(LISTS):
        began = time.perf_counter()
        call()
        taken.append(1000 * (time.perf_counter() - began))
    return statistics.median(taken)


def measure_instances(count: int) -> dict[str, float]:
    """Make, list and delete `count` instances in memory."""
    names = [f"scale-{number:04}" for number in range(count)]
    with tempfile.TemporaryDirectory() as directory, sandbox(directory) as cloud:
        os.environ.update(cloud.variables)
        api = Api(cloud.variables)
        zonal = f"zones/{ZONE}/instances"

        def insert(name: str) -> None:
            api.done("POST", zonal, body(name, external=True))

        def delete(name: str) -> None:
            api.done("DELETE", f"{zonal}/{name}")

        api.call("GET", zonal)
        idle_mb = cloud.memory_mb()
        figures = {f"insert {count} instances (s)": spread(insert, names, CONNECTIONS, "insert")}
        if sorted(api.instances()) != names:
            raise RuntimeError("the list does not have what was made")
        figures |= {
            "list of the zone, all pages (ms)": milliseconds(api.instances),
            "list with a filter, one hit (ms)": milliseconds(
                lambda: api.call("GET", f"{zonal}?filter=name%3D{names[-1]}")
            ),
            "aggregatedList, first page (ms)": milliseconds(
                lambda: api.call("GET", "aggregated/instances?maxResults=500")
            ),
            "aggregatedList, all pages (ms), target 150": milliseconds(api.everywhere),
            "resident memory, idle (MB)": idle_mb,
            "resident memory with all (MB)": cloud.memory_mb(),
            f"delete {count} instances (s)": spread(delete, names, CONNECTIONS, "delete"),
        }
        if left := api.instances():
            raise RuntimeError(f"{len(left)} instances are left")
        figures["resident memory, all deleted (MB)"] = cloud.memory_mb()
        spread(insert, names, CONNECTIONS, "insert again")
        spread(delete, names, CONNECTIONS, "delete again")
        figures["resident memory, all made and deleted twice (MB)"] = cloud.memory_mb()
        for name in cloud.variables:
            os.environ.pop(name, None)
    return figures


def running(*words: str) -> Json:
    """Return what a command of the sandbox that is up says as JSON; where none is, end here."""
    done = subprocess.run(
        [PROGRAM, *words, "--output", "json"], check=False, stdout=subprocess.PIPE, text=True
    )
    if done.returncode:
        sys.exit("real machines need a sandbox that is up (make up); --guests 0 leaves them out")
    answer: Json = json.loads(done.stdout)
    return answer


def guests_memory_mb() -> float:
    """Return the proportional memory of every process in the sandbox's control group."""
    name = os.environ.get("CLOUDSPILL_SANDBOX", "cloudspill")
    kilobytes = 0
    for group in Path("/proc").glob("[0-9]*/cgroup"):
        try:
            if f"/cloudspill/{name}/" in group.read_text():
                rollup = (group.parent / "smaps_rollup").read_text()
                kilobytes += int(rollup.split("\nPss:", 1)[1].split()[0])
        except (OSError, IndexError):
            continue  # it has ended
    return kilobytes / 1024


def measure_guests(count: int) -> dict[str, float]:
    """Ask for `count` real machines at once, log in to each, and delete them."""
    variables = running("env")
    os.environ.update(variables)
    api = Api(variables)
    names = [f"guest-{number:02}" for number in range(count)]
    zonal = f"zones/{ZONE}/instances"
    with tempfile.TemporaryDirectory() as folder:
        key = Path(folder) / "key"
        subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", key], check=True)
        public = key.with_suffix(".pub").read_text().strip()
        began = time.monotonic()

        def login(name: str) -> tuple[float, float]:
            api.done("POST", zonal, body(name, external=True, public_key=public))
            done = time.monotonic() - began
            (interface,) = api.call("GET", f"{zonal}/{name}")["networkInterfaces"]
            wait_for_login(interface["accessConfigs"][0]["natIP"], key)
            return done, time.monotonic() - began

        def delete(name: str) -> None:
            api.done("DELETE", f"{zonal}/{name}")

        before = guests_memory_mb()
        try:
            with ThreadPoolExecutor(count) as pool:
                times = list(track(pool.map(login, names), "boot", total=count, transient=True))
            memory = guests_memory_mb() - before
            resident = float(running("status")["memory_mb"])
        finally:
            made = set(api.instances()) & set(names)
            deletion = spread(delete, made, count, "delete")
    return {
        "guests made at once": count,
        "all operations done (s)": max(done for done, _ in times),
        "first login by ssh (s)": min(login for _, login in times),
        "median login by ssh (s)": statistics.median(login for _, login in times),
        "all logged in by ssh (s)": max(login for _, login in times),
        "memory a guest, proportional (MB)": memory / count,
        "sandbox, resident memory (MB)": resident,
        "all deleted (s)": deletion,
    }


def wait_for_login(address: str, key: Path) -> None:
    """Return when a command runs there as root.

    Raises:
        TimeoutError: it does not within the deadline.
    """
    options = (
        f"-i{key}",
        "-oBatchMode=yes",
        "-oConnectTimeout=10",
        "-oStrictHostKeyChecking=no",
        "-oUserKnownHostsFile=/dev/null",
        "-oLogLevel=ERROR",
    )
    deadline = time.monotonic() + DEADLINE
    command = ["ssh", *options, f"{USER}@{address}", "sudo -n true"]
    while subprocess.run(command, capture_output=True, check=False).returncode:
        if time.monotonic() > deadline:
            raise TimeoutError(f"no login at {address} within {DEADLINE:.0f} s")
        time.sleep(0.2)


def main() -> None:
    """Measure, print a table, write JSON."""
    parser = argparse.ArgumentParser(description="Many instances.")
    parser.add_argument("--instances", type=int, default=1000, help="in memory")
    parser.add_argument("--guests", type=int, default=30, help="real machines")
    parser.add_argument("--json", type=Path, default=ROOT / "build" / "bench" / "scale.json")
    arguments = parser.parse_args()
    if arguments.guests and os.geteuid():
        sys.exit("real machines need root; --guests 0 leaves them out")
    if arguments.guests:
        running("env")  # before minutes are spent
    figures: dict[str, float] = {}
    if arguments.instances:
        figures |= measure_instances(arguments.instances)
    if arguments.guests:
        figures |= measure_guests(arguments.guests)
    table = Table("figure", "value")
    for name, value in figures.items():
        table.add_row(name, f"{value:.2f}".rstrip("0").rstrip("."))
    Console().print(table)
    arguments.json.parent.mkdir(parents=True, exist_ok=True)
    arguments.json.write_text(json.dumps(figures, indent=2) + "\n")


if __name__ == "__main__":
    main()
