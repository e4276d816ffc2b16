# SPDX-License-Identifier: GPL-3.0-or-later
"""The front as a whole: sockets on one side, answers on the other.

    front = Front(
        apis={"compute": load_api("compute", "v1")},
        services={"compute": compute_service(cloud)},
        authenticator=authenticator,
        authorizer=authorizer,
        certificate=ServerCertificate(ensure_authority(settings.ca_dir), names, clock),
        sites={"git.cloudspill.internal": settings.repositories_dir},
        tunneller=Tunneller(Upstream.from_environment(os.environ, settings.port)),
    )
    await front.listen_proxy(host="127.0.0.1", port=settings.port)
    await front.listen_tls(network.listen(API_ADDRESS, 443, socket.SOCK_STREAM))
    …
    await front.stop()

The Host header decides who answers: a site, the XML API, the OAuth endpoint, a batch, an API.
"""

from __future__ import annotations

import asyncio
import logging
import socket
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from pathlib import Path

from aiohttp import web

from cloudspill_sandbox.engine.call import Service
from cloudspill_sandbox.engine.call_record import CallRecord, Recorder, log_call
from cloudspill_sandbox.engine.discovery import Api
from cloudspill_sandbox.engine.errors import ApiError, NoAnswerError
from cloudspill_sandbox.front.batch import answer_batch
from cloudspill_sandbox.front.connection import Connection
from cloudspill_sandbox.front.door import Door
from cloudspill_sandbox.front.endpoint import Endpoint
from cloudspill_sandbox.front.http import HttpRequest, HttpResponse, json_response
from cloudspill_sandbox.front.interface import Authenticator, Authorizer
from cloudspill_sandbox.front.oauth import OAuthEndpoint
from cloudspill_sandbox.front.routing import UPLOAD_PATHS
from cloudspill_sandbox.front.sites import Sites
from cloudspill_sandbox.front.tls import ServerCertificate
from cloudspill_sandbox.front.transport import (
    LARGE_AT_ONCE,
    chunks,
    coding_of,
    send,
    unpacked,
    whole,
)
from cloudspill_sandbox.front.tunnel import Tunneller
from cloudspill_sandbox.front.xml_api import HOST as XML_HOST
from cloudspill_sandbox.front.xml_api import XmlApi
from cloudspill_sandbox.front.xml_api import serves as serves_xml
from cloudspill_sandbox.http_connection import LimitedServer

LINGER = 10.0
"""Seconds in which a client that is refused while it sends may go on, to read the answer."""

_LOG = logging.getLogger("cloudspill_sandbox.front")
_NOT_ALLOWED = "The request method {} is inappropriate for the URL {}."
_METHODS = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE"})


