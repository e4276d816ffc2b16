# SPDX-License-Identifier: GPL-3.0-or-later
"""Clients that take their time, never end, or say one thing to us and another to somebody else.

Each ends within a bound, and does nothing but what it was allowed to say.
"""

from __future__ import annotations

import asyncio
import contextlib
import socket
import ssl
import sys
from collections.abc import Iterator
from functools import partial

import pytest

from cloudspill_sandbox import http_connection
from cloudspill_sandbox.daemon import SWITCH_INTERVAL
from cloudspill_sandbox.engine.call import Document
from cloudspill_sandbox.engine.validation import LARGE
from cloudspill_sandbox.front import door, endpoint, server, transport
from cloudspill_sandbox.front.routing import Route

from .conftest import INSTANCES, RunningFront, StartFront, World

SOON = 0.2
"""Seconds that stand for every bound here."""

HOST = "compute.googleapis.com"
DESTINATION = f"{HOST}:443"
SMUGGLED = f"GET {INSTANCES}/smuggled HTTP/1.1\r\nHost: {HOST}\r\n".encode()


@pytest.fixture
async def hasty(monkeypatch: pytest.MonkeyPatch, start_front: StartFront) -> RunningFront:
    """A front whose patience is short."""
    monkeypatch.setattr(http_connection, "KEEP_ALIVE", SOON)
    monkeypatch.setattr(server, "LINGER", SOON)
    monkeypatch.setattr(transport, "BODY_TIMEOUT", SOON)
    front: RunningFront = await start_front()
    return front


async def secured(
    running: RunningFront,
) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    _, reader, writer = await running.connect(DESTINATION)
    await writer.start_tls(running.context, server_hostname=HOST)
    return reader, writer


def request(world: World, line: str, *fields: str) -> bytes:
    """Return a request's head that is authorized, so that only its framing speaks against it."""
    lines = [line, f"Host: {HOST}", f"Authorization: Bearer {world.token}", *fields]
    return "\r\n".join([*lines, "", ""]).encode()


def post(world: World, *fields: str) -> bytes:
    return request(world, f"POST {INSTANCES} HTTP/1.1", *fields)


async def trickled(writer: asyncio.StreamWriter, piece: bytes) -> None:
    """Send the same again and again, more slowly than anybody would."""
    with contextlib.suppress(ConnectionError, ssl.SSLError):
        while True:
            writer.write(piece)
            await writer.drain()
            await asyncio.sleep(SOON / 10)


async def end_of(reader: asyncio.StreamReader) -> bytes:
    """Return all that came until the connection ended, which it must."""
    answer = b""
    async with asyncio.timeout(20 * SOON):
        with contextlib.suppress(ConnectionError, ssl.SSLError):
            while chunk := await reader.read(1 << 16):
                answer += chunk
    return answer


async def test_headers_that_trickle_are_cut_off(hasty: RunningFront) -> None:
    reader, writer = await secured(hasty)
    writer.write(f"GET / HTTP/1.1\r\nHost: {HOST}\r\nX: ".encode())
    trickling = asyncio.create_task(trickled(writer, b"x"))
    assert await end_of(reader) == b""
    trickling.cancel()
    writer.close()


async def test_a_second_head_that_trickles_is_cut_off_too(
    world: World, hasty: RunningFront
) -> None:
    reader, writer = await secured(hasty)
    writer.write(request(world, f"GET {INSTANCES}/vm HTTP/1.1") + b"GET / HT")
    trickling = asyncio.create_task(trickled(writer, b"T"))
    assert (await end_of(reader)).count(b"HTTP/1.1 200 OK") == 1
    trickling.cancel()
    writer.close()


async def test_a_connection_that_says_nothing_is_ended(hasty: RunningFront) -> None:
    reader, writer = await secured(hasty)
    assert await end_of(reader) == b""
    writer.close()


@pytest.mark.parametrize("framing", ["Content-Length: 1000", "Transfer-Encoding: chunked"])
async def test_a_body_that_trickles_is_a_408(
    world: World, hasty: RunningFront, framing: str
) -> None:
    reader, writer = await secured(hasty)
    writer.write(post(world, framing))
    piece = b" " if "Length" in framing else b"1\r\n \r\n"
    trickling = asyncio.create_task(trickled(writer, piece))
    assert (await end_of(reader)).startswith(b"HTTP/1.1 408 ")
    trickling.cancel()
    writer.close()
    assert world.stub.calls == []


