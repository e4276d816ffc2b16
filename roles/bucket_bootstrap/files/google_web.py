# SPDX-License-Identifier: GPL-3.0-or-later
"""Requests to Google from an instance that has Python 3.8 or later, and who is asking.

The caller is the service account that the instance has attached (by the metadata server), or the
one whose JSON key is at hand; signing with a key needs openssl.
"""

from __future__ import annotations

import base64
import json
import os
import subprocess
import time
import urllib.error
import urllib.parse
import urllib.request
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

    Document = dict[str, Any]

SCOPE = "https://www.googleapis.com/auth/compute"
ASSERTION_GRANT = "urn:ietf:params:oauth:grant-type:jwt-bearer"
ASSERTION_LIFETIME = 600  # seconds; Google takes up to an hour
REQUEST_TIMEOUT = 150.0  # operations.wait answers after two minutes at the latest
LONGEST_PAUSE = 16.0


class LaunchError(Exception):
    """Why there is no instance: one sentence, and the exit status that goes with it."""

    def __init__(self, sentence: str, status: int) -> None:
        super().__init__(sentence)
        self.status = status


class ApiError(LaunchError):
    """Google refused a request, with an HTTP status of 400 or more."""

    def __init__(self, about: str, code: int, said: bytes) -> None:
        message, self.reason = _message(said)
        status = os.EX_UNAVAILABLE
        if code in (401, 403):
            status = os.EX_NOPERM
            message += "; check the roles and the access scopes of the service account"
        super().__init__(f"{about}: HTTP {code}: {message}", status)
        self.code = code

    @property
    def may_pass(self) -> bool:
        """Whether another try may succeed: https://cloud.google.com/apis/design/errors#error_retries."""
        return self.code in (408, 429, 500, 502, 503, 504) or self.reason == "rateLimitExceeded"


def _message(said: bytes) -> tuple[str, str]:
    """Google's message and reason out of a refusal; a proxy's page is shortened."""
    try:
        document = json.loads(said)
    except ValueError:
        return " ".join(said.decode(errors="replace").split())[:200] or "no reason given", ""
    error = document.get("error") if isinstance(document, dict) else None
    if not isinstance(error, dict):  # as the token endpoint words it
        told = document.get("error_description") if isinstance(document, dict) else ""
        return str(told or error or document), ""
    first = (error.get("errors") or [{}])[0]
    return str(error.get("message", "")).rstrip("."), str(first.get("reason", ""))


