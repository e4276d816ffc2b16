# SPDX-License-Identifier: GPL-3.0-or-later
"""What a get of an instance costs, against a bare aiohttp server that sends the same bytes.

python bench/api.py [--rounds 7] [--gets 1000] [--json FILE]

Both are asked in turn, by the same client on one kept-alive TLS connection each, so that what the
machine does besides hits both. Starts a sandbox in memory of its own; needs no root.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import http.client
import json
import multiprocessing
import os
import socket
import ssl
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from multiprocessing.connection import Connection
from pathlib import Path

import google.auth
import google.auth.transport.requests
import trustme
from aiohttp import web
from google.cloud import compute_v1
from rich.console import Console
from rich.table import Table

ROOT = Path(__file__).parents[1]
PROGRAM = Path(sys.executable).with_name("cloudspill-sandbox")
HOST = "compute.googleapis.com"
ZONE = "us-west1-b"
WARM_UP = 200
TARGET_P50_MS, TARGET_PER_SECOND, TARGET_MB = 1.0, 2000, 120

Get = Callable[[], bytes]


@dataclass(frozen=True, slots=True)
class Figures:
    """Latencies in milliseconds; `per_second` is the median of the rounds."""

    p50: float
    p99: float
    per_second: float

    @classmethod
    def of(cls, rounds: list[list[float]]) -> Figures:
        """Summarise the seconds of every get, by rounds."""
        every = sorted(1000 * seconds for each in rounds for seconds in each)
        speeds = [len(each) / sum(each) for each in rounds]
        return cls(
            round(statistics.median(every), 3),
            round(every[int(0.99 * len(every))], 3),
            round(statistics.median(speeds)),
        )


@dataclass(frozen=True, slots=True)
class Sandbox:
    """A running sandbox.

    Attributes:
        variables: the environment of its clients.
        run: runs its program with these words, returns what that printed.
    """

    variables: dict[str, str]
    run: Callable[..., str]

    def memory_mb(self) -> float:
        """Resident memory of its process."""
        return float(json.loads(self.run("status", "--output", "json"))["memory_mb"])


@contextlib.contextmanager
def sandbox(directory: str, *options: str) -> Iterator[Sandbox]:
    """Run a sandbox in memory, with further options of `up`."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    environment = os.environ | {
        "CLOUDSPILL_SANDBOX": "bench",
        "CLOUDSPILL_SANDBOX_PORT": str(port),
        "CLOUDSPILL_STATE_ROOT": f"{directory}/state",
        "CLOUDSPILL_RUN_ROOT": f"{directory}/run",
    }

    def run(*words: str) -> str:
        done = subprocess.run(
            [PROGRAM, *words], env=environment, check=True, stdout=subprocess.PIPE, text=True
        )
        return done.stdout

    try:
        run("up", "--in-memory", *options)
        yield Sandbox(json.loads(run("env", "--output", "json")), run)
    finally:
        run("down")


def make_instance(project: str) -> str:
    """Make the instance that is asked for; return its path."""
    disk = compute_v1.AttachedDisk(
        boot=True,
        auto_delete=True,
        initialize_params=compute_v1.AttachedDiskInitializeParams(
            source_image="projects/debian-cloud/global/images/family/debian-12"
        ),
    )
    instance = compute_v1.Instance(
        name="bench",
        machine_type=f"zones/{ZONE}/machineTypes/e2-micro",
        disks=[disk],
        network_interfaces=[compute_v1.NetworkInterface(network="global/networks/default")],
    )
    client = compute_v1.InstancesClient()
    client.insert(project=project, zone=ZONE, instance_resource=instance).result(timeout=60)
    return f"/compute/v1/projects/{project}/zones/{ZONE}/instances/bench"


def getter(connection: http.client.HTTPSConnection, path: str, headers: dict[str, str]) -> Get:
    """Return what gets one path on a connection that stays open."""

    def get() -> bytes:
        connection.request("GET", path, headers=headers)
        response = connection.getresponse()
        content = response.read()
        if response.status != 200:
            raise RuntimeError(f"{path}: {response.status} {content[:200]!r}")
        return content

    return get


def ask_sandbox(variables: dict[str, str], path: str) -> Get:
    """Connect to the sandbox through its proxy, as every client does."""
    context = ssl.create_default_context(cafile=variables["SSL_CERT_FILE"])
    port = int(variables["CLOUDSDK_PROXY_PORT"])
    connection = http.client.HTTPSConnection("127.0.0.1", port, context=context)
    connection.set_tunnel(HOST, 443)
    return getter(connection, path, {"Authorization": f"Bearer {access_token()}"})


