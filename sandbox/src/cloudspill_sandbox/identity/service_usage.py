# SPDX-License-Identifier: GPL-3.0-or-later
"""Which services a project has enabled, as documents of the store.

`projects/P/services/NAME` holds the state of a service that was ever enabled or disabled, and when
that was; the others are as in a new project.
"""

from __future__ import annotations

import secrets
import uuid
from collections.abc import Callable, Collection

from cloudspill_sandbox.engine.call import Document
from cloudspill_sandbox.engine.errors import ApiError
from cloudspill_sandbox.engine.store import Store, Transaction
from cloudspill_sandbox.identity import refusals
from cloudspill_sandbox.identity.service_catalogue import ENABLED_AT_FIRST, ServiceCatalogue

DAYS_IN_USE = 30
DAYS_RECENT = 3
"""Of disabling with a check: https://cloud.google.com/service-usage/docs/enable-disable"""

NOTHING_TO_DO = "operations/noop.DONE_OPERATION"

_DOMAIN = "serviceusage.googleapis.com"
_TYPES = "type.googleapis.com/google.api.serviceusage.v1"
_KEPT = 500
_DAY = 86_400


class ServiceUsage:
    """The services of every project.

    Args:
        clock: seconds since the epoch.

    Attributes:
        catalogue: all services that there are.
    """

    def __init__(
        self,
        store: Store,
        catalogue: ServiceCatalogue,
        clock: Callable[[], float],
    ) -> None:
        self.catalogue = catalogue
        self._store = store
        self._clock = clock
        self._used: dict[tuple[str, str], float] = {}

    def project_number(self, project: str) -> str:
        """Return the number of a project that is there, as text."""
        return str((self._store.get(f"projects/{project}") or {}).get("id", project))

    def is_enabled(self, project: str, service: str) -> bool:
        """Whether a project (id) may use a service."""
        document = self._store.get(_name(project, service))
        if document is None:
            return service in ENABLED_AT_FIRST
        return bool(document["state"] == "ENABLED")

    def note_use(self, project: str, service: str) -> None:
        """Remember that a project used a service now; forgotten when the sandbox ends."""
        self._used[project, service] = self._clock()

    def check_known(self, services: Collection[str]) -> None:
        """Refuse services that there are none of.

        Raises:
            ApiError: 403, which is how Google says so.
        """
        unknown = [name for name in services if name not in self.catalogue.titles]
        if unknown:
            listed = ",".join(unknown)
            raise _refused(
                "PERMISSION_DENIED",
                f"Not found or permission denied for service(s): {listed}.",
                f"?error_code=220002&services={listed}",
                "SERVICE_CONFIG_NOT_FOUND_OR_PERMISSION_DENIED",
                services=listed,
            )

    def enable(self, project: str, services: Collection[str]) -> bool:
        """Enable services with all that they need; return whether anything changed.

        Raises:
            ApiError: 403, a service does not exist; then none is enabled.
        """
        self.check_known(services)
        wanted = frozenset[str]().union(*(self.catalogue.needs(name) for name in services))
        return self._set(project, wanted, "ENABLED")

    def disable(self, project: str, service: str, *, dependents: bool, check_use: bool) -> bool:
        """Disable a service; return whether anything changed.

        Args:
            dependents: disable those that need it, too, instead of refusing.
            check_use: refuse for one that was used or enabled of late.

        Raises:
            ApiError: 403, there is no such service; 400, something is in the way.
        """
        self.check_known([service])
        if not self.is_enabled(project, service):
            return False
        going = [
            name
            for name in sorted(self.catalogue.titles)
            if service in self.catalogue.needs(name) and self.is_enabled(project, name)
        ]
        others = [name for name in going if name != service]
        if others and not dependents:
            raise _has_dependents(service, others)
        if check_use and (used := [name for name in going if self._of_late(project, name)]):
            raise _in_use(service, used)
        return self._set(project, going, "DISABLED")

    def described(self, project: str, service: str) -> Document:
        """Return a service as a project sees it."""
        parent = f"projects/{self.project_number(project)}"
        return {
            "name": f"{parent}/services/{service}",
            "parent": parent,
            "state": "ENABLED" if self.is_enabled(project, service) else "DISABLED",
            "config": {
                "name": service,
                "title": self.catalogue.titles[service],
                "documentation": {},
                "quota": {},
                "authentication": {},
                "usage": {"requirements": [f"{_DOMAIN}/tos/cloud"]},
            },
        }

    def done(self, project: str, kind: str, response: Document, *, changed: bool) -> Document:
        """Return an operation that has ended, kept for those who ask again.

        Args:
            kind: `EnableService`, of which the response is an `EnableServiceResponse`.
            changed: whether it did anything; what did nothing is not kept, as at Google.
        """
        answer = {"@type": f"{_TYPES}.{kind}Response"} | response
        if not changed:
            return {"name": NOTHING_TO_DO, "done": True, "response": answer}
        number = self.project_number(project)
        unique = uuid.UUID(bytes=secrets.token_bytes(16), version=4)
        name = f"operations/acat.p2-{number}-{unique}"
        operation = {
            "name": name,
            "metadata": {"@type": f"{_TYPES}.OperationMetadata"},
            "done": True,
            "response": answer,
        }
        with self._store.transaction() as transaction:
            transaction.put(_kept(name), {"project": project, "operation": operation})
            self._forget_oldest(transaction)
        return operation

    def operation(self, name: str) -> Document | None:
        """Return an operation as `{"project", "operation"}`, None when there is none."""
        return self._store.get(_kept(name))

    def _set(self, project: str, services: Collection[str], state: str) -> bool:
        changing = [
            name for name in services if self.is_enabled(project, name) != (state == "ENABLED")
        ]
        with self._store.transaction() as transaction:
            for name in changing:
                document = {"state": state, "since": self._clock()}
                transaction.put(_name(project, name), document)
        return bool(changing)

    def _of_late(self, project: str, service: str) -> bool:
        """Whether a service was used or enabled so lately that a check forbids to disable it."""
        now = self._clock()
        used = self._used.get((project, service))
        enabled = (self._store.get(_name(project, service)) or {}).get("since")
        return (used is not None and used > now - DAYS_IN_USE * _DAY) or (
            enabled is not None and enabled > now - DAYS_RECENT * _DAY
        )

    def _forget_oldest(self, transaction: Transaction) -> None:
        kept = list(self._store.children("serviceOperations"))
        for key in kept[: max(0, len(kept) - _KEPT + 1)]:
            transaction.delete(f"serviceOperations/{key}")


