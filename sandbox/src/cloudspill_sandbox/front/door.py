# SPDX-License-Identifier: GPL-3.0-or-later
"""The one door: a CONNECT proxy (RFC 9110, section 9.3.6), and an endpoint of its own.

Google's hosts and the sandbox's own are answered here, over TLS that is set up in place on the
same connection; everything else becomes a tunnel. A request that names a path alone is for a
client's endpoint override, `http://127.0.0.1:8460/compute/v1/…`, without TLS: it never leaves the
host.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections import Counter, defaultdict
from collections.abc import AsyncIterator, Callable, Coroutine
from http import HTTPStatus
from typing import cast

from cloudspill_sandbox.front.pipe import HEAD_END, Handover, HeadError, HeadReader, Held, join
from cloudspill_sandbox.front.tls import ServerCertificate
from cloudspill_sandbox.front.tunnel import TunnelError, Tunneller

HEAD_TIMEOUT = 10.0
"""Seconds until a client has said where it wants to go, and as many for its TLS handshake."""

MAX_HANDSHAKES = 64
"""TLS handshakes at once with one guest; further connections wait, for HEAD_TIMEOUT at most.

What has not said who it is costs memory and time all the same; what waits costs a socket and little
more.
"""

QUIET = 1.0
"""Seconds between two lines of the log about guests that begin too much."""

_LOG = logging.getLogger("cloudspill_sandbox.front")
_GOOGLE = "googleapis.com"
_GOOGLE_HOSTS = frozenset({_GOOGLE, "accounts.google.com", "metadata.google.internal"})


class Door:
    """Decides for each connection whether it is answered here or passed on.

    Args:
        certificate: shown to clients of the hosts that are answered here.
        own_hosts: such hosts beside Google's.
        tunneller: opens the connections of everything else.
        http: makes the HTTP protocol of one connection.
    """

    def __init__(
        self,
        certificate: ServerCertificate,
        own_hosts: frozenset[str],
        tunneller: Tunneller,
        http: Callable[[], asyncio.Protocol],
    ) -> None:
        self._certificate = certificate
        self._hosts = _GOOGLE_HOSTS | own_hosts
        self._tunneller = tunneller
        self._http = http
        self._handshakes = _Turns(MAX_HANDSHAKES)
        self._told = -QUIET
        self._tasks: set[asyncio.Task[None]] = set()
        self._transports: set[asyncio.Transport] = set()

    def connection(self) -> asyncio.Protocol:
        """Return the protocol of a new connection."""
        return _Entrance(self._enter)

    def secure_connection(self) -> asyncio.Protocol:
        """Return the protocol of a new connection that begins with TLS."""
        return _SecureEntrance(self._enter_secured)

    async def close(self) -> None:
        """End what is still being set up, and every tunnel."""
        for task in list(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        for transport in self._transports:
            transport.abort()

    def _enter(self, entrance: HeadReader) -> None:
        self._begin(self._serve(entrance))

    def _enter_secured(self, transport: asyncio.Transport) -> None:
        self._begin(self._serve_secured(transport))

    def _begin(self, serving: Coroutine[None, None, None]) -> None:
        task = asyncio.get_running_loop().create_task(serving)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _serve_secured(self, transport: asyncio.Transport) -> None:
        peer: str = transport.get_extra_info("peername", ("",))[0]
        try:
            async with self._handshakes.of(peer):
                await self._secure(transport)
        except _NoTurnError:
            self._warn_of(peer)
            transport.abort()
        except OSError as error:  # a client that does not trust the certificate, or left
            _LOG.debug("TLS: %s", error)
            transport.abort()
        except BaseException:
            transport.abort()
            raise

    def _warn_of(self, peer: str) -> None:
        now = asyncio.get_running_loop().time()
        if now - self._told >= QUIET:
            self._told = now
            message = "%s keeps %d TLS handshakes open: further connections are refused"
            _LOG.warning(message, peer, MAX_HANDSHAKES)

    async def _serve(self, entrance: HeadReader) -> None:
        transport = entrance.transport
        try:
            async with asyncio.timeout(HEAD_TIMEOUT):
                head, rest = await entrance.head()
            if _is_for_endpoint(head):
                handover = Handover()
                handover.data_received(head + HEAD_END + rest)
                handover.to(self._http(), transport)
                return
            host, port = _destination(head)
            if host in self._hosts or host.endswith(f".{_GOOGLE}"):
                await self._answer(transport, host, port, rest)
            else:
                await self._pass_on(transport, host, port, rest)
        except TunnelError as refusal:
            _LOG.info("proxy: %s", refusal.message)
            _refuse(transport, refusal)
        except (HeadError, TimeoutError):
            transport.abort()
        except OSError as error:  # a client that does not trust the certificate, or left
            _LOG.debug("proxy: %s", error)
            transport.abort()
        except BaseException:
            transport.abort()
            raise

    async def _answer(
        self, transport: asyncio.Transport, host: str, port: int, rest: bytes
    ) -> None:
        if port != 443:
            raise TunnelError(403, f"the sandbox answers for {host} on port 443 alone, not {port}")
        if rest:
            raise TunnelError(400, "a client must wait for the proxy's answer before TLS begins")
        _accept(transport)
        await self._secure(transport)

    async def _secure(self, transport: asyncio.Transport) -> None:
        """Set TLS up in place, and speak HTTP over it.

        Raises:
            OSError: the client does not want to, or is gone.
        """
        handover = Handover()
        secured = await asyncio.get_running_loop().start_tls(
            transport,
            handover,
            self._certificate.context,
            server_side=True,
            ssl_handshake_timeout=HEAD_TIMEOUT,
        )
        if secured is not None:
            handover.to(self._http(), secured)

    async def _pass_on(
        self, transport: asyncio.Transport, host: str, port: int, rest: bytes
    ) -> None:
        peer, early = await self._tunneller.open(host, port)
        _LOG.info("proxy: tunnel to %s:%d", host, port)
        _accept(transport)
        transport.write(early)
        peer.write(rest)
        join(transport, peer, self._transports)


class _NoTurnError(Exception):
    """Others had all turns for too long."""


class _Turns:
    """Lets each peer do a thing so many times at once; who comes later waits.

    Args:
        most: times at once.
    """

    def __init__(self, most: int) -> None:
        self._turns: defaultdict[str, asyncio.Semaphore] = defaultdict(
            lambda: asyncio.Semaphore(most)
        )
        self._users: Counter[str] = Counter()

    @contextlib.asynccontextmanager
    async def of(self, peer: str) -> AsyncIterator[None]:
        """Have a turn.

        Raises:
            _NoTurnError: there was none within HEAD_TIMEOUT.
        """
        self._users[peer] += 1
        turn = self._turns[peer]
        try:
            try:
                async with asyncio.timeout(HEAD_TIMEOUT):
                    await turn.acquire()
            except TimeoutError:
                raise _NoTurnError from None
            try:
                yield
            finally:
                turn.release()
        finally:
            self._users[peer] -= 1
            if not self._users[peer]:
                del self._users[peer], self._turns[peer]


class _Entrance(HeadReader):
    """Calls back once it is connected."""

    def __init__(self, enter: Callable[[HeadReader], None]) -> None:
        super().__init__()
        self._enter = enter

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        super().connection_made(transport)
        self._enter(self)


class _SecureEntrance(Held):
    """Calls back once it is connected."""

    def __init__(self, enter: Callable[[asyncio.Transport], None]) -> None:
        self._enter = enter

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        super().connection_made(transport)
        self._enter(cast("asyncio.Transport", transport))


def _is_for_endpoint(head: bytes) -> bool:
    words = head.partition(b"\r\n")[0].split(b" ")
    return len(words) == 3 and words[1].startswith(b"/")


def _destination(head: bytes) -> tuple[str, int]:
    """Return host (lower case) and port out of a CONNECT request's head.

    Raises:
        TunnelError: it is something else; the sentence says how the proxy is used.
    """
    words = head.partition(b"\r\n")[0].decode("latin-1").split(" ")
    if len(words) != 3 or not words[2].startswith("HTTP/"):
        raise TunnelError(400, "this is an HTTP proxy: it understands CONNECT host:port alone")
    if words[0] != "CONNECT":
        raise TunnelError(
            403,
            f"this proxy carries HTTPS (CONNECT) alone, not {words[0]}: use an https:// address, "
            "or set NO_PROXY for this host",
        )
    if "@" in words[1]:  # no such thing in RFC 9110, section 9.3.6, and it may hold a password
        raise TunnelError(400, "CONNECT needs host:port, without a user or a password")
    name, _, port = words[1].rpartition(":")
    host = name.removeprefix("[").removesuffix("]").rstrip(".").lower()
    if not host or not (port.isascii() and port.isdigit() and 0 < int(port) < 65536):
        raise TunnelError(400, "CONNECT needs host:port")
    return host, int(port)


def _accept(transport: asyncio.Transport) -> None:
    transport.write(b"HTTP/1.1 200 Connection established\r\n\r\n")


def _refuse(transport: asyncio.Transport, refusal: TunnelError) -> None:
    body = f"cloudspill sandbox: {refusal.message}\n".encode()
    phrase = HTTPStatus(refusal.status).phrase
    head = (
        f"HTTP/1.1 {refusal.status} {phrase}\r\nContent-Type: text/plain; charset=UTF-8\r\n"
        f"Content-Length: {len(body)}\r\nConnection: close\r\n\r\n"
    )
    transport.write(head.encode() + body)
    transport.close()
