# SPDX-License-Identifier: GPL-3.0-or-later
"""Connections that only pass through: everything that is not Google's goes where it was going.

Directly or by the proxy that the environment had when the sandbox was started. Never to the VPC
or to the host itself: the door would otherwise lead around the VPC's firewall and into services
that listen on the host alone.
"""

from __future__ import annotations

import asyncio
import base64
import contextlib
import ipaddress
import socket
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from urllib.parse import unquote, urlsplit

from cloudspill_sandbox.front.pipe import HeadError, HeadReader, Held

CONNECT_TIMEOUT = 30.0
"""Seconds to reach a destination."""

FORBIDDEN = tuple(
    ipaddress.IPv4Network(network)
    for network in ("10.128.0.0/9", "198.18.0.0/15", "169.254.0.0/16", "199.36.153.8/32")
)
"""The VPC's internal and external ranges, link-local (metadata servers), the API's own address."""

Resolver = Callable[[str, int], Awaitable[list[str]]]
Address = ipaddress.IPv4Address | ipaddress.IPv6Address


class TunnelError(Exception):
    """A tunnel is refused or cannot be built.

    Args:
        status: 403 for a refusal, 502 and 504 for a destination that does not answer.
        message: the sentence that the client gets.
    """

    def __init__(self, status: int, message: str) -> None:
        super().__init__(message)
        self.status = status
        self.message = message


@dataclass(frozen=True, slots=True)
class Upstream:
    """The proxy that the environment named.

    Attributes:
        host: its name or address.
        port: its port.
        authorization: value of Proxy-Authorization, None without credentials.
        tls: whether the proxy itself is spoken to over TLS.
        no_proxy: names that are reached directly, as in NO_PROXY.
    """

    host: str
    port: int
    authorization: str | None
    tls: bool
    no_proxy: str

    @classmethod
    def from_environment(cls, environment: Mapping[str, str], own_port: int) -> Upstream | None:
        """Return the proxy that HTTPS_PROXY names; None without one or if it is this sandbox.

        Raises:
            ValueError: the variable holds no URL of an HTTP proxy.
        """
        url = environment.get("HTTPS_PROXY") or environment.get("https_proxy")
        if not url:
            return None
        parts = urlsplit(url if "://" in url else f"http://{url}")
        if parts.scheme not in ("http", "https") or parts.hostname is None:
            raise ValueError(f"HTTPS_PROXY does not name an HTTP proxy: {parts.hostname or '?'}")
        port = parts.port or (443 if parts.scheme == "https" else 80)
        if port == own_port and parts.hostname in ("127.0.0.1", "localhost", "::1"):
            return None
        authorization = None
        if parts.username is not None:
            pair = f"{unquote(parts.username)}:{unquote(parts.password or '')}"
            authorization = "Basic " + base64.b64encode(pair.encode()).decode()
        no_proxy = environment.get("NO_PROXY") or environment.get("no_proxy") or ""
        return cls(parts.hostname, port, authorization, parts.scheme == "https", no_proxy)

    def bypassed_by(self, host: str) -> bool:
        """Whether NO_PROXY says that this host is reached directly."""
        entries = (entry.strip().lower().lstrip(".") for entry in self.no_proxy.split(","))
        return any(
            entry and (entry in ("*", host) or host.endswith(f".{entry}")) for entry in entries
        )


async def resolve(host: str, port: int) -> list[str]:
    """Return the addresses of a name. Raises OSError when it has none."""
    loop = asyncio.get_running_loop()
    found = await loop.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    return list(dict.fromkeys(str(sockaddr[0]) for *_, sockaddr in found))


def is_own_address(address: Address) -> bool:
    """Whether an address is the host's, found out without a list of interfaces.

    The kernel reaches an own address from that very address; connecting a UDP socket asks the
    routing table and sends nothing.
    """
    if address.is_loopback or address.is_unspecified:
        return True
    family = socket.AF_INET if address.version == 4 else socket.AF_INET6
    try:
        with socket.socket(family, socket.SOCK_DGRAM) as probe:
            probe.connect((str(address), 9))
            return bool(ipaddress.ip_address(probe.getsockname()[0].partition("%")[0]) == address)
    except OSError:
        return False


