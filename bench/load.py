# SPDX-License-Identifier: GPL-3.0-or-later
"""Many clients at once: how long gets take, alone and beside clients that write.

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
        self._writer.write(request)
        head = await self._reader.readuntil(b"\r\n\r\n")
        length = head.lower().partition(b"content-length: ")[2].partition(b"\r\n")[0]
        content = await self._reader.readexactly(int(length))
        if not head.startswith(b"HTTP/1.1 200"):
            raise RuntimeError(f"{request[:100]!r}: {content[:300]!r}")
        return content

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


async def writes(connect: Connect, name: str, path: str, token: str) -> int:
    """Make, label and delete an instance until cancelled; return how many calls that were."""
    connection = await connect()
    collection, _, _ = path.rpartition("/")
    own = f"{collection}/{name}"
    calls = 0
    try:
        while True:
            await connection.ask(request("POST", collection, token, body(name, external=True)))
            shown = json.loads(await connection.ask(request("GET", own, token)))
            labels = {"labels": {"a": "b"}, "labelFingerprint": shown["labelFingerprint"]}
            await connection.ask(request("POST", f"{own}/setLabels", token, labels))
            await connection.ask(request("DELETE", own, token))
            calls += 4
    except asyncio.CancelledError:
        return calls
    finally:
        connection.close()


async def beside_writers(
    connect: Connect, path: str, token: str, clients: int, count: int
) -> tuple[Figures, float]:
    """Let some of the clients write while the others get; return their calls a second, too."""
    began = time.perf_counter()
    tasks = [asyncio.create_task(writes(connect, f"w{n}", path, token)) for n in range(WRITERS)]
    figures = await gets(connect, request("GET", path, token), clients - WRITERS, count)
    for task in tasks:
        task.cancel()
    calls = sum(await asyncio.gather(*tasks))
    return figures, round(calls / (time.perf_counter() - began))


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


def main() -> None:
    """Measure, print, write."""
    parser = argparse.ArgumentParser(description="Many clients at once.")
    parser.add_argument("--clients", type=int, default=50)
    parser.add_argument("--gets", type=int, default=200, help="of each client")
    parser.add_argument("--json", type=Path, default=ROOT / "build" / "bench" / "load.json")
    arguments = parser.parse_args()
    report = measure(arguments.clients, arguments.gets)
    show(report)
    arguments.json.parent.mkdir(parents=True, exist_ok=True)
    arguments.json.write_text(json.dumps(report, indent=2) + "\n")


if __name__ == "__main__":
    main()
