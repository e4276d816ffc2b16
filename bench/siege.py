# SPDX-License-Identifier: GPL-3.0-or-later
"""What gets cost while other clients mean harm.

python -m bench.siege [--clients 20] [--gets 150] [--json FILE]

One kind of enemy after the other, in a process of its own, attacks the port that everybody uses: a
thousand connections that say nothing, heads that trickle, bodies without an end, documents and
batches as large as is allowed, garbage in place of TLS. Starts a sandbox in memory of its own;
needs no root.
"""

from __future__ import annotations

import asyncio
import contextlib
import multiprocessing
import os
import resource
import ssl
import tempfile
from collections.abc import Awaitable, Callable, Iterator
from dataclasses import asdict
from multiprocessing.synchronize import Event
from typing import Any

from bench.api import HOST, Figures, access_token, make_instance, sandbox
from bench.load import gets, request, run, through_proxy

IDLE = 1000
TRICKLING = 200
BEGINNING = 60.0
"""Seconds in which an attack begins."""
_MEGABYTE = 1 << 20
_ENDED = (OSError, ssl.SSLError, asyncio.IncompleteReadError)


class Enemy:
    """What attacks know of their victim.

    Args:
        port: of the sandbox.
        authority: file of its certificate authority.
        path: of an instance.
        token: of the owner, so that nothing is refused for want of one.
        under_way: is set when the attack has begun: every connection is open, or bytes are sent.
    """

    def __init__(self, port: int, authority: str, path: str, token: str, under_way: Event) -> None:
        self._begun = under_way.set
        self._port = port
        self._context = ssl.create_default_context(cafile=authority)
        self._collection = path.rpartition("/")[0]
        self._token = token

    async def _plain(self) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        reader, writer = await asyncio.open_connection("127.0.0.1", self._port)
        writer.write(f"CONNECT {HOST}:443 HTTP/1.1\r\n\r\n".encode())
        await reader.readuntil(b"\r\n\r\n")
        return reader, writer

    async def _secured(self) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        reader, writer = await self._plain()
        await writer.start_tls(self._context, server_hostname=HOST)
        return reader, writer

    def _post(self, *fields: str) -> bytes:
        whole = request("POST", self._collection, self._token)
        return whole.replace(b"Content-Length: 0\r\n", "".join(f"{f}\r\n" for f in fields).encode())

    async def idle(self) -> None:
        """Open connections, and say nothing."""
        kept = [await self._secured() for _ in range(IDLE)]
        self._begun()
        await asyncio.Event().wait()
        del kept

    async def trickle(self) -> None:
        """Send heads a byte at a time."""
        writers = [(await self._secured())[1] for _ in range(TRICKLING)]
        self._begun()
        while True:
            for writer in writers:
                writer.write(b"G")
            await asyncio.sleep(0.1)

    async def too_large(self) -> None:
        """Send 100 MB of JSON, in parallel and again and again."""
        head = self._post(f"Content-Length: {100 * _MEGABYTE}")
        await self._again(4, head, b'{"name": "' + b"x" * _MEGABYTE)

    async def endless(self) -> None:
        """Send chunks without an end, in parallel and again and again."""
        chunk = b"%x\r\n" % _MEGABYTE + bytes(_MEGABYTE) + b"\r\n"
        await self._again(4, self._post("Transfer-Encoding: chunked"), chunk)

    async def largest(self) -> None:
        """Send documents that are just small enough, with as many parts as fit."""
        document = b'{"name": "x", "labels": {' + b",".join(
            b'"k%06d": "v"' % number for number in range(600_000)
        )
        document += b"}}"
        head = self._post(f"Content-Length: {len(document)}")
        await asyncio.gather(*(self._answered(head + document) for _ in range(2)))

    async def batches(self) -> None:
        """Send as many calls at once as a batch may hold."""
        line = f"GET {self._collection} HTTP/1.1\r\n\r\n"
        part = f"--cut\r\nContent-Type: application/http\r\n\r\n{line}\r\n"
        content = (part * 1000 + "--cut--\r\n").encode()
        head = self._post(f"Content-Length: {len(content)}").replace(
            b"application/json", b"multipart/mixed; boundary=cut"
        )
        head = head.replace(self._collection.encode(), b"/batch/compute/v1", 1)
        await asyncio.gather(*(self._answered(head + content) for _ in range(2)))

    async def garbage(self) -> None:
        """Send what is no TLS where TLS is due."""

        async def one() -> None:
            while True:
                with contextlib.suppress(*_ENDED):
                    reader, writer = await self._plain()
                    self._begun()
                    writer.write(b"\x16\x03\x01\x02\x00\x01" + b"\xff" * 600)
                    await reader.read()
                    writer.close()

        await asyncio.gather(*(one() for _ in range(4)))

    async def _again(self, parallel: int, head: bytes, piece: bytes) -> None:
        async def one() -> None:
            while True:
                with contextlib.suppress(*_ENDED):
                    _, writer = await self._secured()
                    writer.write(head)
                    while True:
                        writer.write(piece)
                        await writer.drain()
                        self._begun()

        await asyncio.gather(*(one() for _ in range(parallel)))

    async def _answered(self, sent: bytes) -> None:
        while True:
            with contextlib.suppress(*_ENDED):
                reader, writer = await self._secured()
                writer.write(sent)
                await writer.drain()
                self._begun()
                head = await reader.readuntil(b"\r\n\r\n")
                if head.split(b" ")[1] not in (b"200", b"400"):
                    raise RuntimeError(f"not what was meant: {head!r}")
                writer.close()


