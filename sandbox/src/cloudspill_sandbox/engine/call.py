# SPDX-License-Identifier: GPL-3.0-or-later
"""The shape of one API call, between the front that parses it and the handler that answers it."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

Document = dict[str, Any]
"""A resource in API form (camelCase keys). Shared by all readers: never changed in place."""


@dataclass(frozen=True, slots=True)
class Principal:
    """Who calls.

    Attributes:
        email: of the service account or user.
        scopes: OAuth scopes of the token; empty for a self-signed JWT without scopes.
        instance: numeric id of the instance whose metadata server issued the token, if any.
    """

    email: str
    scopes: frozenset[str] = frozenset()
    instance: str | None = None


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
    """

    method: str
    path: Mapping[str, str]
    query: Mapping[str, Any]
    body: Document
    principal: Principal


@dataclass(frozen=True, slots=True)
class Reply:
    """An answer that is more than a JSON document with status 200."""

    status: int = 200
    body: Document | bytes = field(default_factory=dict)
    headers: Mapping[str, str] = field(default_factory=dict)


Handler = Callable[[Call], Awaitable[Document | Reply]]
"""Answers a call; raises ApiError to refuse it."""

Service = Mapping[str, Handler]
"""The implemented methods of an API by discovery id; what is absent is a 501."""
