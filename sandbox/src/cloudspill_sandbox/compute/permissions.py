# SPDX-License-Identifier: GPL-3.0-or-later
"""Which permission each method of Compute Engine requires, and on what.

Almost always it is named after resource and method; here is what is not. What a request refers to
besides is in `references`. https://cloud.google.com/compute/docs/access/iam-permissions, and each
method's own page below https://cloud.google.com/compute/docs/reference/rest/v1.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from cloudspill_sandbox.compute import references, refusals
from cloudspill_sandbox.compute.catalogue.public_images import PUBLIC_PROJECTS
from cloudspill_sandbox.compute.lookup import by_name, collection_of, key_of
from cloudspill_sandbox.compute.references import Asking
from cloudspill_sandbox.engine.access import AccessRules, Requirement
from cloudspill_sandbox.engine.call import Call
from cloudspill_sandbox.engine.errors import not_found

if TYPE_CHECKING:
    from cloudspill_sandbox.compute.cloud import Cloud

_VERBS: Mapping[str, str] = {"insert": "create", "aggregatedList": "list", "patch": "update"}
_OTHERWISE: Mapping[str, str] = {
    "compute.instances.bulkInsert": "compute.instances.create",
    "compute.regionInstances.bulkInsert": "compute.instances.create",
    "compute.globalOperations.wait": "compute.globalOperations.get",
    "compute.imageFamilyViews.get": "compute.images.getFromFamily",
    "compute.regionOperations.wait": "compute.regionOperations.get",
    "compute.zoneOperations.wait": "compute.zoneOperations.get",
}


def compute_access(cloud: Cloud) -> AccessRules:
    """Return what Compute Engine asks of its callers."""

    def requirements(call: Call) -> Sequence[Requirement]:
        asking = _asking(cloud, call)
        target = _target(asking.project, asking.call)
        needed = permissions_of(call.method)
        if _is_of_internal_address(asking, target):
            needed = tuple(f"{each}Internal" for each in needed)
        required = [asking.on(each, target) for each in needed]
        return [*required, *references.of(asking)]

    return AccessRules(requirements, refusals.forbidden)


def permissions_of(method: str) -> tuple[str, ...]:
    """Return the permissions on the resource that a method is called on; a patch reads it, too."""
    if method in _OTHERWISE:
        return (_OTHERWISE[method],)
    resource, _, verb = method.rpartition(".")
    own = f"{resource}.{_VERBS.get(verb, verb)}"
    return (own, f"{resource}.get") if verb == "patch" else (own,)


def _is_of_internal_address(asking: Asking, target: str) -> bool:
    """Whether an internal address is reserved or released, for which there are permissions apart:
    https://cloud.google.com/compute/docs/ip-addresses/configure-static-internal-ip-address."""
    if asking.call.method == "compute.addresses.insert":
        return asking.call.body.get("addressType") == "INTERNAL"
    if asking.call.method == "compute.addresses.delete":
        return (asking.cloud.store.get(target) or {}).get("addressType") == "INTERNAL"
    return False


def _asking(cloud: Cloud, call: Call) -> Asking:
    """Return a call with the project that it names, by id or number.

    Raises:
        ApiError: 404 when there is none.
    """
    project = call.path["project"]
    own = cloud.of(project)
    if own is None and project not in PUBLIC_PROJECTS:
        raise not_found(f"projects/{project}")
    name = own.project if own else f"projects/{project}"
    return Asking(own or cloud, name, by_name(cloud.store, name, call))


def _target(project: str, call: Call) -> str:
    """Return the relative name of what a method is called on.

    Lists and creations in bulk are asked for on the project, creations on what is made:
    https://cloud.google.com/iam/docs/conditions-resource-attributes#resource-name.
    """
    verb = call.method.rpartition(".")[2]
    if verb == "insert":
        return f"{collection_of(project, call)}/{call.body.get('name') or ''}"
    if key := key_of(call):
        return f"{collection_of(project, call)}/{call.path[key]}"
    place = collection_of(project, call).rpartition("/")[0].removesuffix("/global")
    return project if verb in ("list", "aggregatedList", "bulkInsert") else place