def _name(project: str, service: str) -> str:
    return f"projects/{project}/services/{service}"


def _kept(operation: str) -> str:
    return f"serviceOperations/{operation.removeprefix('operations/')}"


def _refused(code: str, message: str, subject: str, reason: str, **metadata: str) -> ApiError:
    """Return a refusal of Service Usage, which says the same thing in three ways."""
    violation = {"type": "googleapis.com", "subject": subject}
    return refusals.refused(
        code,
        message,
        {
            "@type": "type.googleapis.com/google.rpc.PreconditionFailure",
            "violations": [violation],
        },
        refusals.error_info(reason, _DOMAIN, **metadata),
    )


def _has_dependents(service: str, others: Collection[str]) -> ApiError:
    listed = ",".join(others)
    return _refused(
        "FAILED_PRECONDITION",
        f"The service {service} is depended on by the following active service(s): {listed}; "
        "Please specify disable_dependent_services=true if you want to proceed with disabling all "
        "services.",
        f"?error_code=100001&service_name={service}&services={listed}",
        "COMMON_SU_SERVICE_HAS_DEPENDENT_SERVICES",
        service_name=service,
        services=listed,
    )


def _in_use(service: str, used: Collection[str]) -> ApiError:
    listed = ",".join(used)
    return _refused(
        "FAILED_PRECONDITION",
        f"The services {listed} have usage in the last {DAYS_IN_USE} days or were enabled in the "
        f"past {DAYS_RECENT} days. Please specify check_if_service_has_usage=SKIP if you want to "
        "proceed with disabling all services.",
        f"?error_code=100002&service_name={service}&services={listed}",
        "COMMON_SU_SERVICE_HAS_USAGE",
        service_name=service,
        services=listed,
    )
