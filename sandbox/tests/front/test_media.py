# SPDX-License-Identifier: GPL-3.0-or-later
"""Media over the socket: handlers read uploads as they come, clients get files as they are read."""

from __future__ import annotations

import asyncio
import gzip
import ssl
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest
import trustme

from cloudspill_sandbox.engine.call import Call, Document, Reply, Service
from cloudspill_sandbox.engine.discovery import load_api
from cloudspill_sandbox.front.server import Front
from cloudspill_sandbox.front.tls import ServerCertificate

from .conftest import World, now

HOST = "storage.googleapis.com"
UPLOAD = "/upload/storage/v1/b/bucket/o?uploadType=media&name=x"
OBJECT = "/storage/v1/b/bucket/o/x?alt=media"
BUCKETS = "/storage/v1/b?project=p1234"
XML_OBJECT = "/bucket/x"
SHOWN = ("generation", "metageneration", "crc32c", "md5Hash")
PATIENCE = 10.0
PLAIN = b"hello " * 100_000
PACKED = gzip.compress(PLAIN[:300_000]) + gzip.compress(PLAIN[300_000:])


class Everybody:
    """Lets everybody do everything."""

    def authorize(self, call: Call) -> None:
        """Return."""


@dataclass
class Blocks:
    """Content of an answer that counts how often it is read and closed."""

    blocks: list[bytes]
    size: int | None
    reads: int = 0
    closed: int = 0
    let_go: asyncio.Event = field(default_factory=asyncio.Event)

    def read(self) -> bytes:
        self.reads += 1
        return self.blocks.pop(0) if self.blocks else b""

    def close(self) -> None:
        self.closed += 1
        self.let_go.set()


@dataclass
class Objects:
    """Two methods of Cloud Storage.

    Attributes:
        content: what a download answers.
        came: pieces of an upload, as they come.
        ended: how the upload ended.
    """

    content: Blocks = field(default_factory=lambda: Blocks([b"ab", b"cd"], 4))
    came: asyncio.Queue[bytes] = field(default_factory=asyncio.Queue)
    ended: asyncio.Future[BaseException | None] = field(default_factory=asyncio.Future)

    def service(self) -> Service:
        """Return the methods by their ids."""
        return {"storage.objects.insert": self.insert, "storage.objects.get": self.get}

    async def insert(self, call: Call) -> Document:
        assert call.media is not None
        try:
            async for chunk in call.media.chunks:
                self.came.put_nowait(chunk)
        except ConnectionError as error:
            self.ended.set_result(error)
            raise
        self.ended.set_result(None)
        return {"name": "x", **dict.fromkeys(SHOWN, "AAAA")}

    async def get(self, call: Call) -> Reply:
        return Reply(200, self.content, {"Content-Type": "text/plain"})


@dataclass
class Client:
    """One TLS connection to the API, through the proxy."""

    objects: Objects
    token: str
    reader: asyncio.StreamReader
    writer: asyncio.StreamWriter

    def send(self, method: str, target: str, *lines: str) -> None:
        """Write the head of a request."""
        head = [f"{method} {target} HTTP/1.1", f"Host: {HOST}"]
        authorization = f"Authorization: Bearer {self.token}"
        self.writer.write("\r\n".join([*head, authorization, *lines, "", ""]).encode())

    async def head(self) -> bytes:
        """Read the head of an answer."""
        async with asyncio.timeout(PATIENCE):
            return await self.reader.readuntil(b"\r\n\r\n")

    async def until_came(self, content: bytes) -> None:
        """Return when the handler has read all of this."""
        got = b""
        async with asyncio.timeout(PATIENCE):
            while got != content:
                got += await self.objects.came.get()
                assert content.startswith(got)


@pytest.fixture
async def client(world: World, authority: trustme.CA, ca_directory: Path) -> AsyncIterator[Client]:
    """A front that serves two methods of Cloud Storage, and a client of it."""
    objects = Objects()
    front = Front(
        apis={"storage": load_api("storage", "v1")},
        services={"storage": objects.service()},
        authenticator=world.authenticator,
        authorizer=Everybody(),
        certificate=ServerCertificate(authority, [], now),
    )
    port = await front.listen_proxy()
    context = ssl.create_default_context(cafile=str(ca_directory / "ca.pem"))
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(f"CONNECT {HOST}:443 HTTP/1.1\r\n\r\n".encode())
    await reader.readuntil(b"\r\n\r\n")
    await writer.start_tls(context, server_hostname=HOST)
    try:
        yield Client(objects, world.token, reader, writer)
    finally:
        writer.transport.abort()
        await front.stop()


async def test_an_upload_is_read_while_it_is_sent(client: Client) -> None:
    client.send("POST", UPLOAD, "Content-Length: 8")
    for part in (b"1234", b"5678"):
        client.writer.write(part)
        await client.until_came(part)
    assert (await client.head()).startswith(b"HTTP/1.1 200 ")