class Tunneller:
    """Opens connections for tunnels.

    Args:
        upstream: the proxy to go through, None to go directly.
        resolver: gives the addresses of a name.
        is_own: whether an address is the host's.
    """

    def __init__(
        self,
        upstream: Upstream | None = None,
        resolver: Resolver = resolve,
        is_own: Callable[[Address], bool] = is_own_address,
    ) -> None:
        self._upstream = upstream
        self._resolve = resolver
        self._is_own = is_own

    async def open(self, host: str, port: int) -> tuple[asyncio.Transport, bytes]:
        """Return a connection to host:port that is not read yet, and what already came over it.

        Raises:
            TunnelError: refused, or nobody answers.
        """
        try:
            async with asyncio.timeout(CONNECT_TIMEOUT):
                return await self._open(host, port)
        except TimeoutError:
            raise TunnelError(504, f"{host}:{port} did not answer in time") from None
        except (OSError, HeadError) as error:
            raise TunnelError(502, f"{host}:{port} cannot be reached: {error}") from None

    async def _open(self, host: str, port: int) -> tuple[asyncio.Transport, bytes]:
        upstream = self._upstream
        if upstream is None or upstream.bypassed_by(host):
            # Connect to the very addresses that were checked: a second look-up could say else.
            return await _connect_first(await self._checked(host, port), port), b""
        with contextlib.suppress(OSError):  # behind a proxy, names need not be known here
            await self._checked(host, port)
        return await _connect_through(upstream, host, port)

    async def _checked(self, host: str, port: int) -> list[str]:
        """Return the addresses of a host that may be connected to."""
        if host == "localhost" or host.endswith(".localhost"):
            raise _refusal(host, "the host itself")
        addresses = await self._resolve(host, port)
        for text in addresses:
            address = _plain(text)
            if any(address in network for network in FORBIDDEN) or address.is_multicast:
                raise _refusal(host, f"{text}, an address of the VPC or link-local")
            if self._is_own(address):
                raise _refusal(host, f"{text}, an address of the host itself")
        return addresses


async def _connect_first(addresses: list[str], port: int) -> asyncio.Transport:
    loop = asyncio.get_running_loop()
    failure = OSError("it has no address")
    for address in addresses:
        try:
            transport, _ = await loop.create_connection(Held, address, port)
        except OSError as error:
            failure = error
        else:
            return transport
    raise failure


async def _connect_through(
    upstream: Upstream, host: str, port: int
) -> tuple[asyncio.Transport, bytes]:
    transport, reader = await asyncio.get_running_loop().create_connection(
        HeadReader, upstream.host, upstream.port, ssl=upstream.tls or None
    )
    name = f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
    lines = [f"CONNECT {name} HTTP/1.1", f"Host: {name}"]
    if upstream.authorization:
        lines.append(f"Proxy-Authorization: {upstream.authorization}")
    try:
        transport.write("\r\n".join([*lines, "", ""]).encode())
        head, rest = await reader.head()
    except BaseException:
        transport.close()
        raise
    status = head.partition(b"\r\n")[0].decode("latin-1")
    if status.split(" ")[1:2] != ["200"]:
        transport.close()
        raise TunnelError(502, f"the proxy {upstream.host} refused {name}: {status}")
    return transport, rest


def _plain(text: str) -> Address:
    """Return an address, the IPv4 one where IPv6 only wraps it."""
    address = ipaddress.ip_address(text.partition("%")[0])
    if isinstance(address, ipaddress.IPv6Address):
        return address.ipv4_mapped or address.sixtofour or address
    return address


def _refusal(host: str, what: str) -> TunnelError:
    return TunnelError(
        403, f"the sandbox's proxy does not connect to {host}: it is {what} (set NO_PROXY for it)"
    )
