# SPDX-License-Identifier: GPL-3.0-or-later
"""Compute Engine's API for one thread of the load, on one kept-alive connection."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import google.auth.jwt
import requests

from cloudspill_sandbox.settings import Settings

Json = dict[str, Any]

ZONE, REGION = "us-west1-b", "us-west1"
_AUDIENCE = "https://compute.googleapis.com/"
_TIMEOUT = 150.0


class Api:
    """Calls by path below the project, `zones/us-west1-b/instances`; a context manager."""

    def __init__(self, settings: Settings) -> None:
        self._root = f"https://compute.googleapis.com/compute/v1/projects/{settings.project}"
        self._credentials = google.auth.jwt.Credentials.from_service_account_file(
            str(settings.credentials), audience=_AUDIENCE
        )
        self._session = requests.Session()
        self._session.trust_env = False
        self._session.verify = str(settings.client_ca)
        self._session.proxies = {"https": f"http://127.0.0.1:{settings.port}"}

    def __enter__(self) -> Api:
        """Return itself."""
        return self

    def __exit__(self, *_: object) -> None:
        """Close the connection."""
        self._session.close()

    def call(self, method: str, path: str, body: Any = None, **query: Any) -> requests.Response:
        """Return the answer, whatever its status.

        Raises:
            requests.RequestException: there was none; the call may have had its effect.
        """
        headers: dict[str, str] = {}
        self._credentials.before_request(None, method, _AUDIENCE, headers)
        return self._session.request(
            method,
            f"{self._root}/{path}",
            json=body,
            params=query,
            headers=headers,
            timeout=_TIMEOUT,
        )

    def get(self, path: str) -> Json | None:
        """Return a resource, None when there is none."""
        answer = self.call("GET", path)
        if answer.status_code == requests.codes.not_found:
            return None
        answer.raise_for_status()
        document: Json = answer.json()
        return document

    def every(self, kind: str) -> Iterator[Json]:
        """Yield all resources of a kind: `instances`, `snapshots` …"""
        if kind in {"snapshots", "images", "firewalls"}:
            pages = [self.get(f"global/{kind}") or {}]
        else:
            pages = list((self.get(f"aggregated/{kind}") or {})["items"].values())
        for page in pages:
            yield from page.get("items") or page.get(kind) or []
