# SPDX-License-Identifier: GPL-3.0-or-later
"""Finding the resource that a call's path names."""

from __future__ import annotations

import dataclasses
from typing import Protocol

from cloudspill_sandbox.engine.call import Call, Document
from cloudspill_sandbox.engine.errors import not_found
from cloudspill_sandbox.engine.store import Store, Transaction

_PLACES = frozenset({"project", "zone", "region"})
"""Path parameters that say where a resource is; what is left names it."""


class Locate(Protocol):
    """One of `zonal`, `regional` and `worldwide` below."""

    def __call__(self, call: Call, kind: str, parameter: str | None = None) -> str:
        """Return a relative name."""


def zonal(call: Call, kind: str, parameter: str | None = None) -> str:
    """Return the relative name `projects/p/zones/z/<kind>/<path[parameter]>`.

    Without a parameter: the collection.
    """
    return _join(
        f"projects/{call.path['project']}/zones/{call.path['zone']}/{kind}", call, parameter
    )


def regional(call: Call, kind: str, parameter: str | None = None) -> str:
    """As `zonal`, of a region."""
    project, region = call.path["project"], call.path["region"]
    return _join(f"projects/{project}/regions/{region}/{kind}", call, parameter)


def worldwide(call: Call, kind: str, parameter: str | None = None) -> str:
    """As `zonal`, of the global scope."""
    return _join(f"projects/{call.path['project']}/global/{kind}", call, parameter)


def found(documents: Store | Transaction, name: str) -> Document:
    """Return the document of this name.

    Raises:
        ApiError: 404.
    """
    document = documents.get(name)
    if document is None:
        raise not_found(name)
    return document


def key_of(call: Call) -> str | None:
    """Return the path parameter that names the resource which a method is called on, if any."""
    return next((parameter for parameter in call.path if parameter not in _PLACES), None)


def collection_of(project: str, call: Call) -> str:
    """Return the collection that a method is of: `projects/p/zones/z/instances`.

    Args:
        project: relative name of the one that the call names.
    """
    kind = call.method.split(".")[-2]
    if kind.endswith("Operations"):
        kind = "operations"
    for scope in ("zone", "region"):
        if scope in call.path:
            return f"{project}/{scope}s/{call.path[scope]}/{kind}"
    return f"{project}/global/{kind}"


def by_name(store: Store, project: str, call: Call) -> Call:
    """Return a call with the project's id and the resource's name where it has their numbers.

    Each is as good as the other: in Google's discovery document the pattern of such a parameter
    ends with `|[1-9][0-9]{0,19}`.

    Args:
        project: relative name of the one that the call names.
    """
    path = dict(call.path) | {"project": project.rpartition("/")[2]}
    key = key_of(call)
    if key is not None and path[key].isdecimal():
        for name, document in store.children(collection_of(project, call)).items():
            if document.get("id") == path[key]:
                path[key] = name
    return dataclasses.replace(call, path=path)


def _join(collection: str, call: Call, parameter: str | None) -> str:
    return f"{collection}/{call.path[parameter]}" if parameter else collection
