# SPDX-License-Identifier: GPL-3.0-or-later
"""Finding the resource that a call's path names."""

from __future__ import annotations

from typing import Protocol

from cloudspill_sandbox.engine.call import Call, Document
from cloudspill_sandbox.engine.errors import not_found
from cloudspill_sandbox.engine.store import Store, Transaction


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


def _join(collection: str, call: Call, parameter: str | None) -> str:
    return f"{collection}/{call.path[parameter]}" if parameter else collection