ATTACKS: dict[str, Callable[[Enemy], Awaitable[None]]] = {
    f"{IDLE} idle connections": Enemy.idle,
    f"{TRICKLING} heads that trickle": Enemy.trickle,
    "100 MB of JSON": Enemy.too_large,
    "chunks without an end": Enemy.endless,
    "the largest documents": Enemy.largest,
    "batches of 1000 calls": Enemy.batches,
    "garbage for TLS": Enemy.garbage,
}


def _attack(name: str, *victim: Any) -> None:
    """Attack until ended."""
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
    asyncio.run(ATTACKS[name](Enemy(*victim)))  # type: ignore[arg-type]


@contextlib.contextmanager
def attacked(name: str, *victim: Any) -> Iterator[None]:
    """Attack meanwhile.

    Raises:
        RuntimeError: the attack did not begin, or did not last.
    """
    spawned = multiprocessing.get_context("spawn")
    under_way = spawned.Event()
    enemy = spawned.Process(target=_attack, args=(name, *victim, under_way))
    enemy.start()
    try:
        if not under_way.wait(BEGINNING):
            raise RuntimeError(f"the attack by {name} does not begin")
        yield
        if not enemy.is_alive():
            raise RuntimeError(f"the attack by {name} ended early: nobody was under siege")
    finally:
        enemy.kill()
        enemy.join()


def measure(clients: int, count: int) -> dict[str, Any]:
    """Measure gets alone, and beside each attack."""
    with tempfile.TemporaryDirectory() as directory, sandbox(directory) as cloud:
        os.environ.update(cloud.variables)
        path = make_instance(cloud.variables["GCP_PROJECT"])
        token, authority = access_token(), cloud.variables["SSL_CERT_FILE"]
        port = int(cloud.variables["CLOUDSDK_PROXY_PORT"])
        connect = through_proxy(port, ssl.create_default_context(cafile=authority))
        asked = request("GET", path, token)

        def figures() -> dict[str, Any]:
            measured: Figures = asyncio.run(gets(connect, asked, clients, count))
            return asdict(measured)

        report: dict[str, Any] = {"nobody": figures()}
        for name in ATTACKS:
            with attacked(name, port, authority, path, token):
                report[name] = figures()
        report["nobody any more"] = figures()
        report["sandbox, resident memory (MB)"] = cloud.memory_mb()
    return report


if __name__ == "__main__":
    run("What gets cost while other clients mean harm.", measure, "siege.json", 20, 150)