def access_token() -> str:
    """Return a token of the account that the environment names."""
    credentials, _ = google.auth.default(scopes=["https://www.googleapis.com/auth/compute"])
    credentials.refresh(google.auth.transport.requests.Request())
    return str(credentials.token)


def serve_bare(content: bytes, certificate: bytes, said: Connection) -> None:
    """Answer every path with `content` until this process is ended; say the port first."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    with tempfile.NamedTemporaryFile() as pem:
        pem.write(certificate)
        pem.flush()
        context.load_cert_chain(pem.name)

    async def answer(_request: web.BaseRequest) -> web.Response:
        return web.Response(body=content, content_type="application/json")

    async def serve() -> None:
        server = web.Server(answer, access_log=None)
        listener = await asyncio.get_running_loop().create_server(
            server, "127.0.0.1", 0, ssl=context
        )
        said.send(listener.sockets[0].getsockname()[1])
        await listener.serve_forever()

    asyncio.run(serve())


@contextlib.contextmanager
def bare_server(content: bytes) -> Iterator[tuple[int, ssl.SSLContext]]:
    """Run the bare server in a process of its own; give its port, and what trusts it."""
    authority = trustme.CA()
    certificate = authority.issue_cert("127.0.0.1").private_key_and_cert_chain_pem.bytes()
    here, there = multiprocessing.Pipe(duplex=False)
    spawning = multiprocessing.get_context("spawn")
    process = spawning.Process(target=serve_bare, args=(content, certificate, there))
    process.start()
    try:
        context = ssl.create_default_context(cadata=authority.cert_pem.bytes().decode())
        yield here.recv(), context
    finally:
        process.terminate()
        process.join()


@contextlib.contextmanager
def ask_bare(content: bytes) -> Iterator[Get]:
    """Run the bare server, and connect to it."""
    with bare_server(content) as (port, context):
        connection = http.client.HTTPSConnection("127.0.0.1", port, context=context)
        yield getter(connection, "/", {"Authorization": "Bearer none"})
        connection.close()


def timed(get: Get, count: int) -> list[float]:
    """Return the seconds of each of `count` gets, one after the other."""
    seconds = []
    for _ in range(count):
        began = time.perf_counter()
        get()
        seconds.append(time.perf_counter() - began)
    return seconds


def compare(first: Get, second: Get, rounds: int, gets: int) -> tuple[Figures, Figures]:
    """Measure two in turn."""
    for get in (first, second):
        timed(get, WARM_UP)
    pairs = [(timed(first, gets), timed(second, gets)) for _ in range(rounds)]
    return Figures.of([one for one, _ in pairs]), Figures.of([other for _, other in pairs])


def show(own: Figures, bare: Figures, memory_mb: float) -> None:
    """Print the table."""
    table = Table("get of an instance", "p50 ms", "p99 ms", "gets/s")
    for name, figures in (("sandbox", own), ("bare aiohttp", bare)):
        table.add_row(name, f"{figures.p50}", f"{figures.p99}", f"{figures.per_second:.0f}")
    table.add_row("target", f"≤ {TARGET_P50_MS:.0f}", "", f"≥ {TARGET_PER_SECOND}")
    console = Console()
    console.print(table)
    console.print(
        f"sandbox / bare: {own.p50 / bare.p50:.2f} times the p50; "
        f"resident memory {memory_mb} MB (target ≤ {TARGET_MB})"
    )


def main() -> None:
    """Measure, print, write."""
    parser = argparse.ArgumentParser(description="What a get costs.")
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--gets", type=int, default=1000, help="in each round")
    parser.add_argument("--json", type=Path, default=ROOT / "build" / "bench" / "api.json")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as directory, sandbox(directory) as cloud:
        os.environ.update(cloud.variables)
        get = ask_sandbox(cloud.variables, make_instance(cloud.variables["GCP_PROJECT"]))
        with ask_bare(get()) as bare_get:
            own, bare = compare(get, bare_get, arguments.rounds, arguments.gets)
        memory_mb = cloud.memory_mb()
    show(own, bare, memory_mb)
    report = {
        "get an instance": {"sandbox": asdict(own), "bare aiohttp": asdict(bare)},
        "p50, sandbox over bare": round(own.p50 / bare.p50, 2),
        "sandbox, resident memory (MB)": memory_mb,
    }
    arguments.json.parent.mkdir(parents=True, exist_ok=True)
    arguments.json.write_text(json.dumps(report, indent=2) + "\n")


if __name__ == "__main__":
    main()
