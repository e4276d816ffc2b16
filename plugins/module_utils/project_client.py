# SPDX-License-Identifier: GPL-3.0-or-later
# GNU General Public License v3.0+ (see https://www.gnu.org/licenses/gpl-3.0.txt)
"""What a project is made of besides machines: services, accounts, roles and policies.

References: https://cloud.google.com/service-usage/docs/reference/rest/v1,
https://cloud.google.com/iam/docs/reference/rest/v1 and
https://cloud.google.com/resource-manager/reference/rest/v1/projects.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

from ansible.module_utils.basic import AnsibleModule

from .api_errors import CloudError, NotFoundError, PermissionDeniedError
from .projects import require_project

if TYPE_CHECKING:
    from .transport import Transport

Document = dict[str, Any]

ENDPOINTS: Mapping[str, str] = MappingProxyType(
    {
        "cloudresourcemanager": "https://cloudresourcemanager.googleapis.com/v1/",
        "iam": "https://iam.googleapis.com/v1/",
        "serviceusage": "https://serviceusage.googleapis.com/v1/",
    }
)


class ProjectClient:
    """One project's services, service accounts, roles and policies."""

    def __init__(
        self, transport: Transport, project: str, *, endpoints: Mapping[str, str] = ENDPOINTS
    ) -> None:
        """Bind a transport to a project.

        Args:
            transport: sends the requests.
            project: project id.
            endpoints: base URLs, ending in a slash, by API.
        """
        self._transport = transport
        self._endpoints = endpoints
        self.project = project

    def call(
        self,
        api: str,
        method: str,
        path: str,
        *,
        about: str,
        needs: str,
        body: Document | None = None,
        params: Document | None = None,
    ) -> Document:
        """Send a request and return its answer.

        Args:
            api: one of `ENDPOINTS`.
            method: HTTP method.
            path: below the endpoint, `projects/P/serviceAccounts`.
            about: what the request is about; opens an error's sentence.
            needs: the permission that it takes. Google does not always name it in its refusal.

        Raises:
            CloudError: it was refused; `NotFoundError` where it is absent.
        """
        try:
            return self._transport.request(
                method, self._endpoints[api] + path, body=body, params=params, resource=about
            )
        except PermissionDeniedError as error:
            if error.permission:
                raise
            raise CloudError(
                f"{about}: {error.message.rstrip('.')}; this takes {needs} in the project "
                f"{self.project}: grant a role that holds it"
            ) from error

    def find(self, api: str, path: str, *, about: str, needs: str) -> Document | None:
        """Read something that may be absent: None then.

        Raises:
            CloudError: any other refusal.
        """
        try:
            return self.call(api, "GET", path, about=about, needs=needs)
        except NotFoundError:
            return None

    def account_email(self, account: str) -> str:
        """The address of a service account of this project that is given by address or by id."""
        return account if "@" in account else f"{account}@{self.project}.iam.gserviceaccount.com"

    def account_path(self, account: str) -> str:
        """The relative name of a service account that is given by address or by id."""
        return f"projects/{self.project}/serviceAccounts/{self.account_email(account)}"


def project_client(module: AnsibleModule, *, repeats: bool = True) -> ProjectClient:
    """Make the client that a module's options describe; ends the module where it cannot.

    Args:
        repeats: whether a request without an answer is sent again. Not for what makes another
            thing each time.

    Raises:
        CloudError: the project is none, or the credentials are missing or malformed.
    """
    from .credentials import load_credentials
    from .transport import Transport

    require_project(module.params["project"])
    once: dict[str, Any] = {} if repeats else {"delays": lambda: iter(())}
    transport = Transport(load_credentials(module.params), **once)
    return ProjectClient(transport, module.params["project"])