class Front:
    """Everything that answers HTTP in the sandbox but the metadata server.

    Args:
        apis: what exists, from Google's discovery documents, by any key.
        services: what is implemented, by the same keys.
        sites: host name → directory that is served there.
        tunneller: for everything that is not answered here; direct by default.
        record: is told of each API call.
    """

    def __init__(
        self,
        *,
        apis: Mapping[str, Api],
        services: Mapping[str, Service],
        authenticator: Authenticator,
        authorizer: Authorizer,
        certificate: ServerCertificate,
        sites: Mapping[str, Path] | None = None,
        tunneller: Tunneller | None = None,
        record: Recorder = log_call,
    ) -> None:
        self._endpoint = Endpoint(apis, services, authenticator, authorizer, record=record)
        self._oauth = OAuthEndpoint(authenticator, record)
        self._record = record
        self._xml = XmlApi(self._endpoint.answer, authenticator)
        self._sites = Sites(sites or {})
        self._certificate = certificate
        self._tunneller = tunneller or Tunneller()
        self._servers: list[asyncio.Server] = []
        self._door: Door | None = None
        self._http: _HttpServer | None = None
        self._room = asyncio.Semaphore(LARGE_AT_ONCE)

    async def listen_proxy(self, host: str = "127.0.0.1", port: int = 0) -> int:
        """Open the CONNECT proxy; return its port.

        Raises:
            OSError: the port is taken.
        """
        door = self._open_door()
        server = await asyncio.get_running_loop().create_server(door.connection, host, port)
        self._servers.append(server)
        bound: int = server.sockets[0].getsockname()[1]
        return bound

    async def listen_tls(self, listener: socket.socket) -> None:
        """Answer TLS connections to a listening socket, without a proxy."""
        door = self._open_door()
        loop = asyncio.get_running_loop()
        self._servers.append(await loop.create_server(door.secure_connection, sock=listener))

    async def stop(self) -> None:
        """Close the sockets; calls under way have a moment to end."""
        for server in self._servers:
            server.close()
        if self._door is not None and self._http is not None:
            await self._door.close()
            await self._http.end(2.0)
        self._servers.clear()
        self._door = self._http = None

    async def answer(self, request: HttpRequest) -> HttpResponse:
        """Answer one request, whichever way it came."""
        if request.host in self._sites.hosts:
            return self._sites.answer(request)
        try:
            return await self._answer_google(request)
        except ApiError as error:
            what = ("-", request.method, request.host, request.path, "-", error.status, 0.0)
            self._record(CallRecord(time.time(), *what, f"{error.reason}: {error.logged}"))
            return json_response(error.body(), status=error.status, headers=error.headers)

    async def _answer_google(self, request: HttpRequest) -> HttpResponse:
        if request.method not in _METHODS:
            message = _NOT_ALLOWED.format(request.method, request.path)
            raise ApiError(405, "httpMethodNotAllowed", message)
        if self._serves_xml(request.host, request.path):
            return await self._xml.answer(request)
        if self._oauth.serves(request):
            return self._oauth.answer(request)
        if request.path in self._endpoint.router.batch_paths(request.host):
            return await answer_batch(request, self._endpoint.answer)
        if not self._endpoint.router.serves(request.host):
            raise ApiError(
                404,
                "notFound",
                f"{request.host} is not part of this sandbox (docs/fidelity.md): "
                f"{request.path} was not found",
            )
        return await self._endpoint.answer(request)

    def _serves_xml(self, host: str, path: str) -> bool:
        return self._endpoint.router.serves(XML_HOST) and serves_xml(host, path)

    def _open_door(self) -> Door:
        if self._door is None:
            self._http = _HttpServer(self._handle)
            self._door = Door(self._certificate, self._sites.hosts, self._tunneller, self._http)
        return self._door

    async def _handle(self, request: web.BaseRequest) -> web.StreamResponse:
        host = _host(request.headers.get("Host", ""))
        try:
            target = _target(request)
            if target.startswith(UPLOAD_PATHS):
                stream = unpacked(coding_of(request), chunks(request))
                return await self._answered(request, host, target, b"", stream)
            if request.method == "PUT" and self._serves_xml(host, target):
                return await self._answered(request, host, target, b"", chunks(request))
            if not request.can_read_body:
                return await self._answered(request, host, target, b"")
            async with whole(request, self._room) as body:
                return await self._answered(request, host, target, body)
        except ApiError as error:
            # What the client still sends would be read as its next request: end the connection.
            response = web.Response(status=error.status, body=json_response(error.body()).body)
            response.content_type = "application/json"
            response.force_close()
            return response
        except ConnectionError:  # the client left before it had said all
            return web.Response(status=499)  # to nobody

    async def _answered(
        self,
        request: web.BaseRequest,
        host: str,
        target: str,
        body: bytes,
        stream: AsyncIterator[bytes] | None = None,
    ) -> web.StreamResponse:
        asked = HttpRequest(
            request.method, host, target, request.headers, body, stream, _endpoint(request)
        )
        try:
            answer = await self.answer(asked)
        except NoAnswerError:
            if request.transport is not None:
                request.transport.abort()
            return web.Response(status=499)  # to nobody
        return await send(request, answer)


class _HttpServer(LimitedServer):
    """The HTTP side of every connection."""

    def __init__(self, handler: Callable[[web.BaseRequest], Awaitable[web.StreamResponse]]) -> None:
        super().__init__(
            handler,
            logger=_LOG,
            auto_decompress=False,
            lingering_time=LINGER,
            max_line_size=16 * 1024,
            max_field_size=32 * 1024,
        )

    def __call__(self) -> Connection:
        """Return the protocol of a new connection."""
        return Connection(self, loop=self._loop, **self._kwargs)

    async def end(self, grace: float) -> None:
        """Let calls under way end within `grace` seconds, then close every connection."""
        transports = list(self._connections.values())
        self.pre_shutdown()
        await self.shutdown(grace)
        for transport in transports:
            transport.abort()  # a client that is gone never answers TLS's farewell
        await asyncio.sleep(0)  # the loop closes the sockets in its next round


def _target(request: web.BaseRequest) -> str:
    """Return path and query as they came over the wire."""
    target = request.raw_path
    if not target.startswith("/"):
        raise ApiError(400, "badRequest", "The request target must be a path.")
    return target


def _endpoint(request: web.BaseRequest) -> str | None:
    """Return the endpoint that a client's settings name; Google's hosts are asked over TLS."""
    return None if request.secure else f"http://{request.headers.get('Host', '')}"


def _host(header: str) -> str:
    """Return the Host header's name without port, in lower case."""
    name, colon, port = header.rpartition(":")
    return (name if colon and port.isdigit() else header).rstrip(".").lower()
