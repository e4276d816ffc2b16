# SPDX-License-Identifier: GPL-3.0-or-later
"""What the keeper asks of the cloud that it runs in. Every call blocks."""

from __future__ import annotations

import http.client
import ssl
from typing import Protocol

from .metadata import Metadata

LEASE_ATTRIBUTE = "cloudspill/lease"
_API = "compute.googleapis.com"
_TIMEOUT = 20.0


class DeletionError(OSError):
    """Google refused to delete this VM."""


class Cloud(Protocol):
    """The cloud as one of its VMs sees it. What fails raises OSError."""

    def publish_lease(self, value: str) -> None:
        """Show the lease to those outside, as a guest attribute."""

    def delete_self(self) -> None:
        """Ask for this VM to be deleted; it goes within seconds."""

    def wait_for_preemption(self) -> None:
        """Return when the cloud has said that it will take this VM away."""


class GoogleCloud:
    """Implements Cloud.

    Args:
        metadata: the metadata server; it also says who and where this VM is.
        api: host of the Compute Engine API.
    """

    def __init__(self, metadata: Metadata, api: str = _API) -> None:
        self._metadata, self._api = metadata, api

    def publish_lease(self, value: str) -> None:
        """Set the guest attribute."""
        self._metadata.put_guest_attribute(LEASE_ATTRIBUTE, value)

    def wait_for_preemption(self) -> None:
        """Wait at the metadata server."""
        self._metadata.wait_for_preemption()

    def delete_self(self) -> None:
        """Delete this instance, as its own service account.

        https://cloud.google.com/compute/docs/reference/rest/v1/instances/delete
        """
        project = self._metadata.get("project/project-id")
        zone = self._metadata.get("instance/zone").rpartition("/")[2]
        name = self._metadata.get("instance/name")
        path = f"/compute/v1/projects/{project}/zones/{zone}/instances/{name}"
        headers = {"Authorization": f"Bearer {self._metadata.token()}"}
        context = ssl.create_default_context()
        connection = http.client.HTTPSConnection(self._api, timeout=_TIMEOUT, context=context)
        try:
            connection.request("DELETE", path, headers=headers)
            answer = connection.getresponse()
            said = answer.read().decode(errors="replace")
        except http.client.HTTPException as error:
            raise DeletionError(f"the API does not answer: {error!r}") from error
        finally:
            connection.close()
        if answer.status >= 400:
            raise DeletionError(f"HTTP {answer.status}: {' '.join(said.split())[:300]}")
