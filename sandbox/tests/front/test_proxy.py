# SPDX-License-Identifier: GPL-3.0-or-later
"""The one door with real clients: CONNECT, TLS in place, OAuth, and what is refused."""

from __future__ import annotations

import asyncio
import contextlib
import json
import socket
import ssl
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import google.auth.transport.requests
import google.oauth2.id_token
import pytest
import requests
from google.auth import exceptions
from google.oauth2 import service_account

from cloudspill_sandbox.front import transport

from .conftest import INSTANCES, RunningFront, World

URL = f"https://compute.googleapis.com{INSTANCES}"
SCOPES = ["https://www.googleapis.com/auth/compute"]


@contextlib.contextmanager
def session(running: RunningFront, bundle: Path) -> Iterator[requests.Session]:
    """A client as Ansible's modules have it: a proxy, a CA file, nothing from the environment."""
    with requests.Session() as client:
        client.trust_env = False
        client.proxies = {"https": f"http://127.0.0.1:{running.port}"}
        client.verify = str(bundle)
        yield client


async def test_a_key_file_is_all_that_google_s_library_needs(
    world: World, running: RunningFront, bundle: Path
) -> None:
    def work() -> Any:
        with session(running, bundle) as transport:
            credentials = service_account.Credentials.from_service_account_file(
                str(world.key_file), scopes=SCOPES
            )
            credentials.refresh(google.auth.transport.requests.Request(transport))
            header = {"Authorization": f"Bearer {credentials.token}"}
            return transport.get(f"{URL}/web", headers=header, timeout=10).json()

    assert (await asyncio.to_thread(work))["name"] == "web"
    assert world.stub.calls[0].principal.scopes == set(SCOPES)


async def test_an_identity_token_verifies_as_google_s(
    world: World, running: RunningFront, bundle: Path
) -> None:
    def work() -> Any:
        with session(running, bundle) as transport:
            credentials = service_account.IDTokenCredentials.from_service_account_file(
                str(world.key_file), target_audience="https://service.example"
            )
            request = google.auth.transport.requests.Request(transport)
            credentials.refresh(request)
            return google.oauth2.id_token.verify_oauth2_token(
                credentials.token, request, "https://service.example"
            )

    assert (await asyncio.to_thread(work))["email"] == world.email


async def test_a_forged_key_is_refused_with_google_s_words(
    world: World, running: RunningFront, bundle: Path
) -> None:
    forged = json.loads(world.key_file.read_text()) | {"private_key_id": "f" * 40}

    def work() -> None:
        with session(running, bundle) as transport:
            credentials = service_account.Credentials.from_service_account_info(
                forged, scopes=SCOPES
            )
            credentials.refresh(google.auth.transport.requests.Request(transport))

    with pytest.raises(exceptions.RefreshError, match="invalid_grant: Invalid JWT Signature"):
        await asyncio.to_thread(work)


async def fetched(
    running: RunningFront, bundle: Path, url: str, method: str = "GET", **more: Any
) -> requests.Response:
    def work() -> requests.Response:
        with session(running, bundle) as client:
            return client.request(method, url, timeout=10, **more)

    return await asyncio.to_thread(work)


async def test_a_site_is_served_to_everybody(running: RunningFront, bundle: Path) -> None:
    response = await fetched(running, bundle, "https://git.test/hello.txt")
    assert (response.status_code, response.text) == (200, "hello\n")


async def test_no_token_is_a_401_with_a_challenge(running: RunningFront, bundle: Path) -> None:
    response = await fetched(running, bundle, f"{URL}/web")
    assert response.status_code == 401
    assert response.headers["WWW-Authenticate"] == 'Bearer realm="https://accounts.google.com/"'
    assert response.headers["Content-Type"] == "application/json; charset=UTF-8"


