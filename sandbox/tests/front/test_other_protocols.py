# SPDX-License-Identifier: GPL-3.0-or-later
"""Clients that speak no HTTP/1.1: told so, and a line in the log instead of a traceback."""

from __future__ import annotations

import asyncio
import logging
import socket
import ssl

import pytest

from cloudspill_sandbox.http_connection import MAX_CONNECTIONS

from .conftest import ADDRESS, RunningFront

PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + bytes.fromhex("000000040000000000")
POST = b"POST / HTTP/1.1\r\nHost: compute.googleapis.com\r\n"


async def answer_to(running: RunningFront, sent: bytes) -> bytes:
    """Send bytes over TLS to an own listener, as guests reach it; return all that comes back."""
    listener = socket.create_server((ADDRESS, 0))
    await running.front.listen_tls(listener)
    reader, writer = await asyncio.open_connection(
        *listener.getsockname(), ssl=running.context, server_hostname="logging.googleapis.com"
    )
    writer.write(sent)
    try:
        async with asyncio.timeout(5):
            return await reader.read()
    finally:
        writer.close()


@pytest.fixture
def logged(caplog: pytest.LogCaptureFixture) -> pytest.LogCaptureFixture:
    caplog.set_level(logging.DEBUG, "cloudspill_sandbox")
    return caplog


async def test_http_2_is_ended_without_a_word_so_that_grpc_backs_off(
    running: RunningFront, logged: pytest.LogCaptureFixture
) -> None:
    assert await answer_to(running, PREFACE) == b""
    (line,) = [record for record in logged.records if "HTTP/2" in record.getMessage()]
    assert line.levelno == logging.INFO
    assert line.exc_info is None


@pytest.mark.parametrize(
    "sent",
    [
        b"\x00\x01nonsense\r\n\r\n",
        b"GET / HTTP/1.1\r\nAuthorization Bearer hidden\r\n\r\n",
        POST + b"Content-Encoding: gzip\r\nContent-Length: 6\r\n\r\nhidden",
        POST + b"Transfer-Encoding: chunked\r\n\r\nhidden\r\n",
    ],
)
async def test_what_is_no_http_is_a_400_without_a_traceback(
    running: RunningFront, logged: pytest.LogCaptureFixture, sent: bytes
) -> None:
    answer = await answer_to(running, sent)
    assert answer.split(b" ", 2)[1] == b"400"
    assert b'"code":400' in answer
    assert [record for record in logged.records if record.exc_info] == []
    assert {record.levelno for record in logged.records} <= {logging.DEBUG, logging.INFO}
    assert "hidden" not in logged.text


async def test_a_client_that_leaves_within_its_body_costs_no_traceback(
    running: RunningFront, logged: pytest.LogCaptureFixture
) -> None:
    status, _, writer = await running.connect("compute.googleapis.com:443")
    assert status.split(b" ")[1] == b"200"
    await writer.start_tls(running.context, server_hostname="compute.googleapis.com")
    writer.write(POST + b"Content-Length: 6\r\n\r\nhi")
    await writer.drain()
    writer.close()
    await writer.wait_closed()
    await running.front.stop()  # returns when every call has ended
    assert [record for record in logged.records if record.exc_info] == []


async def test_a_client_that_offers_http_2_first_gets_http_1_1(running: RunningFront) -> None:
    running.context.set_alpn_protocols(["h2", "http/1.1"])
    listener = socket.create_server((ADDRESS, 0))
    await running.front.listen_tls(listener)
    _, writer = await asyncio.open_connection(
        *listener.getsockname(), ssl=running.context, server_hostname="logging.googleapis.com"
    )
    secured: ssl.SSLObject = writer.get_extra_info("ssl_object")
    assert secured.selected_alpn_protocol() == "http/1.1"
    writer.close()


async def test_connections_that_are_over_do_not_count_against_a_peer(
    running: RunningFront,
) -> None:
    """An agent that is refused comes again and again, for as long as its machine runs."""
    # Only peers that are not the host itself are limited; ::1 stands for a guest.
    listener = socket.create_server(("::1", 0), family=socket.AF_INET6)
    await running.front.listen_tls(listener)
    host, port = listener.getsockname()[:2]
    for _ in range(MAX_CONNECTIONS + 1):
        reader, writer = await asyncio.open_connection(
            host, port, ssl=running.context, server_hostname="logging.googleapis.com"
        )
        writer.write(PREFACE)
        async with asyncio.timeout(5):
            await reader.read()
        writer.close()
    reader, writer = await asyncio.open_connection(
        host, port, ssl=running.context, server_hostname="logging.googleapis.com"
    )
    writer.write(b"GET / HTTP/1.1\r\nHost: logging.googleapis.com\r\n\r\n")
    async with asyncio.timeout(5):
        assert b" 404 " in await reader.readline(), "the last one is still answered"
    writer.close()