class Web:
    """Requests that are repeated where that may help, until a deadline."""

    def __init__(
        self,
        deadline: float,
        *,
        now: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        """Start the clock: `deadline` is in seconds from now."""
        self._now, self._sleep = now, sleep
        self._until = now() + deadline

    def pause(self, seconds: float, otherwise: LaunchError) -> None:
        """Wait so long, or raise `otherwise` where the deadline comes first."""
        if self._now() + seconds > self._until:
            raise otherwise
        self._sleep(seconds)

    def call(self, request: urllib.request.Request, about: str, direct: bool = False) -> Document:
        """Send a request and return its answer's JSON.

        Every request may be repeated: those that make something carry a `requestId`.

        Args:
            request: what to send.
            about: what it is about, for an error's sentence.
            direct: past any proxy, as the metadata server wants it.

        Raises:
            LaunchError: it was refused, or there was no answer before the deadline.
        """
        handlers = [urllib.request.ProxyHandler({})] if direct else []
        opener = urllib.request.build_opener(*handlers)
        pause = 0.5
        failure: LaunchError
        while True:
            try:
                with opener.open(request, timeout=REQUEST_TIMEOUT) as answer:
                    document: Document = json.loads(answer.read() or b"{}")
                    return document
            except urllib.error.HTTPError as error:
                refusal = ApiError(about, error.code, error.read())
                error.close()
                if not refusal.may_pass:
                    raise refusal from error
                failure = refusal
            except (OSError, ValueError) as error:
                cause = getattr(error, "reason", None) or error
                failure = LaunchError(f"{about}: no answer: {cause}", os.EX_UNAVAILABLE)
            self.pause(pause, failure)
            pause = min(pause * 2, LONGEST_PAUSE)


def attached_token(web: Web) -> str:
    """The access token of the instance's own service account.

    https://cloud.google.com/compute/docs/access/authenticate-workloads
    """
    host = os.environ.get("GCE_METADATA_HOST", "metadata.google.internal")
    url = f"http://{host}/computeMetadata/v1/instance/service-accounts/default/token"
    request = urllib.request.Request(url, headers={"Metadata-Flavor": "Google"})
    try:
        return str(web.call(request, "the metadata server", direct=True)["access_token"])
    except ApiError as error:
        if error.code != 404:
            raise
        sentence = "this instance has no service account: attach one, or use a key file"
        raise LaunchError(sentence, os.EX_NOPERM) from error


def read_key(path: str) -> Document:
    """A service account's JSON key.

    Raises:
        LaunchError: it is malformed; the sentence never quotes it.
    """
    key = read_json(path)
    missing = [name for name in ("client_email", "private_key", "token_uri") if not key.get(name)]
    if missing:
        sentence = f"{path} is no service-account key: {', '.join(missing)} missing"
        raise LaunchError(sentence, os.EX_DATAERR)
    return key


def key_token(web: Web, key: Document, issued_at: int) -> str:
    """The access token of a key's service account.

    https://developers.google.com/identity/protocols/oauth2/service-account#httprest
    """
    claims = {
        "iss": key["client_email"],
        "scope": SCOPE,
        "aud": key["token_uri"],
        "iat": issued_at,
        "exp": issued_at + ASSERTION_LIFETIME,
    }
    header = {"alg": "RS256", "typ": "JWT", "kid": key.get("private_key_id")}
    signed = b".".join(_base64url(json.dumps(part).encode()) for part in (header, claims))
    assertion = signed + b"." + _base64url(sign(str(key["private_key"]), signed))
    form = {"grant_type": ASSERTION_GRANT, "assertion": assertion.decode()}
    body = urllib.parse.urlencode(form).encode()
    request = urllib.request.Request(str(key["token_uri"]), data=body)
    return str(web.call(request, f"a token for {key['client_email']}")["access_token"])


def sign(private_key: str, data: bytes) -> bytes:
    """Sign with RSA and SHA-256, by openssl; the key goes to it in memory."""
    with os.fdopen(os.memfd_create("key"), "wb") as file:
        file.write(private_key.encode())
        file.flush()
        command = ["openssl", "dgst", "-sha256", "-sign", f"/dev/fd/{file.fileno()}"]
        try:
            done = subprocess.run(
                command, input=data, capture_output=True, pass_fds=[file.fileno()], check=False
            )
        except FileNotFoundError as error:
            raise LaunchError("openssl is not installed", os.EX_UNAVAILABLE) from error
    if done.returncode:
        raise LaunchError("openssl cannot read the key's private key", os.EX_DATAERR)
    return done.stdout


def _base64url(data: bytes) -> bytes:
    return base64.urlsafe_b64encode(data).rstrip(b"=")


def read_json(path: str) -> Document:
    """The JSON object that a file holds.

    Raises:
        LaunchError: the file cannot be read, or holds none.
    """
    try:
        with open(path, encoding="utf-8") as file:  # noqa: PTH123 - argparse gives strings
            document = json.load(file)
    except (OSError, ValueError) as error:
        told = error.strerror if isinstance(error, OSError) else "it is no JSON"
        raise LaunchError(f"cannot read {path}: {told}", os.EX_DATAERR) from error
    if not isinstance(document, dict):
        raise LaunchError(f"{path} holds no JSON object", os.EX_DATAERR)
    return document