async def test_a_client_that_waits_for_it_is_told_to_go_on(client: Client) -> None:
    client.send("POST", UPLOAD, "Content-Length: 5", "Expect: 100-continue")
    assert await client.head() == b"HTTP/1.1 100 Continue\r\n\r\n"
    client.writer.write(b"hello")
    assert (await client.head()).startswith(b"HTTP/1.1 200 ")


async def test_a_client_that_waits_to_send_a_document_is_told_to_go_on(client: Client) -> None:
    client.send("POST", BUCKETS, "Content-Length: 2", "Expect: 100-continue")
    assert await client.head() == b"HTTP/1.1 100 Continue\r\n\r\n"
    client.writer.write(b"{}")
    assert (await client.head()).startswith(b"HTTP/1.1 501 ")


async def test_nobody_is_told_to_go_on_who_has_nothing_to_send(client: Client) -> None:
    client.send("POST", UPLOAD, "Content-Length: 0", "Expect: 100-continue")
    assert (await client.head()).startswith(b"HTTP/1.1 200 ")


@pytest.mark.parametrize(
    ("method", "target", "stored"),
    [("PUT", XML_OBJECT, PACKED), ("POST", UPLOAD, PLAIN)],
    ids=["XML API", "JSON API"],
)
async def test_an_object_is_packed_where_its_content_encoding_says_so(
    client: Client, method: str, target: str, stored: bytes
) -> None:
    client.send(method, target, f"Content-Length: {len(PACKED)}", "Content-Encoding: gzip")
    client.writer.write(PACKED)
    await client.until_came(stored)
    assert (await client.head()).startswith(b"HTTP/1.1 200 ")


@pytest.mark.parametrize("body", [PACKED[:-9], PACKED + b"x", b"hello"])
async def test_packed_bytes_that_are_broken_make_no_upload(client: Client, body: bytes) -> None:
    client.send("POST", UPLOAD, f"Content-Length: {len(body)}", "Content-Encoding: gzip")
    client.writer.write(body)
    assert (await client.head()).startswith(b"HTTP/1.1 400 ")
    assert not client.objects.ended.done()


async def test_who_may_not_upload_is_refused_before_the_bytes_come(client: Client) -> None:
    client.token = "none"
    client.send("POST", UPLOAD, "Content-Length: 1000000000")
    assert (await client.head()).startswith(b"HTTP/1.1 401 ")
    assert client.objects.came.empty()


async def test_a_handler_is_told_that_the_client_left(client: Client) -> None:
    client.send("POST", UPLOAD, "Content-Length: 8")
    client.writer.write(b"1234")
    await client.until_came(b"1234")
    client.writer.transport.abort()
    async with asyncio.timeout(PATIENCE):
        assert isinstance(await client.objects.ended, ConnectionError)


async def test_a_download_says_its_length_and_ends_with_its_file(client: Client) -> None:
    client.send("GET", OBJECT)
    head = await client.head()
    assert head.startswith(b"HTTP/1.1 200 ")
    assert b"\r\nContent-Length: 4\r\n" in head
    assert b"\r\nContent-Type: text/plain\r\n" in head
    assert await client.reader.readexactly(4) == b"abcd"
    client.send("HEAD", OBJECT)
    await client.head()
    assert client.objects.content.closed == 2


async def test_a_download_of_unknown_length_is_chunked(client: Client) -> None:
    client.objects.content.size = None
    client.send("GET", OBJECT)
    assert b"\r\nTransfer-Encoding: chunked\r\n" in await client.head()
    assert await client.reader.readuntil(b"0\r\n\r\n") == b"2\r\nab\r\n2\r\ncd\r\n0\r\n\r\n"


async def test_a_head_reads_nothing_of_the_file(client: Client) -> None:
    client.send("HEAD", OBJECT)
    assert b"\r\nContent-Length: 4\r\n" in await client.head()
    client.send("HEAD", OBJECT)
    await client.head()
    assert (client.objects.content.reads, client.objects.content.closed) == (0, 2)


async def test_a_client_that_leaves_costs_a_line_in_the_log(
    client: Client, caplog: pytest.LogCaptureFixture
) -> None:
    client.objects.content = content = Blocks([bytes(1 << 20)] * 64, 64 << 20)
    client.send("GET", OBJECT)
    with caplog.at_level("INFO", "cloudspill_sandbox.front"):
        await client.reader.readexactly(1000)
        client.writer.transport.abort()
        async with asyncio.timeout(PATIENCE):
            await content.let_go.wait()
    await asyncio.sleep(0)
    assert [record.levelname for record in caplog.records if record.exc_info] == []
    assert "left before it had the whole answer" in caplog.text


async def test_an_upload_of_nothing_is_an_upload(client: Client) -> None:
    """As a client sends it that asks how far a resumable upload is, or writes an empty object."""
    client.send("POST", UPLOAD, "Content-Length: 0")
    assert (await client.head()).startswith(b"HTTP/1.1 200 ")
    assert await client.objects.ended is None
