# SPDX-License-Identifier: GPL-3.0-or-later
"""Bytes that are no request: to the proxy, in place of TLS, and in place of HTTP."""

from __future__ import annotations

from dataclasses import dataclass

from hypothesis import strategies as st

_HOST = b"Host: compute.googleapis.com\r\n"
_PATH = b"/compute/v1/projects/cloudspill-sandbox"


@dataclass(frozen=True, slots=True)
class Garbage:
    """Bytes for one connection.

    Attributes:
        place: `proxy`, the port itself; `tls`, after CONNECT; `http`, after the handshake.
    """

    place: str
    content: bytes

    def __str__(self) -> str:
        """Return its beginning."""
        return f"{len(self.content)} bytes to {self.place}: {self.content[:300]!r}"


# Destinations that the proxy refuses or answers itself: nothing here may leave the host.
_CONNECTS = [
    b"CONNECT %s HTTP/1.1\r\n\r\n" % destination
    for destination in (
        *(b"", b":", b":443", b"compute.googleapis.com", b"compute.googleapis.com:0"),
        *(b"compute.googleapis.com:99999999999", b"compute.googleapis.com:-1", b"127.0.0.1:1"),
        *(b"localhost:1", b"[::1]:1", b"[::ffff:127.0.0.1]:1", b"10.128.0.2:80", b"0.0.0.0:1"),
        *(b"169.254.169.254:80", b"198.18.0.2:22", b"metadata.google.internal:80"),
    )
]
_PROXY = [
    *_CONNECTS,
    b"",
    b"\r\n\r\n",
    b"GET / HTTP/1.1\r\n\r\n",
    b"GET http://compute.googleapis.com/ HTTP/1.1\r\n\r\n",
    b"CONNECT\r\n\r\n",
    b"CONNECT compute.googleapis.com:443 HTTP/1.1\r\n\r\n\x16\x03\x01" + b"\x00" * 50,
    b"A" * 20_000,
    b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",
    b"SSH-2.0-x\r\n",
]
_TLS = [
    b"",
    b"GET / HTTP/1.1\r\n\r\n",
    b"\x16\x03\x01\xff\xff" + b"\x01" * 2000,
    b"\x15\x03\x03\x00\x02\x02\x28",
    b"\x80\x2e\x01\x00\x02",
    b"\x16\x03\x03\x00\x00" * 200,
]


def _http(line: bytes, *fields: bytes, body: bytes = b"") -> bytes:
    return line + b"\r\n" + _HOST + b"".join(field + b"\r\n" for field in fields) + b"\r\n" + body


_POST = b"POST " + _PATH + b"/zones/us-west1-b/instances HTTP/1.1"
_HTTP = [
    _http(b"GET " + _PATH + b" HTTP/9.9"),
    _http(b"GET " + _PATH + b" HTTP/1.0"),
    _http(b"GET  " + _PATH + b"  HTTP/1.1"),
    _http(b"GET http://elsewhere/ HTTP/1.1"),
    _http(b"GET * HTTP/1.1"),
    _http(b"OPTIONS * HTTP/1.1"),
    _http(b"CONNECT 127.0.0.1:1 HTTP/1.1"),
    _http(b"GET /\x00 HTTP/1.1"),
    _http(b"GET /" + b"a" * 40_000 + b" HTTP/1.1"),
    _http(b"GET / HTTP/1.1", b"X: " + b"y" * 70_000),
    _http(b"GET / HTTP/1.1", *[b"X%d: y" % n for n in range(3000)]),
    _http(b"GET / HTTP/1.1", b"X: \x00"),
    _http(b"GET / HTTP/1.1", b" folded"),
    _http(b"GET / HTTP/1.1", b"Host: elsewhere"),
    _http(b"GET / HTTP/1.1", b"Upgrade: websocket", b"Connection: Upgrade"),
    _http(b"GET / HTTP/1.1", b"Upgrade: h2c", b"Connection: Upgrade, HTTP2-Settings"),
    _http(_POST, b"Content-Length: -1"),
    _http(_POST, b"Content-Length: 99999999999999999999"),
    _http(_POST, b"Content-Length: 5", b"Content-Length: 6", body=b"{}   "),
    _http(_POST, b"Content-Length: 5", b"Transfer-Encoding: chunked", body=b"0\r\n\r\n"),
    _http(_POST, b"Transfer-Encoding: chunked", body=b"zz\r\n{}\r\n0\r\n\r\n"),
    _http(_POST, b"Transfer-Encoding: chunked", body=b"ffffffffffffffff\r\n{}"),
    _http(_POST, b"Transfer-Encoding: chunked", body=b"2;" + b"x" * 20_000 + b"\r\n{}\r\n"),
    _http(_POST, b"Transfer-Encoding: gzip, chunked", body=b"2\r\n{}\r\n0\r\n\r\n"),
    _http(_POST, b"Content-Encoding: deflate", b"Content-Length: 3", body=b"abc"),
    _http(b"GET " + _PATH + b" HTTP/1.1") * 300,
    b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
    b"\r\n" * 5000,
    b"G",
]


def _mutated(content: bytes, position: float, insertion: bytes) -> bytes:
    cut = int(position * len(content))
    return content[:cut] + insertion + content[cut + len(insertion) :]


def _of(place: str, contents: list[bytes], *, mutate: bool) -> st.SearchStrategy[Garbage]:
    drawn = st.sampled_from(contents)
    if mutate:
        cuts = st.floats(0, 1, exclude_max=True)
        drawn |= st.builds(_mutated, drawn, cuts, st.binary(min_size=1, max_size=8))
        drawn |= st.binary(max_size=200)
    return drawn.map(lambda content: Garbage(place, content))


def garbage() -> st.SearchStrategy[Garbage]:
    """Bytes for every place; those for the proxy are not mutated, so that none names a host."""
    return st.one_of(
        _of("proxy", _PROXY, mutate=False),
        _of("tls", _TLS, mutate=True),
        _of("http", _HTTP, mutate=True),
        _of("http", _HTTP, mutate=True),
    )
