# SPDX-License-Identifier: GPL-3.0-or-later
# GNU General Public License v3.0+ (see https://www.gnu.org/licenses/gpl-3.0.txt)
"""Requests to Google's APIs over one kept-alive session, repeated where repeating is safe."""

from __future__ import annotations

import random
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from email.utils import parsedate_to_datetime
from typing import Any
from urllib.parse import urlsplit

from .api_errors import (
    CredentialsError,
    MissingLibraryError,
    RateLimitError,
    UnreachableError,
    error_from_response,
)

_missing: ImportError | None = None
try:
    import requests
    from google.auth.exceptions import GoogleAuthError, RefreshError, TransportError
    from google.auth.transport.requests import AuthorizedSession
    from requests.adapters import HTTPAdapter
except ImportError as error:
    _missing = error  # said once a session is wanted, in a sentence

REPEATED_STATUSES = frozenset({429, 502, 503, 504})
"""Answers that ask for another try: https://cloud.google.com/apis/design/errors#error_retries.

So does Compute Engine's 403 rateLimitExceeded: https://cloud.google.com/compute/api-quota."""

_CONNECTIONS = 100
_CONNECT_TIMEOUT = 10.0
_READ_TIMEOUT = 150.0  # operations.wait answers after two minutes at the latest


def back_off(first: float = 0.25, factor: float = 2.0, attempts: int = 5) -> Iterator[float]:
    """Yield the seconds to wait before each further attempt, spread so that clients part ways."""
    for attempt in range(attempts - 1):
        yield first * factor**attempt * random.uniform(0.8, 1.2)


@dataclass(frozen=True, slots=True)
class Content:
    """A request's body that is not JSON.

    Attributes:
        data: the bytes.
        type: their media type.
    """

    data: bytes
    type: str


class Transport:
    """One authorised HTTP session.

    Every request may be repeated: reads by nature, writes because callers send a `requestId` or a
    fingerprint (https://cloud.google.com/compute/docs/api/how-tos/api-requests-responses).
    """

    def __init__(
        self,
        credentials: Any,
        *,
        delays: Callable[[], Iterator[float]] = back_off,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        """Open nothing yet; the first request connects.

        Args:
            credentials: google-auth credentials.
            delays: makes the pauses between attempts, in seconds.
            sleep: waits that long.

        Raises:
            MissingLibraryError: google-auth or requests is not installed.
        """
        if _missing is not None:
            raise MissingLibraryError(_missing)
        # A token is renewed when it expires; one that is turned down before that will stay so.
        self._session = AuthorizedSession(credentials, refresh_status_codes=())
        # Connections that threads have opened are kept for those that follow.
        self._session.mount("https://", HTTPAdapter(pool_maxsize=_CONNECTIONS))
        self._delays = delays
        self._sleep = sleep
        self._date = ""

    @property
    def server_time(self) -> float | None:
        """The service's clock at its last answer, in seconds since the epoch; None before one."""
        try:
            return parsedate_to_datetime(self._date).timestamp()
        except ValueError:
            return None

    def request(
        self,
        method: str,
        url: str,
        *,
        params: dict[str, Any] | None = None,
        body: dict[str, Any] | None = None,
        content: Content | None = None,
        resource: str | None = None,
        timeout: float = _READ_TIMEOUT,
        repeats_silence: bool = True,
    ) -> dict[str, Any]:
        """Send a request and return the decoded JSON object of its answer.

        Args:
            body: what is sent as JSON.
            content: what is sent as it is, instead of `body`.
            resource: what the request is about, for an error's sentence; else method and path.
            timeout: seconds to wait for an answer once connected.
            repeats_silence: whether it is sent again where no answer came within `timeout`.

        Raises:
            ApiError: the answer was a refusal; a subclass says which.
            CredentialsError: the credentials were turned down.
            UnreachableError: there was no answer.
        """
        about = resource or f"{method} {urlsplit(url).path}"
        delays = self._delays()
        while True:
            pause = next(delays, None)
            try:
                answer = self._session.request(
                    method,
                    url,
                    params=params,
                    json=body,
                    data=content.data if content else None,
                    headers={"Content-Type": content.type} if content else None,
                    timeout=(_CONNECT_TIMEOUT, timeout),
                )
            except RefreshError as error:
                raise _turned_down(error) from error
            except (requests.exceptions.RequestException, TransportError) as error:
                silent = isinstance(error, requests.exceptions.ReadTimeout)
                if pause is None or not _may_pass(error) or (silent and not repeats_silence):
                    raise unreachable(url, error) from error
            except GoogleAuthError as error:
                raise CredentialsError(f"the credentials are not usable: {error}") from error
            else:
                self._date = answer.headers.get("Date", "")
                if answer.status_code < 400:
                    return dict(answer.json()) if answer.content else {}
                refusal = error_from_response(answer.status_code, _decoded(answer), about)
                passes = isinstance(refusal, RateLimitError) or refusal.status in REPEATED_STATUSES
                if pause is None or not passes:
                    raise refusal
                pause = _retry_after(answer, pause)
            self._sleep(pause)

    def close(self) -> None:
        """Drop the connection."""
        self._session.close()


def unreachable(url: str, error: BaseException) -> UnreachableError:
    """Say in one sentence why there was no answer, without the stack of causes."""
    endpoint = urlsplit(url).netloc
    text = f"{error} {error.__cause__ or ''} {error.__context__ or ''}"
    if "CERTIFICATE_VERIFY_FAILED" in text:
        reason = "its certificate is not trusted (REQUESTS_CA_BUNDLE)"
    elif "NameResolution" in text or "Name or service not known" in text:
        reason = "its name does not resolve"
    elif "Connection refused" in text:
        reason = "the connection is refused"
    elif isinstance(error, requests.exceptions.Timeout) or "timed out" in text.lower():
        reason = "no answer in time"
    elif "ProxyError" in text or "Tunnel connection failed" in text:
        reason = "the proxy does not let it through"
    else:
        reason = type(error).__name__
    if isinstance(error, requests.exceptions.ProxyError) and "refused" in reason:
        reason = "the proxy named by HTTPS_PROXY does not answer"
    return UnreachableError(f"cannot reach {endpoint}: {reason}")


def _may_pass(error: BaseException) -> bool:
    """Whether another attempt can help: not where the certificate is not trusted."""
    return "CERTIFICATE_VERIFY_FAILED" not in str(error)


def _turned_down(error: RefreshError) -> CredentialsError:
    reason = str(error.args[0] if error.args else error).rstrip(".")
    return CredentialsError(
        f"Google does not accept these credentials: {reason}; "
        "make a new key, or check the clock of this machine"
    )


def _decoded(answer: requests.Response) -> object:
    try:
        return answer.json()
    except ValueError:
        return answer.text


def _retry_after(answer: requests.Response, pause: float) -> float:
    """Honour `Retry-After` in seconds, within reason."""
    try:
        return max(pause, min(float(answer.headers.get("Retry-After", 0)), 60.0))
    except ValueError:
        return pause
