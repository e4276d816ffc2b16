# SPDX-License-Identifier: GPL-3.0-or-later
"""One API call from its request to its answer, in a straight line.

route → authenticate → scopes → validate → authorize → handler → render. So an unknown path is a 404
to everyone, and what is wrong with a body is told only to those who may ask. An upload's media are
read by the handler alone: whoever may not upload is refused before.
"""

from __future__ import annotations

import asyncio
import logging
import secrets
import time
from collections.abc import Callable, Mapping, Sequence
from html import escape
from urllib.parse import parse_qsl

from cloudspill_sandbox.engine.call import (
    ANONYMOUS,
    Call,
    Document,
    Handler,
    Principal,
    Service,
    Wire,
)
from cloudspill_sandbox.engine.call_record import CallRecord, Recorder, log_call
from cloudspill_sandbox.engine.discovery import Api, Method
from cloudspill_sandbox.engine.errors import ApiError, NoAnswerError, not_implemented
from cloudspill_sandbox.engine.validation import (
    LARGE,
    check_path,
    parse_json,
    query_parameters,
    request_body,
)
from cloudspill_sandbox.front.dialects import DEFAULT, DIALECTS, UNROUTED, Dialect
from cloudspill_sandbox.front.http import BARE_TYPE, HttpRequest, HttpResponse, json_response
from cloudspill_sandbox.front.interface import Authenticator, Authorizer
from cloudspill_sandbox.front.routing import Route, Router, Transfer
from cloudspill_sandbox.front.uploads import UPLOAD_ID, received
from cloudspill_sandbox.front.views import WHOLE, Views

_LOG = logging.getLogger("cloudspill_sandbox.api")


