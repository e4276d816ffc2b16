# SPDX-License-Identifier: GPL-3.0-or-later
"""Many clients at once: how long gets take, alone and beside clients that write, and audited then.

python -m bench.load [--clients 50] [--gets 200] [--json FILE]

Every client has a kept-alive TLS connection and asks again as soon as it is answered, so the server
is never idle. A bare aiohttp server is asked in the same way. Starts a sandbox in memory of its
own; needs no root.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import ssl
import tempfile
import time
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any
from urllib.parse import quote

from rich.console import Console
from rich.table import Table

from bench.api import HOST, ROOT, Figures, access_token, bare_server, make_instance, sandbox
from bench.scale import body

WRITERS = 10
TARGET_P99_MS = 50


def figures_of(seconds: Sequence[float], elapsed: float) -> Figures:
    """Summarise the seconds of every get, which together took `elapsed`."""
    ordered = sorted(1000 * each for each in seconds)
    p50, p99 = (ordered[int(share * len(ordered))] for share in (0.5, 0.99))
    return Figures(round(p50, 2), round(p99, 2), round(len(ordered) / elapsed))


class Connection:
    """One client's connection."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader = reader
        self._writer = writer

    async def ask(self, request: bytes) -> bytes:
        """Send a request and return the body of its answer.

        Raises:
            RuntimeError: it is a refusal.
        """
        status, content = await self.attempt(request)
        if status != 200:
            raise RuntimeError(f"{request[:100]!r}: {content[:300]!r}")
        return content

    async def attempt(self, request: bytes) -> tuple[int, bytes]:
        """Send a request and return status and body of its answer, whatever it is."""
        self._writer.write(request)
        head = await self._reader.readuntil(b"\r\n\r\n")
        length = head.lower().partition(b"content-length: ")[2].partition(b"\r\n")[0]
        content = await self._reader.readexactly(int(length))
        return int(head[9:12]), content

    def close(self) -> None:
        """Close it."""
        self._writer.close()


Connect = Callable[[], Awaitable[Connection]]


def through_proxy(port: int, context: ssl.SSLContext) -> Connect:
    """Return what connects to the API as every client does."""

    async def connect() -> Connection:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(f"CONNECT {HOST}:443 HTTP/1.1\r\n\r\n".encode())
        await reader.readuntil(b"\r\n\r\n")
        await writer.start_tls(context, server_hostname=HOST)
        return Connection(reader, writer)

    return connect


def directly(port: int, context: ssl.SSLContext) -> Connect:
    """Return what connects to the bare server."""

    async def connect() -> Connection:
        return Connection(*await asyncio.open_connection("127.0.0.1", port, ssl=context))

    return connect


def request(method: str, path: str, token: str, document: Any = None) -> bytes:
    """Return a request as it goes over the wire."""
    content = b"" if document is None else json.dumps(document).encode()
    lines = [f"{method} {path} HTTP/1.1", f"Host: {HOST}", f"Authorization: Bearer {token}"]
    lines += ["Content-Type: application/json", f"Content-Length: {len(content)}"]
    return "\r\n".join([*lines, "", ""]).encode() + content


async def gets(connect: Connect, asked: bytes, clients: int, count: int) -> Figures:
    """Let clients get the same `count` times each."""
    connections = [await connect() for _ in range(clients)]
    seconds: list[float] = []

    async def client(connection: Connection) -> None:
        for _ in range(count):
            began = time.perf_counter()
            await connection.ask(asked)
            seconds.append(time.perf_counter() - began)

    began = time.perf_counter()
    await asyncio.gather(*map(client, connections))
    elapsed = time.perf_counter() - began
    for connection in connections:
        connection.close()
    return figures_of(seconds, elapsed)


class Writer:
    """A client that makes, labels and deletes an instance, and counts on one that all share.

    Attributes:
        name: of its instance, and of its label.
        calls: how many of its calls were carried out.
        counted: what its count is, as far as it was told.
    """

    def __init__(self, name: str, path: str, token: str) -> None:
        self.name = name
        self._collection = path.rpartition("/")[0]
        self._shared = path
        self._token = token
        self.calls = 0
        self.counted = 0

    async def write(self, connect: Connect, over: asyncio.Event) -> None:
        """Go on until it is over."""
        connection = await connect()
        own = f"{self._collection}/{self.name}"
        while not over.is_set():
            made = body(self.name, external=True)
            await self._ask(connection, "POST", self._collection, made)
            shown = json.loads(await self._ask(connection, "GET", own))
            labels = {"labels": {"a": "b"}, "labelFingerprint": shown["labelFingerprint"]}
            await self._ask(connection, "POST", f"{own}/setLabels", labels)
            await self._ask(connection, "DELETE", own)
            await self._count(connection)
        connection.close()

    async def _count(self, connection: Connection) -> None:
        """Add one to a label of its own, beside those of the others, until that is taken."""
        status = 412
        while status == 412:
            shown = json.loads(await self._ask(connection, "GET", self._shared))
            labels = shown.get("labels", {}) | {self.name: str(self.counted + 1)}
            change = {"labels": labels, "labelFingerprint": shown["labelFingerprint"]}
            path = f"{self._shared}/setLabels"
            status, content = await connection.attempt(request("POST", path, self._token, change))
            if status not in (200, 412):
                raise RuntimeError(f"{path}: {content[:300]!r}")
        self.counted += 1
        self.calls += 1

    async def _ask(
        self, connection: Connection, method: str, path: str, document: Any = None
    ) -> bytes:
        content = await connection.ask(request(method, path, self._token, document))
        self.calls += 1
        return content


