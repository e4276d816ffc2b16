# SPDX-License-Identifier: GPL-3.0-or-later
"""What a client asked the metadata server for."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from urllib.parse import parse_qs, unquote, urlsplit

from cloudspill_sandbox.metadata.responses import Refusal, forbidden


@dataclass(frozen=True, slots=True)
class Query:
    """A request line and the address it came from; that address is the caller's identity.

    Attributes:
        address: source IP address.
        path: as sent, with its escapes.
        names: the path's parts, unescaped; empty parts (double slashes) count for nothing.
        parameters: the last value of each query parameter.
        raw_parameters: the query string as sent.
    """

    address: str
    path: str
    names: tuple[str, ...]
    parameters: Mapping[str, str]
    raw_parameters: str

    @property
    def names_directory(self) -> bool:
        """Whether the path ends in a slash."""
        return self.path.endswith("/")

    @property
    def recursive(self) -> bool:
        """Whether everything below is asked for."""
        return self._is_true("recursive")

    @property
    def wait_for_change(self) -> bool:
        """Whether the answer may wait until it differs from `last_etag`."""
        return self._is_true("wait_for_change")

    @property
    def last_etag(self) -> str | None:
        """The entity tag that the client has, None when it did not say."""
        return self.parameters.get("last_etag") or None

    @property
    def timeout(self) -> float | None:
        """Seconds after which a waiting client wants what there is; None for ever.

        Raises:
            Refusal: it is not a number of seconds.
        """
        given = self.parameters.get("timeout_sec", "")
        if given in ("", "0"):
            return None
        if not given.isdecimal() or len(given) > 9:
            raise Refusal(400, "timeout_sec must be a whole number of seconds.")
        return float(given)

    def wants_json(self, *, by_default: bool) -> bool:
        """Whether the answer is JSON.

        Raises:
            Refusal: `alt` is neither json nor text.
        """
        alt = self.parameters.get("alt", "json" if by_default else "text")
        if alt not in ("json", "text"):
            raise Refusal(400, "alt must be json or text.")
        return alt == "json"

    def _is_true(self, name: str) -> bool:
        return self.parameters.get(name, "").lower() == "true"


def parse(address: str, target: str) -> Query:
    """Read a request target (also in absolute form, as clients of a proxy send it)."""
    if target.startswith("http://"):
        parts = urlsplit(target)
        path, query = parts.path or "/", parts.query
    else:
        path, _, query = target.partition("?")
    names = tuple(unquote(part) for part in path.split("/") if part)
    parameters = {key: values[-1] for key, values in parse_qs(query, True).items()}
    return Query(address, path, names, parameters, query)


def check_headers(path: str, headers: Mapping[str, str]) -> None:
    """Refuse what a program on the instance would not send, so that no web page can.

    Raises:
        Refusal: 403; the request was forwarded, or lacks the header that only programs send.
    """
    if "X-Forwarded-For" in headers:
        raise forbidden(path, "Requests with an X-Forwarded-For header are not served.")
    if headers.get("Metadata-Flavor") != "Google":
        raise forbidden(path, "Missing Metadata-Flavor:Google header.")
