# SPDX-License-Identifier: GPL-3.0-or-later
"""The metadata server, as the VM sees it.

https://cloud.google.com/compute/docs/metadata/querying-metadata
"""

from __future__ import annotations

import http.client
import json
import re

_ADDRESS = "169.254.169.254"
_HEADERS = {"Metadata-Flavor": "Google"}


class MetadataError(OSError):
    """The metadata server does not answer, or not so."""


class Metadata:
    """Blocking requests; each has a connection of its own.

    Args:
        host, port: where the server is.
    """

    def __init__(self, host: str = _ADDRESS, port: int = 80) -> None:
        self._host, self._port = host, port

    def get(self, path: str, timeout: float = 5.0) -> str:
        """Return a value below computeMetadata/v1.

        Raises:
            MetadataError: there is none.
        """
        return self._request("GET", path, None, timeout)[0]

    def token(self) -> str:
        """Return an access token of the VM's service account.

        Raises:
            MetadataError: it has none.
        """
        try:
            answer = json.loads(self.get("instance/service-accounts/default/token", 20.0))
            return str(answer["access_token"])
        except (ValueError, KeyError, TypeError) as error:
            raise MetadataError(f"no access token: {error}") from error

    def put_guest_attribute(self, name: str, value: str) -> None:
        """Set NAMESPACE/KEY (https://cloud.google.com/compute/docs/metadata/manage-guest-attributes).

        Raises:
            MetadataError: guest attributes are not enabled, for example.
        """
        self._request("PUT", f"instance/guest-attributes/{name}", value.encode(), 5.0)

    def wait_for_preemption(self) -> None:
        """Return when Google has given notice of preemption.

        https://cloud.google.com/compute/docs/instances/spot#detect-preemption

        Raises:
            MetadataError: the server cannot be asked now.
        """
        value, etag = self._request("GET", "instance/preempted", None, 5.0)
        while value.strip() != "TRUE":
            query = f"?wait_for_change=true&timeout_sec=300&last_etag={etag}"
            value, etag = self._request("GET", f"instance/preempted{query}", None, 330.0)

    def _request(
        self, method: str, path: str, body: bytes | None, timeout: float
    ) -> tuple[str, str]:
        connection = http.client.HTTPConnection(self._host, self._port, timeout=timeout)
        try:
            connection.request(method, f"/computeMetadata/v1/{path}", body, _HEADERS)
            answer = connection.getresponse()
            content = answer.read().decode(errors="replace")
        except (OSError, http.client.HTTPException) as error:
            raise MetadataError(f"the metadata server does not answer: {error!r}") from error
        finally:
            connection.close()
        if answer.status != 200:
            said = " ".join(re.sub(r"<style.*?</style>|<[^>]*>", " ", content, flags=re.S).split())
            raise MetadataError(f"{method} {path}: HTTP {answer.status}: {said[:200]}")
        return content, answer.getheader("ETag") or ""
