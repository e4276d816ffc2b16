# SPDX-License-Identifier: GPL-3.0-or-later
"""OAuth over HTTP: the token endpoint in each of its historic places, and the public keys.

https://developers.google.com/identity/protocols/oauth2/service-account#authorizingrequests
"""

from __future__ import annotations

import time
from urllib.parse import parse_qsl

from cloudspill_sandbox.engine.call_record import CallRecord, Recorder, log_call
from cloudspill_sandbox.engine.errors import ApiError
from cloudspill_sandbox.front.http import HttpRequest, HttpResponse, json_response
from cloudspill_sandbox.front.interface import Authenticator

_TOKEN_PLACES = frozenset(
    {
        ("oauth2.googleapis.com", "/token"),
        ("accounts.google.com", "/o/oauth2/token"),
        ("www.googleapis.com", "/oauth2/v3/token"),
        ("www.googleapis.com", "/oauth2/v4/token"),
    }
)
_KEY_SET = ("www.googleapis.com", "/oauth2/v3/certs")
_CERTIFICATES = ("www.googleapis.com", "/oauth2/v1/certs")
_NO_STORE = {"Cache-Control": "no-cache, no-store, max-age=0, must-revalidate"}


class OAuthEndpoint:
    """Exchanges signed assertions for tokens."""

    def __init__(self, authenticator: Authenticator, record: Recorder = log_call) -> None:
        self._authenticator = authenticator
        self._record = record

    def serves(self, request: HttpRequest) -> bool:
        """Whether the request is for this endpoint."""
        place = (request.host, request.path)
        return place in _TOKEN_PLACES or place in (_KEY_SET, _CERTIFICATES)

    def answer(self, request: HttpRequest) -> HttpResponse:
        """Answer a token request; refusals have the form of RFC 6749, section 5.2."""
        place = (request.host, request.path)
        if place == _KEY_SET:
            return json_response(self._authenticator.key_set())
        if place == _CERTIFICATES:
            return json_response(self._authenticator.certificates())
        started = time.perf_counter()
        refusal = ""
        try:
            response = json_response(self._exchange(request), headers=_NO_STORE)
        except ApiError as error:
            body = {"error": error.reason, "error_description": error.message}
            response = json_response(body, status=error.status, headers=_NO_STORE)
            refusal = f"{error.reason}: {error.logged}"
        taken = 1000 * (time.perf_counter() - started)
        what = ("oauth2.token", request.method, request.host, request.path, "-")
        self._record(CallRecord(time.time(), *what, response.status, taken, refusal))
        return response

    def _exchange(self, request: HttpRequest) -> dict[str, object]:
        if request.method != "POST":
            raise ApiError(405, "invalid_request", "Only POST is allowed at the token endpoint.")
        form = dict(parse_qsl(request.body.decode("latin-1")))
        return self._authenticator.exchange(form)