@pytest.mark.parametrize(
    ("method", "url", "status", "words"),
    [
        ("GET", "https://pubsub.googleapis.com/v1/x", 404, "pubsub.googleapis.com is not part"),
        (
            "GET",
            "https://iamcredentials.googleapis.com/v1/projects/-/serviceAccounts/a/allowedLocations",
            404,
            "iamcredentials.googleapis.com",
        ),
        ("GET", "https://compute.googleapis.com/nothing", 404, "/nothing was not found"),
        ("OPTIONS", URL, 405, "OPTIONS is inappropriate"),
        ("TRACE", URL, 405, "TRACE is inappropriate"),
    ],
)
async def test_what_is_not_here_is_named(
    running: RunningFront, bundle: Path, method: str, url: str, status: int, words: str
) -> None:
    response = await fetched(running, bundle, url, method)
    assert response.status_code == status
    assert words in response.json()["error"]["message"]


async def test_a_batch_goes_through_the_door(
    world: World, running: RunningFront, bundle: Path
) -> None:
    part = f"Content-Type: application/http\r\nContent-ID: <1>\r\n\r\nGET {INSTANCES}/a HTTP/1.1"
    response = await fetched(
        running,
        bundle,
        "https://compute.googleapis.com/batch/compute/v1",
        "POST",
        data=f"--B\r\n{part}\r\n\r\n--B--\r\n",
        headers={
            "Content-Type": "multipart/mixed; boundary=B",
            "Authorization": f"Bearer {world.token}",
        },
    )
    assert response.headers["Content-Type"].startswith("multipart/mixed")
    assert "HTTP/1.1 200 OK" in response.text


async def test_a_body_that_is_too_large_is_refused_before_it_is_read(
    world: World, running: RunningFront, bundle: Path
) -> None:
    response = await fetched(
        running,
        bundle,
        URL,
        "POST",
        data=b" " * (transport.MAX_BODY + 1),
        headers={"Authorization": f"Bearer {world.token}"},
    )
    # A real answer: https://github.com/PsychoinformaticsLab/pliers/issues/481
    assert response.status_code == 400
    error = response.json()["error"]
    assert error["message"] == "Request payload size exceeds the limit: 10485760 bytes."
    assert error["status"] == "INVALID_ARGUMENT"


async def test_one_connection_carries_many_calls(
    world: World, running: RunningFront, bundle: Path
) -> None:
    def work() -> tuple[list[int], float]:
        with session(running, bundle) as client:
            client.headers["Authorization"] = f"Bearer {world.token}"
            client.get(f"{URL}/web", timeout=10)
            start = time.perf_counter()
            codes = [client.get(f"{URL}/web", timeout=10).status_code for _ in range(100)]
            return codes, time.perf_counter() - start

    codes, seconds = await asyncio.to_thread(work)
    assert set(codes) == {200}
    assert seconds < 5  # nothing waits for a delayed acknowledgement


async def test_a_request_that_comes_with_the_handshake_s_last_step_is_not_lost(
    world: World, running: RunningFront
) -> None:
    _, reader, writer = await running.connect("compute.googleapis.com:443")
    incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
    tls = running.context.wrap_bio(incoming, outgoing, server_hostname="compute.googleapis.com")
    while True:
        try:
            tls.do_handshake()
            break
        except ssl.SSLWantReadError:
            writer.write(outgoing.read())
            incoming.write(await reader.read(65536))
    request = f"GET {INSTANCES}/web HTTP/1.1\r\nHost: compute.googleapis.com\r\n\r\n"
    tls.write(request.encode())
    writer.write(outgoing.read())  # the client's Finished and its request, in one piece
    answer = b""
    while b"\r\n\r\n" not in answer:
        with contextlib.suppress(ssl.SSLWantReadError):
            answer += tls.read()
            continue
        data = await asyncio.wait_for(reader.read(65536), 10)
        assert data, "the connection ended without an answer"
        incoming.write(data)
    writer.close()
    assert answer.startswith(b"HTTP/1.1 401")


async def test_tls_alone_serves_the_same(
    world: World, running: RunningFront, ca_directory: Path
) -> None:
    listener = socket.create_server(("127.0.0.1", 0))
    await running.front.listen_tls(listener)
    reader, writer = await asyncio.open_connection(
        *listener.getsockname(), ssl=running.context, server_hostname="compute.googleapis.com"
    )
    writer.write(
        f"GET {INSTANCES}/web HTTP/1.1\r\nHost: compute.googleapis.com:443\r\n"
        f"Authorization: Bearer {world.token}\r\nConnection: close\r\n\r\n".encode()
    )
    answer = await reader.read()
    writer.close()
    assert answer.startswith(b"HTTP/1.1 200 OK")
    assert answer.endswith(b'{"name":"web","id":"1","status":"RUNNING"}')


