# SPDX-License-Identifier: GPL-3.0-or-later
"""The shape of one API call, between the front that parses it and the handler that answers it."""

from __future__ import annotations

from collections.abc import AsyncIterable, Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    from cloudspill_sandbox.engine.discovery import Api

Document = dict[str, Any]
"""A resource in API form (camelCase keys). Shared by all readers: never changed in place."""


@dataclass(frozen=True, slots=True)
class Principal:
    """Who calls.

    Attributes:
        email: of the service account or user; "" for an anonymous caller.
        scopes: OAuth scopes of the token; empty for a self-signed JWT without scopes.
        instance: numeric id of the instance whose metadata server issued the token, if any.
    """

    email: str
    scopes: frozenset[str] = frozenset()
    instance: str | None = None


ANONYMOUS = Principal("")
"""A caller without credentials, whom some APIs let in."""


@dataclass(frozen=True, slots=True)
class Wire:
    """What of the HTTP request itself some methods have to see.

    Attributes:
        http_method: in capitals, `PUT` for a part of a resumable upload.
        origin: that the client asked, `https://storage.googleapis.com`; links in answers to what
            it goes on with lead there.
        headers: keys match in any case.
    """

    http_method: str = "GET"
    origin: str = "https://www.googleapis.com"
    headers: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Media:
    """The bytes of an upload, as they come; they can be read once.

    Attributes:
        content_type: of the bytes, None when the client did not say.
        chunks: raises ApiError 408 when the client stops sending, ConnectionError when it left.
    """

    content_type: str | None
    chunks: AsyncIterable[bytes]


class Content(Protocol):
    """Bytes of an answer that are too many to be held in memory.

    The front calls `read` in a thread until it returns nothing, and `close` in any case.
    """

    @property
    def size(self) -> int | None:
        """Bytes to come; None when that is not known before."""

    def read(self) -> bytes:
        """Return the next bytes, b"" at the end."""

    def close(self) -> None:
        """Let go of the file."""


@dataclass(frozen=True, slots=True)
class Call:
    """One authenticated, routed and schema-valid request.

    Attributes:
        method: id in the discovery document, `compute.instances.insert`.
        path: path parameters by their discovery names, percent-decoded.
        query: query parameters by their discovery names, converted to their types
            (`maxResults` int, `orderBy` str, `returnPartialSuccess` bool, repeated ones list).
        body: request body, `{}` when there is none; unknown fields never get here.
        principal: the caller.
        wire: the HTTP request.
        media: what is uploaded by this very request; None when nothing is.
        api: that the method is of; None for what no client called.
    """

    method: str
    path: Mapping[str, str]
    query: Mapping[str, Any]
    body: Document
    principal: Principal
    wire: Wire = Wire()
    media: Media | None = None
    api: Api | None = field(default=None, repr=False, compare=False)


@dataclass(frozen=True, slots=True)
class Reply:
    """An answer that is more than a JSON document with status 200."""

    status: int = 200
    body: Document | bytes | Content = field(default_factory=dict)
    headers: Mapping[str, str] = field(default_factory=dict)


Handler = Callable[[Call], Awaitable[Document | Reply]]
"""Answers a call; raises ApiError to refuse it."""

Service = Mapping[str, Handler]
"""The implemented methods of an API by discovery id; what is absent is a 501."""
