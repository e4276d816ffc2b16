# SPDX-License-Identifier: GPL-3.0-or-later
"""One API call from its request to its answer, in a straight line.

route → authenticate → scopes → validate → authorize → handler → render. So an unknown path is a 404
to everyone, and what is wrong with a body is told only to those who may ask.
"""

from __future__ import annotations

import logging
import secrets
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any
from urllib.parse import parse_qsl

from cloudspill_sandbox.engine.call import Call, Document, Handler, Principal, Reply, Service
from cloudspill_sandbox.engine.discovery import Api, Method
from cloudspill_sandbox.engine.errors import ApiError, invalid_parameter, not_implemented
from cloudspill_sandbox.engine.fields import Mask, parse_fields, select
from cloudspill_sandbox.engine.validation import (
    check_path,
    parse_json,
    query_parameters,
    request_body,
)
from cloudspill_sandbox.front.http import HttpRequest, HttpResponse, json_response
from cloudspill_sandbox.front.interface import Authenticator, Authorizer

_LOG = logging.getLogger("cloudspill_sandbox.api")


class Endpoint:
    """Answers the calls of some APIs.

    Args:
        apis: by any key; which one a path belongs to is found by host and service path.
        services: implemented methods by the same keys.
        legacy_hosts: hosts that serve every API whose path begins with its name.
        timer: monotonic seconds, for the log.
    """

    def __init__(
        self,
        apis: Mapping[str, Api],
        services: Mapping[str, Service],
        authenticator: Authenticator,
        authorizer: Authorizer,
        *,
        legacy_hosts: Sequence[str] = ("www.googleapis.com", "localhost", "127.0.0.1"),
        timer: Callable[[], float] = time.perf_counter,
    ) -> None:
        self._services = {id(apis[key]): service for key, service in services.items()}
        self._authenticator = authenticator
        self._authorizer = authorizer
        self._timer = timer
        by_length = sorted(apis.values(), key=lambda api: -len(api.service_path))
        legacy = [api for api in by_length if api.service_path]
        self._hosts: dict[str, list[Api]] = dict.fromkeys(legacy_hosts, legacy)
        for api in by_length:
            self._hosts[api.host] = [other for other in by_length if other.host == api.host]

    def serves(self, host: str) -> bool:
        """Whether any API lives on this host."""
        return host in self._hosts

    def batch_paths(self, host: str) -> frozenset[str]:
        """Where on this host several calls may be sent at once."""
        return frozenset("/" + api.batch_path for api in self._hosts.get(host, ()))

    async def answer(self, request: HttpRequest) -> HttpResponse:
        """Answer one call; refusals become Google's error JSON, accidents a 500 with an id."""
        progress = _Progress(request)
        started = self._timer()
        try:
            response = await self._answer(request, progress)
        except ApiError as error:
            response = json_response(error.body(), status=error.status, headers=error.headers)
            progress.refusal = f"{error.reason}: {error.logged}"
        except Exception:  # noqa: BLE001 - a handler's accident must not end the connection
            response = self._accident(progress)
        progress.log(response.status, self._timer() - started)
        return response

    async def _answer(self, request: HttpRequest, progress: _Progress) -> HttpResponse:
        api, method, path = self._route(request)
        progress.method = method.id
        pairs = _query_pairs(request)
        try:
            principal = self._authenticator.authenticate(_authorization(request, pairs))
            _check_scopes(principal, method)
        except ApiError as error:
            raise _located(error, api, method) from None
        progress.principal = principal.email
        handler, call = self._validated(api, method, path, pairs, request.body, principal)
        view = _View.of(call.query)
        self._authorizer.authorize(call)
        return view.render(await handler(call))

    def _route(self, request: HttpRequest) -> tuple[Api, Method, dict[str, str]]:
        path = request.path[1:]
        http_method = _http_method(request)
        for api in self._hosts.get(request.host, ()):
            if not path.startswith(api.service_path):
                continue
            segments = path[len(api.service_path) :].split("/")
            method = api.routes.find(http_method, segments)
            if method is not None:
                return api, method, method.path_values(segments)
        raise ApiError(
            404,
            "notFound",
            f"The requested URL {request.path} was not found on {request.host} for {http_method}.",
        )

    def _validated(
        self,
        api: Api,
        method: Method,
        path: dict[str, str],
        pairs: Sequence[tuple[str, str]],
        body: bytes,
        principal: Principal,
    ) -> tuple[Handler, Call]:
        handler = self._services.get(id(api), {}).get(method.id)
        if handler is None:
            raise not_implemented(method.id)
        check_path(method, path)
        query = query_parameters(api, method, pairs)
        content = parse_json(body) if body and method.request else None
        document = request_body(api, method, content)
        return handler, Call(method.id, path, query, document, principal)

    def _accident(self, progress: _Progress) -> HttpResponse:
        number = secrets.token_hex(4).upper()
        _LOG.exception("%s failed (Code: %s)", progress.method, number)
        progress.refusal = f"internal error {number}"
        error = ApiError(
            500,
            "backendError",
            f"Internal error. Please try again or contact Google Support. (Code: '{number}')",
        )
        return json_response(error.body(), status=500)


