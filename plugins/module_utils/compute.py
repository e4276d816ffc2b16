# SPDX-License-Identifier: GPL-3.0-or-later
# GNU General Public License v3.0+ (see https://www.gnu.org/licenses/gpl-3.0.txt)
"""Compute Engine v1 as the collection's modules use it: documents in, documents out.

Reference: https://cloud.google.com/compute/docs/reference/rest/v1.
"""

from __future__ import annotations

import re
import time
import uuid
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from .api_errors import (
    ApiError,
    CloudError,
    DeadlineError,
    NotFoundError,
    OperationError,
    UnreachableError,
)
from .links import inside_project, resource_path
from .transport import Transport

ENDPOINT = "https://compute.googleapis.com/compute/v1/"
PROJECTS_ENDPOINT = "https://cloudresourcemanager.googleapis.com/v1/projects/"
_PAGE_SIZE = 500
_LONGEST_WAIT = 120.0  # seconds after which operations.wait answers, done or not
_NOWHERE = re.compile(r"Unknown (zone|region)")

Document = dict[str, Any]


class Compute:
    """One project's Compute Engine."""

    def __init__(
        self,
        transport: Transport,
        project: str,
        *,
        endpoint: str = ENDPOINT,
        projects_endpoint: str = PROJECTS_ENDPOINT,
        now: Callable[[], float] = time.monotonic,
    ) -> None:
        """Bind a transport to a project.

        Args:
            transport: sends the requests.
            project: project id.
            endpoint, projects_endpoint: base URLs, ending in a slash, of Compute Engine and of
                Cloud Resource Manager's projects.
            now: monotonic seconds, against which deadlines are held.
        """
        self._transport = transport
        self.project = project
        self._endpoint = endpoint
        self._projects_endpoint = projects_endpoint
        self._now = now

    @property
    def server_time(self) -> float | None:
        """The service's clock at its last answer, in seconds since the epoch; None before one."""
        return self._transport.server_time

    def get(self, reference: str, **params: Any) -> Document:
        """Read a resource.

        Raises:
            NotFoundError: it does not exist.
            CloudError: any other refusal.
        """
        path = resource_path(reference, self.project)
        return self._transport.request(
            "GET", self._endpoint + path, params=params or None, resource=self._about(path)
        )

    def find(self, reference: str, **params: Any) -> Document | None:
        """Read a resource that may be absent: None then.

        Raises:
            CloudError: the project itself is absent, or any other refusal.
        """
        try:
            return self.get(reference, **params)
        except ApiError as error:
            if self._is_about_project(error):
                raise self._no_project() from error
            # Inside a zone or region that does not exist nothing does; Google answers 400 then.
            if isinstance(error, NotFoundError) or _NOWHERE.search(error.message):
                return None
            raise

    def list_items(self, collection: str, **params: Any) -> Iterator[Document]:
        """Read every page of a collection."""
        for page in self._pages(collection, params):
            yield from page.get("items") or []

    def list_by_scope(self, kind: str, **params: Any) -> dict[str, list[Document]]:
        """Read a kind, such as `instances`, in all scopes: `zones/us-west1-b` → documents."""
        found: dict[str, list[Document]] = {}
        for page in self._pages(f"aggregated/{kind}", params):
            for scope, content in (page.get("items") or {}).items():
                found.setdefault(scope, []).extend(content.get(kind) or [])
        return found

    def list_aggregated(self, kind: str, **params: Any) -> Iterator[Document]:
        """Read a kind in all scopes, without telling which."""
        for documents in self.list_by_scope(kind, **params).values():
            yield from documents

    def change(
        self,
        method: str,
        reference: str,
        *,
        body: Document | None = None,
        deadline: float,
        request_id: bool = True,
    ) -> Document:
        """Send a request that answers with an operation, and wait until that is done.

        Args:
            method: HTTP method.
            reference: the resource, with `/VERB` for a custom method such as `/setTags`.
            deadline: seconds that the whole may take.
            request_id: see `begin`.

        Returns:
            the finished operation.

        Raises:
            OperationError: it failed after it had been accepted.
            DeadlineError: it was not done in time; it may still complete.
            CloudError: it was refused.
        """
        return self.begin(method, reference, body=body, request_id=request_id).finish(deadline)

    def begin(
        self,
        method: str,
        reference: str,
        *,
        body: Document | None = None,
        request_id: bool = True,
    ) -> PendingChange:
        """Send a request that answers with an operation, and leave the waiting for later.

        Args:
            method, reference, body: see `change`.
            request_id: send a `requestId`, so that a repeated request never acts twice. Some
                methods do not take one; those that change under a fingerprint do not need it.

        Raises:
            CloudError: it was refused.
        """
        path = resource_path(reference, self.project)
        operation = self._transport.request(
            method,
            self._endpoint + path,
            params={"requestId": str(uuid.uuid4())} if request_id else None,
            body=body,
            resource=self._about(path),
        )
        return PendingChange(self, operation, self._about(path))

    def await_operation(self, operation: Document, about: str, deadline: float) -> Document:
        """Wait until an operation is done; see `change` for what it returns and raises."""
        until = self._now() + deadline
        while operation.get("status") != "DONE":
            left = until - self._now()
            if left <= 0:
                raise DeadlineError(
                    f"{about}: not done in time (operation {operation.get('name')} is "
                    f"{operation.get('status')}); it may still complete: run again"
                )
            path = resource_path(operation["selfLink"], self.project)
            try:
                operation = self._transport.request(
                    "POST",
                    f"{self._endpoint}{path}/wait",
                    resource=about,
                    timeout=min(max(left, 1.0), _LONGEST_WAIT + 5.0),
                    repeats_silence=False,
                )
            except UnreachableError:
                # The service holds its answer for longer than there is to wait.
                if self._now() < until:
                    raise
        errors = (operation.get("error") or {}).get("errors")
        if errors:
            first = errors[0]
            code = str(first.get("code", ""))
            said = "; ".join(str(e.get("message") or e.get("code")).rstrip(".") for e in errors)
            raise OperationError(code, f"{about}: {said} ({code})")
        return operation

    def missing_permissions(self, wanted: Sequence[str]) -> Sequence[str] | None:
        """Tell which permissions the caller lacks in the project.

        Asks https://cloud.google.com/resource-manager/reference/rest/v1/projects/testIamPermissions.

        Returns:
            the permissions that are missing, in order; None where the project cannot be asked.
        """
        try:
            answer = self._transport.request(
                "POST",
                f"{self._projects_endpoint}{self.project}:testIamPermissions",
                body={"permissions": [*wanted]},
                resource=f"project {self.project}",
            )
        except ApiError:
            # That API may be disabled where Compute Engine is not: the real request will tell.
            return None
        granted = answer.get("permissions") or []
        return [permission for permission in wanted if permission not in granted]

    def _pages(self, collection: str, params: Document) -> Iterator[Document]:
        path = resource_path(collection, self.project)
        query = {"maxResults": _PAGE_SIZE, **params}
        while True:
            try:
                page = self._transport.request(
                    "GET", self._endpoint + path, params=query, resource=self._about(path)
                )
            except ApiError as error:
                if self._is_about_project(error):
                    raise self._no_project() from error
                raise
            yield page
            token = page.get("nextPageToken")
            if not token:
                return
            query = {**query, "pageToken": token}

    def _about(self, path: str) -> str:
        """Name a resource in a sentence as people do: without the project where it is ours."""
        if path.startswith(f"projects/{self.project}/"):
            return inside_project(path, self.project)
        return path

    def _is_about_project(self, error: ApiError) -> bool:
        named = f"projects/{self.project}' was not found"
        return named in error.message or "Failed to find project" in error.message

    def _no_project(self) -> CloudError:
        return CloudError(
            f"there is no project {self.project}, or these credentials cannot see it: "
            "set gcp_project, or GCP_PROJECT in the environment, to a project of theirs"
        )


@dataclass(frozen=True, slots=True)
class PendingChange:
    """An operation that was accepted and is not yet waited for.

    Attributes:
        compute: the client that sent it.
        operation: Google's operation document.
        about: what it changes, for an error's sentence.
    """

    compute: Compute
    operation: Document
    about: str

    def is_done(self) -> bool:
        """Look once, without waiting.

        Raises:
            OperationError: it failed.
            CloudError: it cannot be read.
        """
        operation = self.operation
        if operation.get("status") != "DONE":
            operation = self.compute.get(operation["selfLink"])
        if operation.get("status") != "DONE":
            return False
        self.compute.await_operation(operation, self.about, 0)
        return True

    def finish(self, deadline: float) -> Document:
        """Wait at most `deadline` seconds; see `Compute.change` for what it returns and raises."""
        return self.compute.await_operation(self.operation, self.about, deadline)
