# SPDX-License-Identifier: GPL-3.0-or-later
"""Minimum CPU platforms: kept and shown, though no machine here has one.

https://cloud.google.com/compute/docs/instances/specify-min-cpu-platform. The form alone of a
platform's name is looked at, because new ones come, and what is known not to fit a machine series.
"""

from __future__ import annotations

import re

from cloudspill_sandbox.compute import documents, names, refusals
from cloudspill_sandbox.compute.catalogue.machine_types import machine_type
from cloudspill_sandbox.engine.call import Document
from cloudspill_sandbox.engine.errors import ApiError

_KEY = "minCpuPlatform"
_NAME = re.compile(r"automatic|(?:amd|ampere|arm|google|intel|nvidia) \w[\w ]*", re.IGNORECASE)
_OLDER = frozenset({"sandybridge", "ivybridge", "haswell", "broadwell", "skylake"})
_SINCE_CASCADE_LAKE = frozenset({"c2", "n2"})
"""Series of which a refusal is known: https://github.com/clusterinthecloud/ansible/issues/66,
https://github.com/cloudfoundry/bosh-google-cpi-release/issues/322."""


def asked(field: str, body: Document, size: str) -> Document:
    """Return `minCpuPlatform` of a request if it has any.

    Args:
        field: name of the property in the request, for the refusal.
        size: link of the instance's machine type.

    Raises:
        ApiError: 400, there is no such platform, or not for this machine type.
    """
    found = documents.given(body, _KEY)
    if not (name := found.get(_KEY)):
        return found
    if not _NAME.fullmatch(name):
        refusal = refusals.invalid_value(field, name, "Invalid CPU platform.")
        refusal.logged = f"Invalid value for field '{field}'. Invalid CPU platform."
        raise refusal
    platform = name.lower().removeprefix("intel ").replace(" ", "")
    known = machine_type(names.last(size))
    if known and known.series in _SINCE_CASCADE_LAKE and platform in _OLDER:
        raise ApiError(
            400,
            "badRequest",
            f"The selected machine type ({known.name}) has a required CPU platform of "
            f"cascadelake. The minimum CPU platform must match this, but was {platform}.",
        )
    return found