async def test_a_chunked_body_without_an_end_is_refused_at_the_limit(
    monkeypatch: pytest.MonkeyPatch, world: World, start_front: StartFront
) -> None:
    monkeypatch.setattr(transport, "MAX_BODY", 1 << 20)
    reader, writer = await secured(await start_front())
    writer.write(post(world, "Transfer-Encoding: chunked"))
    piece = b"10000\r\n" + bytes(1 << 16) + b"\r\n"
    answer = asyncio.create_task(reader.read(100))
    sent = 0
    with contextlib.suppress(ConnectionError, ssl.SSLError):
        while not answer.done() and sent < 64 << 20:
            writer.write(piece)
            await writer.drain()
            sent += len(piece)
    assert (await asyncio.wait_for(answer, 5)).startswith(b"HTTP/1.1 400 ")
    assert sent < 16 << 20, "it is refused while it is sent, not when memory is full"
    writer.close()
    assert world.stub.calls == []


async def test_a_half_closed_connection_ends(world: World, running: RunningFront) -> None:
    """With an answer or without: the one that is gone cannot be told from the one that waits."""
    reader, writer = await asyncio.open_connection("127.0.0.1", running.port)
    writer.write(request(world, f"GET {INSTANCES}/vm HTTP/1.1"))
    writer.write_eof()
    answer = await end_of(reader)
    assert answer == b"" or answer.startswith(b"HTTP/1.1 200 OK")
    writer.close()


async def test_a_client_does_not_negotiate_again(running: RunningFront) -> None:
    """Each handshake costs the server a signature and the client nothing."""
    command = f"openssl s_client -tls1_2 -proxy 127.0.0.1:{running.port} -connect {DESTINATION}"
    pipe = asyncio.subprocess.PIPE
    client = await asyncio.create_subprocess_exec(
        *command.split(), stdin=pipe, stdout=pipe, stderr=asyncio.subprocess.STDOUT
    )
    assert client.stdin is not None
    assert client.stdout is not None
    async with asyncio.timeout(10):
        await client.stdout.readuntil(b"Verify return code")
        client.stdin.write(b"R\n")
        told = await client.stdout.read()
        await client.wait()
    assert b"RENEGOTIATING" in told
    assert b"no renegotiation" in told


async def listening(front: RunningFront) -> tuple[str, int]:
    listener = socket.create_server(("127.0.0.1", 0))
    await front.front.listen_tls(listener)
    address: tuple[str, int] = listener.getsockname()
    return address


async def test_who_begins_many_connections_at_once_gets_them_all(
    monkeypatch: pytest.MonkeyPatch, start_front: StartFront
) -> None:
    monkeypatch.setattr(door, "MAX_HANDSHAKES", 2)
    front: RunningFront = await start_front()
    address = await listening(front)
    silent = [await asyncio.open_connection(*address) for _ in range(2)]
    secured = partial(asyncio.open_connection, *address, ssl=front.context, server_hostname=HOST)
    waiting = asyncio.gather(*(secured() for _ in range(12)))
    with pytest.raises(TimeoutError):
        await asyncio.wait_for(asyncio.shield(waiting), SOON)
    silent[0][1].close()
    async with asyncio.timeout(5):
        for reader, writer in await waiting:
            writer.write(f"GET / HTTP/1.1\r\nHost: {HOST}\r\n\r\n".encode())
            assert b" 404 " in await reader.readline()
            writer.close()
    silent[1][1].close()