class _Progress:
    """What is known of a call for its line in the log."""

    __slots__ = ("_request", "method", "principal", "refusal")

    def __init__(self, request: HttpRequest) -> None:
        self._request = request
        self.method = "-"
        self.principal = "-"
        self.refusal = ""

    def log(self, status: int, seconds: float) -> None:
        """Write the line; the query stays out, for it may carry a token."""
        _LOG.log(
            logging.INFO if status < 500 else logging.WARNING,
            "%s %s %s by %s: %d in %.1f ms%s",
            self.method,
            self._request.method,
            self._request.path,
            self.principal,
            status,
            seconds * 1000,
            f" ({self.refusal})" if self.refusal else "",
        )


def _http_method(request: HttpRequest) -> str:
    """Return the method that is meant: long GETs come as POST with an override."""
    if request.method == "POST":
        return request.headers.get("X-HTTP-Method-Override", "POST").upper()
    return "GET" if request.method == "HEAD" else request.method


def _query_pairs(request: HttpRequest) -> list[tuple[str, str]]:
    if not request.query and "X-HTTP-Method-Override" not in request.headers:
        return []
    pairs = parse_qsl(request.query, keep_blank_values=True)
    if request.headers.get("Content-Type", "").startswith("application/x-www-form-urlencoded"):
        pairs += parse_qsl(request.body.decode("latin-1"), keep_blank_values=True)
    return pairs


def _authorization(request: HttpRequest, pairs: Sequence[tuple[str, str]]) -> str | None:
    header = request.headers.get("Authorization")
    if header is None:
        for name, value in pairs:
            if name in ("access_token", "oauth_token"):
                return f"Bearer {value}"
    return header


def _check_scopes(principal: Principal, method: Method) -> None:
    """Return when a token may be used for a method; one without scopes is for all of them.

    https://cloud.google.com/compute/docs/access/service-accounts#scopes_best_practice,
    https://google.aip.dev/auth/4111.

    Raises:
        ApiError: 403 as Google words it.
    """
    if not principal.scopes or not method.scopes or principal.scopes & method.scopes:
        return
    wanted = " ".join(sorted(method.scopes))
    challenge = 'Bearer realm="https://accounts.google.com/", error="insufficient_scope"'
    raise ApiError(
        403,
        "insufficientPermissions",
        "Request had insufficient authentication scopes.",
        item_message="Insufficient Permission",
        code="PERMISSION_DENIED",
        details=[
            {
                "@type": "type.googleapis.com/google.rpc.ErrorInfo",
                "reason": "ACCESS_TOKEN_SCOPE_INSUFFICIENT",
                "domain": "googleapis.com",
            }
        ],
        headers={"WWW-Authenticate": f'{challenge}, scope="{wanted}"'},
    )


def _located(error: ApiError, api: Api, method: Method) -> ApiError:
    """Name service and method in the details of a 401 or 403, as Google does."""
    _, *resource, verb = method.id.split(".")
    service = resource[-1] if resource else api.name
    metadata = {
        "service": api.host,
        "method": f"{api.name}.{api.version}.{service[0].upper()}{service[1:]}Service."
        f"{verb[0].upper()}{verb[1:]}",
    }
    error.details = [{**detail, "metadata": metadata} for detail in error.details]
    return error


@dataclass(frozen=True, slots=True)
class _View:
    """How the caller wants the answer: which parts of it, indented or not."""

    mask: Mask
    indent: bool

    @classmethod
    def of(cls, query: Mapping[str, Any]) -> _View:
        """Read the standard parameters. Raises ApiError 400 for a view that cannot be given."""
        alternative = query.get("alt", "json")
        if alternative not in ("json", "media"):
            raise invalid_parameter("alt", f"Invalid value '{alternative}': the sandbox sends json")
        fields = query.get("fields")
        return cls(parse_fields(fields) if fields else {}, query.get("prettyPrint", False))

    def render(self, result: Document | Reply) -> HttpResponse:
        """Turn what a handler returned into a response."""
        if not isinstance(result, Reply):
            return json_response(select(self.mask, result), indent=self.indent)
        if isinstance(result.body, bytes):
            kind = result.headers.get("Content-Type", "application/octet-stream")
            return HttpResponse(result.status, result.body, kind, result.headers)
        return json_response(
            select(self.mask, result.body),
            status=result.status,
            headers=result.headers,
            indent=self.indent,
        )
