# SPDX-License-Identifier: GPL-3.0-or-later
"""Tokens of the service account that an instance runs as.

https://cloud.google.com/compute/docs/access/authenticate-workloads and
https://cloud.google.com/compute/docs/instances/verifying-instance-identity
"""

from __future__ import annotations

import html

from aiohttp import web

from cloudspill_sandbox.metadata.interface import MetadataSource
from cloudspill_sandbox.metadata.request import Query
from cloudspill_sandbox.metadata.responses import Refusal, json_object, not_found, text
from cloudspill_sandbox.metadata.tree import Node

ENDPOINTS = ("identity", "token")
"""What an account has besides the tree's aliases, email and scopes."""


def endpoint(source: MetadataSource, query: Query, account: str, name: str) -> web.Response:
    """Answer `instance/service-accounts/ACCOUNT/{token,identity}`.

    Raises:
        Refusal: no such account (404), no audience (400), a scope that was not granted (403).
    """
    try:
        if name == "token":
            return _access_token(source, query, account)
        return _identity_token(source, query, account)
    except KeyError:
        raise not_found(query.path) from None


def listing(directory: Node) -> str:
    """Return an account's listing with the endpoints that are no part of the tree."""
    names = sorted([*directory.listing().splitlines(), *ENDPOINTS])
    return "".join(f"{name}\n" for name in names)


def _access_token(source: MetadataSource, query: Query, account: str) -> web.Response:
    asked = query.parameters.get("scopes", "")
    scopes = frozenset(scope for scope in asked.replace(" ", ",").split(",") if scope)
    try:
        token = source.access_token(query.address, account, scopes)
    except PermissionError as error:
        missing = html.escape(str(error))
        raise Refusal(403, f"The instance was not given this access scope: {missing}") from None
    return json_object(
        {"access_token": token.value, "expires_in": token.expires_in, "token_type": "Bearer"}
    )


def _identity_token(source: MetadataSource, query: Query, account: str) -> web.Response:
    audience = query.parameters.get("audience", "")
    if not audience:
        raise Refusal(400, "non-empty audience parameter required", plain=True)
    form = query.parameters.get("format", "standard")
    if form not in ("standard", "full"):
        raise Refusal(400, "format parameter must be standard or full", plain=True)
    return text(source.identity_token(query.address, account, audience, full=form == "full"))
