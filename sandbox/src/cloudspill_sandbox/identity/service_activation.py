# SPDX-License-Identifier: GPL-3.0-or-later
"""Refuses calls of APIs that a project has not enabled.

https://cloud.google.com/service-usage/docs/enabled-service
"""

from __future__ import annotations

from cloudspill_sandbox.engine.call import Call
from cloudspill_sandbox.engine.errors import ApiError
from cloudspill_sandbox.engine.store import Store
from cloudspill_sandbox.identity import refusals
from cloudspill_sandbox.identity.authorizer import PolicyAuthorizer
from cloudspill_sandbox.identity.iam import Iam
from cloudspill_sandbox.identity.service_catalogue import DOMAIN
from cloudspill_sandbox.identity.service_usage import ServiceUsage

_SERVICES = {"storage": f"storage-api.{DOMAIN}"}
"""Services of APIs that are called otherwise."""

_EXEMPT = frozenset({"serviceusage"})
"""On Google Cloud the console enables Service Usage again; here nothing but itself could."""

_PROJECT_PARAMETERS = ("project", "projectId")
_NAME_PARAMETERS = ("name", "parent", "resource")


class ServiceActivation:
    """Asks of each call whether the project that it is about has enabled the API."""

    def __init__(self, store: Store, usage: ServiceUsage, iam: Iam) -> None:
        self._store = store
        self._usage = usage
        self._accounts = iam.accounts
        self._projects = iam.projects

    def check(self, call: Call) -> None:
        """Return when the API may be called.

        Raises:
            ApiError: 403 as Google words it.
        """
        api = call.method.partition(".")[0]
        project = self._consumer(call)
        if api in _EXEMPT or project is None:
            return
        service = _SERVICES.get(api, f"{api}.{DOMAIN}")
        if not self._usage.is_enabled(project, service):
            title = self._usage.catalogue.titles.get(service, service)
            raise _disabled(service, title, self._usage.project_number(project))
        self._usage.note_use(project, service)

    def _consumer(self, call: Call) -> str | None:
        """Return the project that a call is about, else the caller's; None when there is none.

        https://cloud.google.com/docs/quotas/quota-project
        """
        named = _named_project(call) or self._project_of_bucket(call)
        named = named or self._project_of_caller(call)
        found = self._projects.find(named) if named else None
        # Whether a project that is not there is a 403 or a 404 is not for this to say.
        return found.removeprefix("projects/") if found else None

    def _project_of_bucket(self, call: Call) -> str | None:
        bucket = call.path.get("bucket")
        document = self._store.get(f"buckets/{bucket}") if bucket else None
        return document["projectNumber"] if document else None

    def _project_of_caller(self, call: Call) -> str | None:
        account = self._accounts.find(call.principal.email)
        return account["projectId"] if account else None


class Admission:
    """Lets a call in whose API is enabled and whose caller may; a `front.interface.Authorizer`."""

    def __init__(self, activation: ServiceActivation, authorizer: PolicyAuthorizer) -> None:
        self._activation = activation
        self._authorizer = authorizer

    def authorize(self, call: Call) -> None:
        """Return when allowed.

        Raises:
            ApiError: 403 as Google words it; that an API is disabled is said first.
        """
        self._activation.check(call)
        self._authorizer.authorize(call)


def _named_project(call: Call) -> str | None:
    for parameter in _PROJECT_PARAMETERS:
        named = call.path.get(parameter) or call.query.get(parameter)
        if named:
            return str(named)
    for parameter in _NAME_PARAMETERS:
        parts = call.path.get(parameter, "").split("/")
        if parts[0] == "projects" and parts[1:2] not in ([], ["-"]):
            return parts[1]
    return None


def _disabled(service: str, title: str, number: str) -> ApiError:
    page = f"https://console.developers.google.com/apis/api/{service}/overview?project={number}"
    message = (
        f"{title} has not been used in project {number} before or it is disabled. Enable it by "
        f"visiting {page} then retry. If you enabled this API recently, wait a few minutes for "
        "the action to propagate to our systems and retry."
    )
    details = [
        refusals.error_info(
            "SERVICE_DISABLED",
            DOMAIN,
            activationUrl=page,
            consumer=f"projects/{number}",
            containerInfo=number,
            service=service,
            serviceTitle=title,
        ),
        {
            "@type": "type.googleapis.com/google.rpc.LocalizedMessage",
            "locale": "en-US",
            "message": message,
        },
        {
            "@type": "type.googleapis.com/google.rpc.Help",
            "links": [{"description": "Google developers console API activation", "url": page}],
        },
    ]
    return ApiError(
        403,
        "accessNotConfigured",
        message,
        code="PERMISSION_DENIED",
        details=details,
    )
