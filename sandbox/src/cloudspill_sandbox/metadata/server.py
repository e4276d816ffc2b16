# SPDX-License-Identifier: GPL-3.0-or-later
"""The metadata server, version 1, for every instance: who asks is told by the source address.

https://cloud.google.com/compute/docs/metadata/querying-metadata. A waiting request sleeps in
MetadataSource.changed and is answered only when what it asked for has another entity tag: the
guest agent asks again at once, so waking it for nothing would make it spin.
"""

from __future__ import annotations

import asyncio
import html
import logging
import socket
from typing import Any

from aiohttp import web

from cloudspill_sandbox.http_connection import MALFORMED, HttpConnection, LimitedServer
from cloudspill_sandbox.metadata import guest_attributes, service_accounts
from cloudspill_sandbox.metadata.interface import MetadataSource
from cloudspill_sandbox.metadata.request import Query, check_headers, parse
from cloudspill_sandbox.metadata.responses import (
    Refusal,
    forbidden,
    json_text,
    not_found,
    redirect,
    refusal,
    text,
)
from cloudspill_sandbox.metadata.tree import JSON_BY_DEFAULT, Node

_log = logging.getLogger(__name__)
_ROOT = ("computeMetadata", "v1")
_GUEST_ATTRIBUTES = ("instance", "guest-attributes")
_SERVICE_ACCOUNTS = ("instance", "service-accounts")
_TOKEN_ENDPOINTS: frozenset[tuple[str, ...]] = frozenset(
    (name,) for name in service_accounts.ENDPOINTS
)


class _Connection(HttpConnection):
    """A connection whose refusals are the metadata server's."""

    __slots__ = ()

    def malformed(self, status: int) -> web.Response:
        """Return the page for what is no request."""
        return refusal(Refusal(status, MALFORMED))


class _Server(LimitedServer):
    """The server for every instance.

    A client that goes away ends its waiting request (handler_cancellation), so that instances
    which are switched off leave nothing behind.
    """

    def __init__(self, source: MetadataSource) -> None:
        super().__init__(
            self._handle,
            request_factory=self._request,
            handler_cancellation=True,
        )
        self._source = source

    def __call__(self) -> _Connection:
        """Return the protocol of a new connection."""
        return _Connection(self, loop=self._loop, **self._kwargs)

    async def _handle(self, request: web.BaseRequest) -> web.Response:
        try:
            return await _answer(self._source, request)
        except Refusal as refused:
            # As it was sent: unescaped, it could rewrite the terminal that shows the log.
            path = request.raw_path.partition("?")[0]
            _log.info("metadata %s %s: %d", request.method, path, refused.status)
            return refusal(refused)

    def _request(self, *arguments: Any) -> web.BaseRequest:
        message, payload, protocol, writer, task = arguments
        limit = guest_attributes.MAX_VALUE_BYTES + 1
        return web.BaseRequest(
            message, payload, protocol, writer, task, self._loop, client_max_size=limit
        )


async def serve(source: MetadataSource, listener: socket.socket) -> web.ServerRunner:
    """Serve on a listening socket; the caller ends it with `await runner.cleanup()`."""
    runner = web.ServerRunner(_Server(source), shutdown_timeout=0.5)
    await runner.setup()
    await web.SockSite(runner, listener, backlog=1024).start()
    return runner


async def _answer(source: MetadataSource, request: web.BaseRequest) -> web.Response:
    query = parse(request.remote or "", request.raw_path)
    if not query.names:
        return text("computeMetadata/\n")
    check_headers(query.path, request.headers)
    if query.names[0] == "0.1" or query.names[1:2] == ("v1beta1",):
        raise forbidden(
            query.path,
            f"Legacy metadata endpoint accessed: {html.escape(query.path)} "
            "Legacy metadata endpoints are disabled. Please use the /v1/ endpoint.",
        )
    if query.names == _ROOT[:1]:
        return text("v1/\nv1beta1/\n") if query.names_directory else _to_directory(query)
    if query.names[:2] != _ROOT:
        raise not_found(query.path)
    return await _answer_v1(source, request, query, query.names[2:])


async def _answer_v1(
    source: MetadataSource, request: web.BaseRequest, query: Query, names: tuple[str, ...]
) -> web.Response:
    if request.method in ("PUT", "DELETE") and names[:2] == _GUEST_ATTRIBUTES:
        return await _change_guest_attribute(source, request, query, names[2:])
    if request.method not in ("GET", "HEAD"):
        raise Refusal(405, f"The request method {request.method} is inappropriate for this URL.")
    if (
        names[:2] == _SERVICE_ACCOUNTS
        and len(names) == 4
        and names[3] in service_accounts.ENDPOINTS
    ):
        return service_accounts.endpoint(source, query, names[2], names[3])
    node = _find(source, query, names)
    if node.is_directory and not query.names_directory:
        return _to_directory(query)
    if query.wait_for_change:
        node = await _changed(source, query, names, node)
    return _render(query, names, node)


async def _change_guest_attribute(
    source: MetadataSource, request: web.BaseRequest, query: Query, names: tuple[str, ...]
) -> web.Response:
    if request.method == "DELETE":
        guest_attributes.delete(source, query.address, query.path, names)
        return text("")
    try:
        value = await request.read()
    except web.HTTPRequestEntityTooLarge:
        limit = guest_attributes.MAX_VALUE_BYTES
        raise Refusal(413, f"A guest attribute's value has at most {limit} bytes.") from None
    guest_attributes.put(source, query.address, names, value)
    return text("")


def _find(source: MetadataSource, query: Query, names: tuple[str, ...]) -> Node:
    """Return what a path names now.

    Raises:
        Refusal: the address is no instance's (403), the path does not exist (404).
    """
    if names[:2] == _GUEST_ATTRIBUTES:
        found = guest_attributes.read(source, query.address).find(names[2:])
    else:
        tree = source.tree(query.address)
        if tree is None:
            raise forbidden(query.path, f"No instance has the address {query.address}.")
        found = Node("", tree).find(names)
    if found is None:
        raise not_found(query.path)
    return found


async def _changed(
    source: MetadataSource, query: Query, names: tuple[str, ...], node: Node
) -> Node:
    """Return the node once its entity tag differs from the client's, or at the time-out."""
    known = query.last_etag or node.etag()
    try:
        async with asyncio.timeout(query.timeout):
            while node.etag() == known:
                await source.changed(query.address)
                node = _find(source, query, names)
    except TimeoutError:
        return _find(source, query, names)
    return node


def _render(query: Query, names: tuple[str, ...], node: Node) -> web.Response:
    if not node.is_directory:
        return _render_value(query, node)
    etag = node.etag()
    if query.recursive:
        if query.wants_json(by_default=True):
            return json_text(node.json(), etag)
        return text(node.flat_text(), etag)
    is_account = names[:2] == _SERVICE_ACCOUNTS and len(names) == 3
    listing = service_accounts.listing(node) if is_account else node.listing()
    if names == _GUEST_ATTRIBUTES[:1]:
        listing = "".join(sorted([*listing.splitlines(keepends=True), "guest-attributes/\n"]))
    return text(listing, etag)


def _render_value(query: Query, node: Node) -> web.Response:
    if query.names_directory:
        raise not_found(query.path)
    if query.wants_json(by_default=node.key in JSON_BY_DEFAULT or query.recursive):
        return json_text(node.json(), node.etag())
    return text(node.text(), node.etag())


def _to_directory(query: Query) -> web.Response:
    parameters = f"?{query.raw_parameters}" if query.raw_parameters else ""
    return redirect(f"{query.path}/{parameters}")
