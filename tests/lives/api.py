# SPDX-License-Identifier: GPL-3.0-or-later
"""Google's APIs for one thread of the load, on kept-alive connections."""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Iterator
from typing import Any

import google.auth.jwt
import requests

from cloudspill_sandbox.settings import Settings

Json = dict[str, Any]

ZONE, REGION = "us-west1-b", "us-west1"
BUCKET = "lives"
_COMPUTE, _STORAGE = "https://compute.googleapis.com/", "https://storage.googleapis.com/"
_TIMEOUT = 150.0


class Api:
    """Calls by path below the project, `zones/us-west1-b/instances`; a context manager."""

    def __init__(self, settings: Settings) -> None:
        self._project = settings.project
        self._credentials = {
            audience: google.auth.jwt.Credentials.from_service_account_file(
                str(settings.credentials), audience=audience
            )
            for audience in (_COMPUTE, _STORAGE)
        }
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
        path = f"compute/v1/projects/{self._project}/{path}"
        return self._send(_COMPUTE, method, path, json=body, params=query)

    def make_bucket(self) -> None:
        """Make the bucket of the objects unless it is there."""
        made = self._send(
            _STORAGE, "POST", f"storage/v1/b?project={self._project}", json={"name": BUCKET}
        )
        if made.status_code != requests.codes.conflict:
            made.raise_for_status()

    def upload(self, name: str, content: bytes) -> requests.Response:
        """Write an object, whole."""
        path = f"upload/storage/v1/b/{BUCKET}/o?uploadType=media&name={name}"
        return self._send(_STORAGE, "POST", path, data=content)

    def remove(self, name: str) -> requests.Response:
        """Delete an object."""
        return self._send(_STORAGE, "DELETE", f"storage/v1/b/{BUCKET}/o/{name}")

    def objects(self) -> Iterator[tuple[str, Json]]:
        """Yield the name of each object and what its bytes, read anew, are.

        Raises:
            AssertionError: they are not what the object's document says.
        """
        listed = self._send(_STORAGE, "GET", f"storage/v1/b/{BUCKET}/o")
        listed.raise_for_status()
        for item in listed.json().get("items", []):
            path = f"storage/v1/b/{BUCKET}/o/{item['name']}?alt=media"
            now = facts_of(self._send(_STORAGE, "GET", path).content)
            assert now == {"md5Hash": item["md5Hash"], "size": item["size"]}, item["name"]
            yield item["name"], now

    def _send(self, audience: str, method: str, path: str, **more: Any) -> requests.Response:
        headers: dict[str, str] = {}
        self._credentials[audience].before_request(None, method, audience, headers)
        return self._session.request(
            method, audience + path, headers=headers, timeout=_TIMEOUT, **more
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
        """Yield all resources of a kind (`instances` …), however many pages they take."""
        everywhere = kind in {"snapshots", "images", "firewalls"}
        path = f"global/{kind}" if everywhere else f"aggregated/{kind}"
        token = ""
        while True:
            answer = self.call("GET", path, pageToken=token)
            answer.raise_for_status()
            page: Json = answer.json()
            for part in [page] if everywhere else page["items"].values():
                yield from part.get("items") or part.get(kind) or []
            token = page.get("nextPageToken", "")
            if not token:
                return


def facts_of(content: bytes) -> Json:
    """Return what an object's document says of these bytes."""
    digest = hashlib.md5(content, usedforsecurity=False).digest()
    return {"md5Hash": base64.b64encode(digest).decode(), "size": str(len(content))}