async def test_a_head_has_no_body(world: World, running: RunningFront, bundle: Path) -> None:
    response = await fetched(
        running, bundle, f"{URL}/web", "HEAD", headers={"Authorization": f"Bearer {world.token}"}
    )
    assert (response.status_code, response.content) == (200, b"")


async def test_a_client_may_have_the_door_as_its_endpoint(
    world: World, running: RunningFront
) -> None:
    def work() -> tuple[requests.Response, requests.Response]:
        with requests.Session() as client:
            client.trust_env = False
            url = f"http://127.0.0.1:{running.port}{INSTANCES}/web"
            refused = client.get(url, timeout=10)  # and a second one on the same connection
            header = {"Authorization": f"Bearer {world.token}"}
            return refused, client.get(url, headers=header, timeout=10)

    refused, answered = await asyncio.to_thread(work)
    assert (refused.status_code, answered.status_code) == (401, 200)
    assert answered.json()["name"] == "web"
    assert world.stub.calls[-1].wire.origin == f"http://127.0.0.1:{running.port}"


async def test_an_endpoint_s_request_may_come_with_all_of_its_body(
    world: World, running: RunningFront
) -> None:
    reader, writer = await asyncio.open_connection("127.0.0.1", running.port)
    body = b'{"name": "web"}'
    head = (
        f"POST {INSTANCES} HTTP/1.1\r\nHost: localhost:{running.port}\r\nConnection: close\r\n"
        f"Authorization: Bearer {world.token}\r\nContent-Length: {len(body)}\r\n\r\n"
    )
    writer.write(head.encode() + body)
    answer = await reader.read()
    writer.close()
    assert answer.startswith(b"HTTP/1.1 200 OK")
    assert world.stub.calls[-1].body["name"] == "web"


@pytest.mark.parametrize(
    ("head", "status", "words"),
    [
        ("GET http://example.com/ HTTP/1.1", b"403", b"carries HTTPS (CONNECT) alone, not GET"),
        ("CONNECT compute.googleapis.com:80 HTTP/1.1", b"403", b"port 443 alone"),
        ("CONNECT compute.googleapis.com HTTP/1.1", b"400", b"host:port"),
        ("CONNECT x:0 HTTP/1.1", b"400", b"host:port"),
        ("CONNECT x:99999999 HTTP/1.1", b"400", b"host:port"),
        ("nonsense", b"400", b"HTTP proxy"),
    ],
)
async def test_the_door_says_what_it_does_not_do(
    running: RunningFront, head: str, status: bytes, words: bytes
) -> None:
    reader, writer = await asyncio.open_connection("127.0.0.1", running.port)
    writer.write(f"{head}\r\n\r\n".encode())
    answer = await reader.read()
    writer.close()
    assert answer.split(b" ")[1] == status
    assert words in answer


async def test_a_head_without_end_is_cut_off(running: RunningFront) -> None:
    reader, writer = await asyncio.open_connection("127.0.0.1", running.port)
    writer.write(b"CONNECT " + b"a" * 100_000)
    with contextlib.suppress(ConnectionError):
        assert await reader.read() == b""
    writer.close()


async def test_a_client_that_does_not_trust_us_harms_nobody(
    world: World, running: RunningFront, bundle: Path
) -> None:
    status, _, writer = await running.connect("compute.googleapis.com:443")
    assert status == b"HTTP/1.1 200 Connection established"
    with pytest.raises(ssl.SSLCertVerificationError):
        await writer.start_tls(
            ssl.create_default_context(), server_hostname="compute.googleapis.com"
        )
    response = await fetched(running, bundle, f"{URL}/web")
    assert response.status_code == 401


async def test_stopping_ends_what_is_open(world: World, running: RunningFront) -> None:
    _, reader, writer = await running.connect("compute.googleapis.com:443")
    await running.front.stop()
    assert await reader.read() == b""
    writer.close()
    with pytest.raises(OSError, match="Connect call failed"):
        await asyncio.open_connection("127.0.0.1", running.port)
