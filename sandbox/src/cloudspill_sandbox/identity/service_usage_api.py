# SPDX-License-Identifier: GPL-3.0-or-later
"""Service Usage v1: which APIs a project has enabled.

https://cloud.google.com/service-usage/docs/reference/rest/v1/services
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

from cloudspill_sandbox.engine.access import AccessRules, Requirement
from cloudspill_sandbox.engine.call import Call, Document, Handler, Principal, Service
from cloudspill_sandbox.engine.errors import ApiError
from cloudspill_sandbox.identity import paging, refusals
from cloudspill_sandbox.identity.projects import ProjectNames, on_project
from cloudspill_sandbox.identity.service_usage import ServiceUsage

_DOMAIN = "serviceusage.googleapis.com"
_STATES = {"state:ENABLED": True, "state:DISABLED": False}
_AT_ONCE = {"batchEnable": 20, "batchGet": 30}
_PERMISSIONS = {"batchEnable": "enable", "batchGet": "get"}


class ServiceUsageMethods:
    """What callers do with services; who may is asked before."""

    def __init__(self, usage: ServiceUsage, projects: ProjectNames) -> None:
        self._usage = usage
        self._projects = projects

    def service(self) -> Service:
        """Return the implemented methods."""
        handlers: dict[str, Handler] = {
            "services.batchEnable": self._batch_enable,
            "services.batchGet": self._batch_get,
            "services.disable": self._disable,
            "services.enable": self._enable,
            "services.get": self._get,
            "services.list": self._list,
            "operations.get": self._get_operation,
        }
        return {f"serviceusage.{method}": each for method, each in handlers.items()}

    async def _enable(self, call: Call) -> Document:
        project, service = self._named(call.path["name"])
        changed = self._usage.enable(project, [service])
        response = {"service": self._usage.described(project, service)}
        return self._usage.done(project, "EnableService", response, changed=changed)

    async def _batch_enable(self, call: Call) -> Document:
        project = self._project(call.path["parent"])
        services = _at_most("batchEnable", call.body.get("serviceIds", []))
        changed = self._usage.enable(project, services)
        response = {"services": [self._usage.described(project, name) for name in services]}
        return self._usage.done(project, "BatchEnableServices", response, changed=changed)

    async def _disable(self, call: Call) -> Document:
        project, service = self._named(call.path["name"])
        changed = self._usage.disable(
            project,
            service,
            dependents=call.body.get("disableDependentServices", False),
            check_use=call.body.get("checkIfServiceHasUsage") == "CHECK",
        )
        response = {"service": self._usage.described(project, service)}
        return self._usage.done(project, "DisableService", response, changed=changed)

    async def _get(self, call: Call) -> Document:
        project, service = self._named(call.path["name"])
        self._usage.check_known([service])
        return self._usage.described(project, service)

    async def _batch_get(self, call: Call) -> Document:
        project = self._project(call.path["parent"])
        named = [self._named(name) for name in _at_most("batchGet", call.query.get("names", []))]
        strays = [name for other, name in named if other != project]
        if strays:
            raise refusals.refused(
                "INVALID_ARGUMENT",
                f"Services of another project than the parent's: {','.join(strays)}.",
            )
        services = [service for _, service in named]
        self._usage.check_known(services)
        return {"services": [self._usage.described(project, name) for name in services]}

    async def _list(self, call: Call) -> Document:
        project = self._project(call.path["parent"])
        wanted = call.query.get("filter", "")
        if wanted and wanted not in _STATES:
            raise refusals.refused(
                "INVALID_ARGUMENT",
                f"Invalid filter '{wanted}': it is state:ENABLED or state:DISABLED.",
            )
        services = {
            name: self._usage.described(project, name)
            for name in self._usage.catalogue.titles
            if not wanted or self._usage.is_enabled(project, name) == _STATES[wanted]
        }
        chosen, token = paging.page(services, call.query, default=50, maximum=200)
        return ({"services": chosen} if chosen else {}) | token

    async def _get_operation(self, call: Call) -> Document:
        kept = self._usage.operation(call.path["name"])
        if kept is None:
            raise refusals.refused("NOT_FOUND", "Requested entity was not found.")
        operation: Document = kept["operation"]
        return operation

    def _project(self, name: str) -> str:
        found = self._projects.find(name)
        if found is None:
            raise refusals.refused("NOT_FOUND", f"Unknown project {name}.")
        return found.removeprefix("projects/")

    def _named(self, name: str) -> tuple[str, str]:
        """Return project id and service out of `projects/P/services/S`."""
        parent, _, service = name.partition("/services/")
        return self._project(parent), service


class ServiceUsageRequirements:
    """Says what a call of Service Usage needs; an `engine.access.Requirements`.

    https://cloud.google.com/service-usage/docs/access-control
    """

    def __init__(self, usage: ServiceUsage, projects: ProjectNames) -> None:
        self._usage = usage
        self._projects = projects

    def __call__(self, call: Call) -> Sequence[Requirement]:
        """Return what a call needs."""
        method = call.method.removeprefix("serviceusage.")
        kind, _, verb = method.partition(".")
        permission = f"serviceusage.{kind}.{_PERMISSIONS.get(verb, verb)}"
        name = call.path.get("parent") or call.path["name"]
        parent, _, service = name.partition("/services/")
        if kind == "operations":
            kept = self._usage.operation(name)
            if kept is None:  # nobody's: the handler says that it is not there
                return ()
            parent = f"projects/{kept['project']}"
        consumer = on_project(permission, self._projects.find(parent) or parent)
        if not service:
            return (consumer,)
        return (dataclasses.replace(consumer, resource=f"{parent}/services/{service}"),)


def service_usage_access(usage: ServiceUsage, projects: ProjectNames) -> AccessRules:
    """Return what Service Usage asks of its callers."""
    return AccessRules(ServiceUsageRequirements(usage, projects), _denied)


def _denied(principal: Principal, missing: Sequence[Requirement]) -> ApiError:  # noqa: ARG001
    """403 in the words of Service Usage."""
    first = missing[0]
    verb = first.permission.rpartition(".")[2]
    consumer, _, service = first.resource.partition("/services/")
    on = f"service [{service}]" if service else f"services for consumer container [{consumer}]"
    return refusals.refused(
        "PERMISSION_DENIED",
        f"Permission denied to {verb} {on}",
        {
            "@type": "type.googleapis.com/google.rpc.PreconditionFailure",
            "violations": [{"type": "googleapis.com", "subject": "110002"}],
        },
        refusals.error_info("AUTH_PERMISSION_DENIED", _DOMAIN),
    )


def _at_most(verb: str, names: Sequence[str]) -> Sequence[str]:
    """Return what a call names, once each. Raises ApiError 400 for none or too many."""
    limit = _AT_ONCE[verb]
    if not 1 <= len(names) <= limit:
        raise refusals.refused(
            "INVALID_ARGUMENT", f"{verb} takes 1 to {limit} services, not {len(names)}."
        )
    return list(dict.fromkeys(names))