async def test_one_guest_does_not_begin_handshakes_without_number(
    monkeypatch: pytest.MonkeyPatch, start_front: StartFront, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(door, "MAX_HANDSHAKES", 2)
    monkeypatch.setattr(door, "HEAD_TIMEOUT", SOON)
    address = await listening(await start_front())
    silent = [await asyncio.open_connection(*address) for _ in range(10)]
    with caplog.at_level("WARNING", "cloudspill_sandbox.front"):
        assert await asyncio.gather(*(end_of(reader) for reader, _ in silent)) == [b""] * 10
    assert [record.getMessage() for record in caplog.records] == [
        "127.0.0.1 keeps 2 TLS handshakes open: further connections are refused"
    ]
    for _, writer in silent:
        writer.close()


async def test_nothing_is_kept_of_guests_whose_handshakes_are_over(
    monkeypatch: pytest.MonkeyPatch, start_front: StartFront
) -> None:
    """It would grow with every instance that there ever was."""
    monkeypatch.setattr(door, "MAX_HANDSHAKES", 1)
    monkeypatch.setattr(door, "HEAD_TIMEOUT", SOON)
    front: RunningFront = await start_front()
    address = await listening(front)
    _, writer = await asyncio.open_connection(*address, ssl=front.context, server_hostname=HOST)
    silent = [await asyncio.open_connection(*address) for _ in range(2)]
    assert front.front._door is not None
    turns = front.front._door._handshakes
    for reader, _ in silent:  # one has its turn in vain, the other none
        assert await end_of(reader) == b""
    assert (dict(turns._turns), dict(turns._users)) == ({}, {})
    for each in (writer, *(other for _, other in silent)):
        each.close()


async def test_large_bodies_wait_for_room_and_small_ones_do_not(
    monkeypatch: pytest.MonkeyPatch, world: World, start_front: StartFront
) -> None:
    monkeypatch.setattr(server, "LARGE_AT_ONCE", 1)
    front = await start_front()
    (_, first), (waiting, second), (served, small) = [await secured(front) for _ in range(3)]
    text = b'{"name": "large", "description": "' + b"x" * LARGE + b'"}'
    head = post(world, f"Content-Length: {len(text)}")
    first.write(head + text[:-1])
    async with asyncio.timeout(5):
        while not front.front._room.locked():  # noqa: ASYNC110 - nothing tells
            await asyncio.sleep(0.01)
    second.write(head + text)
    small.write(post(world, "Content-Length: 15") + b'{"name": "vm"} ')
    async with asyncio.timeout(5):
        assert b" 200 " in await served.readline()
        assert [call.body["name"] for call in world.stub.calls] == ["vm"]
        first.write(text[-1:])
        assert b" 200 " in await waiting.readline()
    for writer in (first, second, small):
        writer.close()


@pytest.fixture
def switching() -> Iterator[None]:
    """Threads take turns as often as in the sandbox's own process."""
    before = sys.getswitchinterval()
    sys.setswitchinterval(SWITCH_INTERVAL)
    yield
    sys.setswitchinterval(before)


@pytest.mark.usefixtures("switching")
@pytest.mark.parametrize("end", [b"}}", b""], ids=["whole", "cut off"])
async def test_a_large_document_leaves_others_their_turn(
    monkeypatch: pytest.MonkeyPatch, world: World, running: RunningFront, end: bytes
) -> None:
    """Otherwise one client that sends what is allowed would stop all others for seconds.

    Only what is answered between the beginning and the end of the reading counts, so that the
    machine's load does not. Of a document that is cut off the text is read, and nothing checked.
    """
    answered: list[int] = []
    read = endpoint._read

    def noted(route: Route, body: bytes) -> Document:
        before = len(world.stub.calls)
        try:
            return read(route, body)
        finally:
            if len(body) > LARGE:
                answered.append(len(world.stub.calls) - before)

    _, writer = await secured(running)
    reader, other = await secured(running)
    monkeypatch.setattr(endpoint, "_read", noted)
    document = b'{"labels": {' + b",".join(b'"k%06d": "v"' % n for n in range(100_000)) + end
    writer.write(post(world, f"Content-Length: {len(document)}") + document)
    get = request(world, f"GET {INSTANCES}/vm HTTP/1.1")
    async with asyncio.timeout(60):
        while not answered:
            other.write(get)
            assert b" 200 " in (await reader.readuntil(b"\r\n\r\n")).splitlines()[0]
            await reader.readuntil(b"}")
    assert answered[0] > 30  # hundreds; a dozen, where the reading holds the interpreter's lock
    writer.close()
    other.close()


@pytest.mark.parametrize(
    "head",
    [
        pytest.param(("Content-Length: 5", "Transfer-Encoding: chunked"), id="CL.TE"),
        pytest.param(("Transfer-Encoding: chunked", "Content-Length: 5"), id="TE.CL"),
        pytest.param(("Content-Length: 5", "Content-Length: 6"), id="CL.CL"),
        pytest.param(("Content-Length: 5, 6",), id="CL list"),
        pytest.param(("Content-Length: +5",), id="CL sign"),
        pytest.param(("Content-Length: 0x5",), id="CL hexadecimal"),
        pytest.param(("Content-Length : 5",), id="space before the colon"),
        pytest.param(("Transfer-Encoding: chunked, identity",), id="TE not chunked last"),
        pytest.param(("Transfer-Encoding: xchunked",), id="TE unknown"),
        pytest.param(("Transfer-Encoding: chunked", "Transfer-Encoding: x"), id="TE.TE"),
        pytest.param(("Transfer-Encoding:\x0bchunked",), id="TE with a control character"),
        pytest.param(("X: a\nContent-Length: 5",), id="bare LF"),
        pytest.param(("X: a\rContent-Length: 5",), id="bare CR"),
        pytest.param((" Content-Length: 5",), id="folded"),
        pytest.param(("X: a\0",), id="NUL"),
        pytest.param(("Host: elsewhere.googleapis.com",), id="two hosts"),
    ],
)
async def test_framing_that_two_parties_read_differently_is_refused(
    world: World, running: RunningFront, head: tuple[str, ...]
) -> None:
    """RFC 9112, sections 2.2, 5.1, 5.2 and 6.3: a server may refuse each, and ends the connection.

    What follows would be a request of its own to one of the parties.
    """
    reader, writer = await secured(running)
    authorized = SMUGGLED + f"Authorization: Bearer {world.token}\r\n\r\n".encode()
    writer.write(post(world, *head) + b"0\r\n\r\n" + authorized)
    answer = await asyncio.wait_for(reader.read(), 5)
    assert answer.split(b" ")[1] == b"400"
    assert answer.count(b"HTTP/1.") == 1
    assert world.stub.calls == []
    writer.close()
