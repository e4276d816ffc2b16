# SPDX-License-Identifier: GPL-3.0-or-later
"""What is not Google's passes through untouched, but never to the VPC or to the host itself."""

from __future__ import annotations

import asyncio
import ipaddress
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import pytest

from cloudspill_sandbox.front.tunnel import (
    TunnelError,
    Tunneller,
    Upstream,
    is_own_address,
)

from .conftest import RunningFront, StartFront

LOOPBACK = "127.0.0.1"


def resolver(addresses: dict[str, list[str]]) -> Callable[[str, int], object]:
    """Names as a test has them; each look-up takes the next answer, the last one stays."""

    async def resolve(host: str, _port: int) -> list[str]:
        if host not in addresses:
            raise OSError("no such name")
        answer = addresses[host]
        return [answer.pop(0)] if len(answer) > 1 else list(answer)

    return resolve


def anywhere(addresses: dict[str, list[str]], upstream: Upstream | None = None) -> Tunneller:
    """A tunneller that takes loopback for the outside world."""
    return Tunneller(upstream, resolver(addresses), lambda address: False)  # type: ignore[arg-type]


def open_sockets() -> int:
    """How many sockets this process holds, both ends of its own connections included."""
    links = (path.readlink() for path in Path("/proc/self/fd").iterdir() if path.is_symlink())
    return sum(str(link).startswith("socket:") for link in links)


@pytest.fixture
async def echo() -> AsyncIterator[int]:
    """A server that sends back what it gets, and ends when the client has ended."""

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while data := await reader.read(65536):
            writer.write(data)
            await writer.drain()
        writer.write(b"bye")
        writer.close()

    server = await asyncio.start_server(serve, LOOPBACK, 0)
    yield server.sockets[0].getsockname()[1]
    server.close()


async def test_bytes_pass_both_ways_and_half_closes_too(start_front: StartFront, echo: int) -> None:
    running: RunningFront = await start_front(anywhere({"example.com": [LOOPBACK]}))
    status, reader, writer = await running.connect(f"Example.COM.:{echo}")
    assert status == b"HTTP/1.1 200 Connection established"
    sent = bytes(range(256)) * 20_000  # more than any buffer holds

    async def send() -> None:
        writer.write(sent)
        await writer.drain()
        writer.write_eof()

    _, received = await asyncio.gather(send(), reader.read())
    assert received == sent + b"bye"
    writer.close()


async def test_a_tunnel_whose_sides_have_both_ended_keeps_no_connection(
    start_front: StartFront, echo: int
) -> None:
    running: RunningFront = await start_front(anywhere({"example.com": [LOOPBACK]}))
    before = open_sockets()
    for _ in range(5):
        _, reader, writer = await running.connect(f"example.com:{echo}")
        writer.write_eof()
        assert await reader.read() == b"bye"
        writer.close()
        await writer.wait_closed()
    for _ in range(1000):  # the front closes its ends in later rounds of the loop
        if open_sockets() <= before:
            break
        await asyncio.sleep(0.001)
    assert open_sockets() <= before


@pytest.mark.parametrize(
    "destination",
    [
        "10.138.0.2",
        "10.255.255.255",
        "198.18.0.1",
        "198.19.255.253",
        "169.254.169.254",
        "199.36.153.8",
        "127.0.0.1",
        "127.8.8.8",
        "0.0.0.0",
        "[::1]",
        "[::ffff:10.138.0.2]",
        "[::ffff:127.0.0.1]",
        "[2002:7f00:1::]",
        "localhost",
        "x.localhost",
        "inside.example",
        "some.example",
    ],
)
async def test_the_vpc_and_the_host_are_out_of_reach(
    start_front: StartFront, destination: str
) -> None:
    names = {"inside.example": ["10.138.0.2"], "some.example": ["127.0.0.1"]}

    async def resolve(host: str, _port: int) -> list[str]:
        return names.get(host, [host])

    running: RunningFront = await start_front(Tunneller(resolver=resolve))
    status, reader, writer = await running.connect(f"{destination}:22")
    assert status == b"HTTP/1.1 403 Forbidden"
    assert b"does not connect to" in await reader.read()
    writer.close()


async def test_a_name_that_changes_its_mind_is_connected_to_where_it_was_checked(
    start_front: StartFront, echo: int
) -> None:
    """DNS rebinding: the second answer of the name is never asked for."""
    running: RunningFront = await start_front(
        anywhere({"rebind.example": [LOOPBACK, "10.138.0.2"]})
    )
    _, reader, writer = await running.connect(f"rebind.example:{echo}")
    writer.write(b"x")
    assert await reader.readexactly(1) == b"x"
    writer.close()


async def test_a_name_with_one_forbidden_address_is_refused() -> None:
    async def resolve(_host: str, _port: int) -> list[str]:
        return ["203.0.113.1", "10.138.0.2"]

    with pytest.raises(TunnelError) as caught:
        await Tunneller(resolver=resolve).open("both.example", 443)
    assert caught.value.status == 403


