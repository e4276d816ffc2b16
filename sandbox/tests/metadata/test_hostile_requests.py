# SPDX-License-Identifier: GPL-3.0-or-later
"""Whatever a guest sends to the metadata server is answered or refused, and never an accident."""

from __future__ import annotations

import asyncio
import contextlib
import logging

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from .conftest import Client

ROOT = "/computeMetadata/v1/"
PATHS = st.sampled_from(
    [
        *("", "instance/", "instance/id", "instance/disks/0/", "instance/disks/-1", "project/x"),
        *("instance/service-accounts/default/token", "instance/service-accounts/x/identity"),
        *("instance/guest-attributes/a/b", "instance/guest-attributes/", "instance//id", "../v1/"),
        *("%2e%2e/%00", "instance/attributes/%ff", "instance/network-interfaces/99999999999/ip"),
        "a/" * 3000,
    ]
)
QUERIES = st.sampled_from(
    [
        *("", "recursive=true", "recursive=maybe&alt=json", "alt=xml", "audience=", "scopes=,,"),
        *("audience=a&format=full&licenses=TRUE", "wait_for_change=true&timeout_sec=0&last_etag=x"),
        *(
            "timeout_sec=-1",
            "timeout_sec=1e999&wait_for_change=true&timeout_sec=0",
            "%ff=%00",
            "&&=",
        ),
        "query_path=" + "x" * 4000,
    ]
)
HEADERS = st.sampled_from(
    [
        *("Metadata-Flavor: Google", "Metadata-Flavor: google", "X-Google-Metadata-Request: True"),
        *("X-Forwarded-For: 10.0.0.1", "Content-Encoding: gzip", "Transfer-Encoding: chunked"),
        *("Content-Length: 5", "Content-Length: -1", "Expect: 100-continue", "Range: bytes=9-2"),
        *("Connection: Upgrade", "Upgrade: websocket", "Host: elsewhere", "X: \x00"),
    ]
)
BODIES = st.sampled_from([b"", b"value", b"\xff\x00", b"x" * 300_000]) | st.binary(max_size=30)


def request(method: str, path: str, query: str, headers: list[str], body: bytes) -> bytes:
    lines = [f"{method} {ROOT}{path}?{query} HTTP/1.1", "Host: metadata.google.internal"]
    lines += ["Connection: close", *headers]
    if not any(line.startswith(("Content-Length", "Transfer-Encoding")) for line in headers):
        lines.append(f"Content-Length: {len(body)}")
    return "\r\n".join([*lines, "", ""]).encode("latin-1") + body


GET = request("GET", "instance/id", "", ["Metadata-Flavor: Google"], b"")


async def answer_to(client: Client, sent: bytes) -> bytes:
    reader, writer = await asyncio.open_connection("127.0.0.1", client.port)
    try:
        with contextlib.suppress(ConnectionError, TimeoutError):  # a request may want more
            writer.write(sent)
            async with asyncio.timeout(10 if sent == GET else 0.2):
                return await reader.read()
    finally:
        writer.close()
    return b""


@given(
    st.builds(
        request,
        st.sampled_from(["GET", "PUT", "DELETE", "POST", "HEAD", "X"]),
        PATHS,
        QUERIES,
        st.lists(HEADERS, max_size=3).map(lambda drawn: ["Metadata-Flavor: Google", *drawn]),
        BODIES,
    )
    | st.binary(max_size=100)
)
@example(GET)
@settings(
    max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
async def test_whatever_a_guest_sends_is_no_accident(
    client: Client, caplog: pytest.LogCaptureFixture, sent: bytes
) -> None:
    caplog.set_level(logging.INFO)
    caplog.clear()
    answer = await answer_to(client, sent)
    status = answer[9:12]
    assert not status.startswith(b"5") or status in (b"501", b"503", b"505")
    assert [record for record in caplog.records if record.exc_info] == []
    if sent == GET:
        assert status == b"200"