class Endpoint:
    """Answers the calls of some APIs.

    Args:
        apis: by any key.
        services: implemented methods by the same keys.
        legacy_hosts: hosts that serve every API whose path begins with its name.
        record: is told of each call.
        timer: monotonic seconds, for the records.
    """

    def __init__(
        self,
        apis: Mapping[str, Api],
        services: Mapping[str, Service],
        authenticator: Authenticator,
        authorizer: Authorizer,
        *,
        legacy_hosts: Sequence[str] = ("www.googleapis.com", "localhost", "127.0.0.1"),
        record: Recorder = log_call,
        timer: Callable[[], float] = time.perf_counter,
    ) -> None:
        self._services = {id(apis[key]): service for key, service in services.items()}
        self._authenticator = authenticator
        self._authorizer = authorizer
        self._record = record
        self._timer = timer
        self._large = asyncio.Lock()
        self._views = Views()
        self.router = Router(list(apis.values()), legacy_hosts)

    async def answer(
        self, request: HttpRequest, principal: Principal | None = None
    ) -> HttpResponse:
        """Answer one call; refusals become Google's error JSON, accidents a 500 with an id.

        Args:
            principal: who calls, where that is known already; by the request's token if not.

        Raises:
            NoAnswerError: a fault wants the connection to be closed instead.
        """
        progress = _Progress(request)
        started = self._timer()
        try:
            response = await self._answer(request, progress, principal)
        except ApiError as error:
            response = _refusal(error, progress.dialect)
            progress.refusal = f"{error.reason}: {error.logged}"
        except NoAnswerError as error:
            progress.refusal = str(error)
            self._record(progress.ended(499, self._timer() - started))
            raise
        except ConnectionError as error:
            response = HttpResponse(499, b"", None)  # to nobody: the client left while it sent
            progress.refusal = f"the client is gone: {error}"
        except Exception:  # noqa: BLE001 - a handler's accident must not end the connection
            response = self._accident(progress)
        self._record(progress.ended(response.status, self._timer() - started))
        return response

    async def _answer(
        self, request: HttpRequest, progress: _Progress, principal: Principal | None
    ) -> HttpResponse:
        route = self.router.route(request)
        progress.routed(route)
        pairs = _query_pairs(request)
        if route.transfer is Transfer.UPLOAD and any(name == UPLOAD_ID for name, _ in pairs):
            return await self._go_on(request, route, dict(pairs))
        try:
            if principal is None:
                principal = self._principal(route.api, _authorization(request, pairs))
            _check_scopes(principal, route.method)
        except ApiError as error:
            raise _located(error, route.api, route.method) from None
        progress.principal = principal.email or "anonymous"
        handler = self._handler(route)
        check_path(route.method, route.path)
        query = query_parameters(route.api, route.method, pairs)
        body, media = request.body, None
        if route.transfer is Transfer.UPLOAD:
            body, media = await received(request, query.get("uploadType"), None)
        elif route.transfer is Transfer.DOWNLOAD:
            query["alt"] = "media"
        document = await self._document(route, body)
        wire = Wire(request.method, request.origin, request.headers)
        call = Call(route.method.id, route.path, query, document, principal, wire, media, route.api)
        view = self._views.of(route.api, route.method, query)
        self._authorizer.authorize(call)
        return view.render(await handler(call))

    async def _go_on(
        self, request: HttpRequest, route: Route, query: Mapping[str, str]
    ) -> HttpResponse:
        """Pass a part of a resumable upload on: its id is secret, and all the credentials it needs.

        https://cloud.google.com/storage/docs/resumable-uploads#session-uris
        """
        _, media = await received(request, None, query[UPLOAD_ID])
        wire = Wire(request.method, request.origin, request.headers)
        call = Call(route.method.id, route.path, query, {}, ANONYMOUS, wire, media)
        return WHOLE.render(await self._handler(route)(call))

    async def _document(self, route: Route, body: bytes) -> Document:
        """Return a request's document; a large one at a time, while others are answered."""
        if len(body) <= LARGE:
            return _read(route, body)
        async with self._large:
            return await asyncio.to_thread(_read, route, body)

    def _handler(self, route: Route) -> Handler:
        handler = self._services.get(id(route.api), {}).get(route.method.id)
        if handler is None:
            raise not_implemented(route.method.id)
        return handler

    def _principal(self, api: Api, authorization: str | None) -> Principal:
        if authorization is None and DIALECTS.get(api.name, DEFAULT).anonymous:
            return ANONYMOUS
        return self._authenticator.authenticate(authorization)

    def _accident(self, progress: _Progress) -> HttpResponse:
        number = secrets.token_hex(4).upper()
        _LOG.exception("%s failed (Code: %s)", progress.method, number)
        progress.refusal = f"internal error {number}"
        error = ApiError(
            500,
            "backendError",
            f"Internal error. Please try again or contact Google Support. (Code: '{number}')",
        )
        return _refusal(error, progress.dialect)


class _Progress:
    """What is known of a call, for its record and for its refusal."""

    __slots__ = ("_request", "dialect", "method", "principal", "refusal")

    def __init__(self, request: HttpRequest) -> None:
        self._request = request
        self.dialect = UNROUTED
        self.method = "-"
        self.principal = "-"
        self.refusal = ""

    def routed(self, route: Route) -> None:
        """Take note of what the call is."""
        self.method = route.method.id
        self.dialect = DIALECTS.get(route.api.name, DEFAULT)

    def ended(self, status: int, seconds: float) -> CallRecord:
        """Return what is to be kept of the call."""
        return CallRecord(
            time.time(),
            self.method,
            self._request.method,
            self._request.host,
            self._request.path,
            self.principal,
            status,
            seconds * 1000,
            self.refusal,
        )


def _read(route: Route, body: bytes) -> Document:
    content = parse_json(body) if body and route.method.request else None
    return request_body(route.api, route.method, content)


def _refusal(error: ApiError, dialect: Dialect) -> HttpResponse:
    if error.status == 304:  # no refusal, and without a body
        return HttpResponse(304, b"", None, error.headers)
    if error.bare:
        sentence = escape(error.message, quote=False).encode(errors="replace")
        kind = error.headers.get("Content-Type", BARE_TYPE)
        return HttpResponse(error.status, sentence, kind, error.headers)
    body = error.body() if dialect.error_items else error.rpc_body()
    return json_response(body, status=error.status, headers=error.headers)


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