async def beside_writers(
    connect: Connect, path: str, token: str, clients: int, count: int
) -> tuple[Figures, float]:
    """Let some of the clients write while the others get; return their calls a second, too.

    Raises:
        RuntimeError: what is there afterwards is not what the writers were told.
    """
    began, over = time.perf_counter(), asyncio.Event()
    writers = [Writer(f"w{number}", path, token) for number in range(WRITERS)]
    tasks = [asyncio.create_task(writer.write(connect, over)) for writer in writers]
    figures = await gets(connect, request("GET", path, token), clients - WRITERS, count)
    over.set()
    await asyncio.gather(*tasks)
    elapsed = time.perf_counter() - began
    faults = await audit(connect, path, token, {w.name: str(w.counted) for w in writers})
    if faults:
        raise RuntimeError("after the writers: " + "; ".join(faults))
    return figures, round(sum(writer.calls for writer in writers) / elapsed)


async def audit(connect: Connect, path: str, token: str, counts: dict[str, str]) -> list[str]:
    """Return what is wrong once every writer has deleted what it made.

    Args:
        path: of the instance that all shared.
        counts: what its labels ought to be.
    """
    connection = await connect()

    async def shown(where: str) -> Any:
        return json.loads(await connection.ask(request("GET", where, token)))

    async def listed(where: str) -> list[Any]:
        page = await shown(where)
        found = list(page.get("items", []))
        while (following := page.get("nextPageToken")) is not None:
            page = await shown(f"{where}?pageToken={quote(following, safe='')}")
            found += page.get("items", [])
        return found

    zone, name = path.rpartition("/instances/")[::2]
    region = zone.replace("/zones/", "/regions/").rpartition("-")[0]
    faults = []
    labels = (await shown(path)).get("labels", {})
    if labels != counts:
        faults.append(f"an update was lost: the counts are {labels}, and were told as {counts}")
    for kind, wanted in (("instances", [name]), ("disks", [name])):
        there = [each["name"] for each in await listed(f"{zone}/{kind}")]
        if there != wanted:
            faults.append(f"{kind} are {there}, not {wanted}")
    quotas = {each["metric"]: each["usage"] for each in (await shown(region))["quotas"]}
    if quotas["INSTANCES"] != 1 or quotas["IN_USE_ADDRESSES"] > 1:
        faults.append(f"one instance uses {quotas}")
    faults += [
        f"an operation did not end well: {operation}"
        for operation in await listed(f"{zone}/operations")
        if operation["status"] != "DONE" or "error" in operation
    ]
    connection.close()
    return faults


def measure(clients: int, count: int) -> dict[str, Any]:
    """Measure the sandbox and the bare server."""
    with tempfile.TemporaryDirectory() as directory, sandbox(directory) as cloud:
        os.environ.update(cloud.variables)
        path = make_instance(cloud.variables["GCP_PROJECT"])
        token = access_token()
        context = ssl.create_default_context(cafile=cloud.variables["SSL_CERT_FILE"])
        connect = through_proxy(int(cloud.variables["CLOUDSDK_PROXY_PORT"]), context)
        asked = request("GET", path, token)

        async def one() -> bytes:
            connection = await connect()
            content = await connection.ask(asked)
            connection.close()
            return content

        content = asyncio.run(one())
        own = asyncio.run(gets(connect, asked, clients, count))
        mixed, written = asyncio.run(beside_writers(connect, path, token, clients, count))
        with bare_server(content) as (port, trusting):
            bare = asyncio.run(gets(directly(port, trusting), asked, clients, count))
        memory_mb = cloud.memory_mb()
    return {
        f"{clients} clients get": asdict(own),
        f"{clients - WRITERS} get, {WRITERS} write": asdict(mixed),
        f"bare aiohttp, {clients} get": asdict(bare),
        "p99, sandbox over bare": round(own.p99 / bare.p99, 2),
        "calls a second of the writers": written,
        "what the writers left": "whole: no update lost, nothing too many",
        "sandbox, resident memory (MB)": memory_mb,
    }


def show(report: dict[str, Any]) -> None:
    """Print the table."""
    table = Table("", "p50 ms", "p99 ms", "gets/s")
    console = Console()
    for name, figures in report.items():
        if isinstance(figures, dict):
            table.add_row(
                name, f"{figures['p50']}", f"{figures['p99']}", f"{figures['per_second']}"
            )
    table.add_row("target", "", f"≤ {TARGET_P99_MS}", "")
    console.print(table)
    for name, value in report.items():
        if not isinstance(value, dict):
            console.print(f"{name}: {value}")


def run(what: str, measure: Callable[[int, int], dict[str, Any]], file: str, *usual: int) -> None:
    """Read the command line, measure, print, write.

    Args:
        what: is measured, in a sentence.
        file: where the figures go unless the command line says.
        usual: how many clients, and how many gets of each.
    """
    parser = argparse.ArgumentParser(description=what)
    parser.add_argument("--clients", type=int, default=usual[0])
    parser.add_argument("--gets", type=int, default=usual[1], help="of each client")
    parser.add_argument("--json", type=Path, default=ROOT / "build" / "bench" / file)
    arguments = parser.parse_args()
    report = measure(arguments.clients, arguments.gets)
    show(report)
    arguments.json.parent.mkdir(parents=True, exist_ok=True)
    arguments.json.write_text(json.dumps(report, indent=2) + "\n")


if __name__ == "__main__":
    run("Many clients at once.", measure, "load.json", 50, 200)