async def test_a_destination_that_does_not_answer_is_named(start_front: StartFront) -> None:
    running: RunningFront = await start_front(anywhere({"gone.example": [LOOPBACK]}))
    status, reader, writer = await running.connect("gone.example:1")
    assert status == b"HTTP/1.1 502 Bad Gateway"
    assert b"gone.example:1 cannot be reached" in await reader.read()
    writer.close()
    status, _, writer = await running.connect("unknown.example:1")
    assert status == b"HTTP/1.1 502 Bad Gateway"
    writer.close()


@pytest.fixture
async def proxy(echo: int) -> AsyncIterator[tuple[int, list[bytes]]]:
    """A proxy outside that notes what it is asked; 'denied' it refuses."""
    asked: list[bytes] = []

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = await reader.readuntil(b"\r\n\r\n")
        asked.append(head)
        if b"denied" in head:
            writer.write(b"HTTP/1.1 407 Proxy Authentication Required\r\n\r\n")
        else:
            writer.write(b"HTTP/1.1 200 OK\r\n\r\nfirst")
            writer.write(await reader.read(100))
        await writer.drain()
        writer.close()

    server = await asyncio.start_server(serve, LOOPBACK, 0)
    yield server.sockets[0].getsockname()[1], asked
    server.close()


async def test_an_existing_proxy_becomes_the_upstream(
    start_front: StartFront, proxy: tuple[int, list[bytes]]
) -> None:
    port, asked = proxy
    upstream = Upstream.from_environment({"HTTPS_PROXY": f"http://u:p%40@127.0.0.1:{port}"}, 8460)
    running: RunningFront = await start_front(anywhere({}, upstream))
    _, reader, writer = await running.connect("far.example:443")
    assert await reader.readexactly(5) == b"first"
    writer.write(b"hello")
    assert await reader.read() == b"hello"
    writer.close()
    assert asked[0].startswith(b"CONNECT far.example:443 HTTP/1.1\r\n")
    assert b"Proxy-Authorization: Basic dTpwQA==" in asked[0]


async def test_a_refusal_of_the_upstream_is_passed_on(
    start_front: StartFront, proxy: tuple[int, list[bytes]]
) -> None:
    upstream = Upstream("127.0.0.1", proxy[0], None, tls=False, no_proxy="")
    running: RunningFront = await start_front(anywhere({}, upstream))
    status, reader, writer = await running.connect("denied.example:443")
    assert status == b"HTTP/1.1 502 Bad Gateway"
    assert b"407" in await reader.read()
    writer.close()


async def test_the_upstream_is_no_way_around_the_refusals(
    proxy: tuple[int, list[bytes]],
) -> None:
    upstream = Upstream("127.0.0.1", proxy[0], None, tls=False, no_proxy="")
    tunneller = Tunneller(upstream, resolver({"in.example": ["10.138.0.2"]}))  # type: ignore[arg-type]
    with pytest.raises(TunnelError) as caught:
        await tunneller.open("in.example", 22)
    assert caught.value.status == 403
    assert proxy[1] == []


async def test_no_proxy_goes_directly(start_front: StartFront, echo: int) -> None:
    upstream = Upstream("127.0.0.1", 1, None, tls=False, no_proxy="other, .near.example")
    running: RunningFront = await start_front(anywhere({"a.near.example": [LOOPBACK]}, upstream))
    _, reader, writer = await running.connect(f"a.near.example:{echo}")
    writer.write(b"x")
    assert await reader.readexactly(1) == b"x"
    writer.close()


@pytest.mark.parametrize(
    ("environment", "upstream"),
    [
        ({}, None),
        ({"HTTPS_PROXY": ""}, None),
        ({"HTTPS_PROXY": "http://127.0.0.1:8460"}, None),
        ({"https_proxy": "proxy:3128"}, Upstream("proxy", 3128, None, tls=False, no_proxy="")),
        (
            {"HTTPS_PROXY": "https://proxy", "NO_PROXY": "a"},
            Upstream("proxy", 443, None, tls=True, no_proxy="a"),
        ),
    ],
)
def test_the_upstream_of_an_environment(
    environment: dict[str, str], upstream: Upstream | None
) -> None:
    assert Upstream.from_environment(environment, 8460) == upstream


def test_a_proxy_of_another_kind_is_refused_without_its_password() -> None:
    with pytest.raises(ValueError, match="does not name an HTTP proxy") as caught:
        Upstream.from_environment({"HTTPS_PROXY": "socks5://u:secret@proxy"}, 8460)
    assert "secret" not in str(caught.value)


@pytest.mark.parametrize(
    ("address", "own"),
    [
        ("127.0.0.1", True),
        ("127.9.9.9", True),
        ("0.0.0.0", True),
        ("::1", True),
        ("203.0.113.77", False),
    ],
)
def test_own_addresses_are_recognised(address: str, own: bool) -> None:
    assert is_own_address(ipaddress.ip_address(address)) is own
