# SPDX-License-Identifier: GPL-3.0-or-later
"""Guests that speak no HTTP to the metadata server: refused, and a line in the log for it."""

from __future__ import annotations

import asyncio
import logging
import socket

import pytest

from cloudspill_sandbox import http_connection
from cloudspill_sandbox.metadata.server import serve

from .conftest import Client, OneInstance


@pytest.mark.parametrize(
    "sent",
    [b"\x00\x01nonsense\r\n\r\n", b"GET / HTTP/1.1\r\nMetadata-Flavor hidden\r\n\r\n"],
)
async def test_what_is_no_http_is_a_400_without_a_traceback(
    client: Client, caplog: pytest.LogCaptureFixture, sent: bytes
) -> None:
    caplog.set_level(logging.DEBUG)
    reader, writer = await asyncio.open_connection("127.0.0.1", client.port)
    writer.write(sent)
    async with asyncio.timeout(5):
        answer = await reader.read()
    writer.close()
    assert answer.split(b" ", 2)[1] == b"400"
    assert [record for record in caplog.records if record.exc_info] == []
    assert [record for record in caplog.records if record.levelno > logging.INFO] == []
    assert "no HTTP request from 127.0.0.1" in caplog.text
    assert "hidden" not in caplog.text
    assert b"hidden" not in answer


async def test_one_guest_does_not_take_all_connections(
    monkeypatch: pytest.MonkeyPatch, source: OneInstance
) -> None:
    monkeypatch.setattr(http_connection, "MAX_CONNECTIONS", 3)
    listener = socket.create_server(("::1", 0), family=socket.AF_INET6)  # 127.0.0.1 is the host
    host, port = listener.getsockname()[:2]
    runner = await serve(source, listener)
    try:
        streams = [await asyncio.open_connection(host, port) for _ in range(4)]
        async with asyncio.timeout(5):
            assert await streams[3][0].read() == b""
        streams[0][1].write(b"GET / HTTP/1.1\r\nHost: metadata.google.internal\r\n\r\n")
        async with asyncio.timeout(5):
            assert b"HTTP/1.1 " in await streams[0][0].readline()
        for _, writer in streams:
            writer.close()
    finally:
        await runner.cleanup()
