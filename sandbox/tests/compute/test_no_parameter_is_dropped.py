# SPDX-License-Identifier: GPL-3.0-or-later
"""No query parameter is passed over in silence: it acts, has nothing to act on, or is refused.

Google's discovery document says which there are; one that comes with a new version of it is in
none of these tables.
"""

from __future__ import annotations

import pytest

from cloudspill_sandbox.compute.service import compute_service

from .conftest import Client

ACTING = {
    *("filter", "includeAllScopes", "maxResults", "orderBy", "pageToken", "requestId"),
    *("accessConfig", "autoDelete", "deletionProtection", "deviceName", "networkInterface"),
    *("forceCreate", "minimalAction", "mostDisruptiveAllowedAction", "noGracefulShutdown"),
    *("port", "queryPath", "returnPartialSuccess", "start", "variableKey"),
    *("sourceImage", "sourceInstanceTemplate"),
}
IDLE = {
    "discardLocalSsd": "there are no local SSDs",
    "drainTimeoutSeconds": "there are no subnetworks for proxies",
    "guestFlush": "nothing here could do it (docs/fidelity.md)",
    "withExtendedNotifications": "of a kind of instances that the sandbox does not have",
}
REFUSED: dict[str, tuple[str, bool | int | str]] = {
    "forceAttach": ("instances.attachDisk", True),
    "serviceProjectNumber": ("instances.aggregatedList", 7),
    "sourceMachineImage": ("instances.insert", "global/machineImages/m"),
    "views": ("subnetworks.list", "WITH_UTILIZATION"),
}


def test_every_parameter_is_known(api: Client) -> None:
    methods = (api.api.methods[name] for name in compute_service(api.cloud))
    assert {name for method in methods for name in method.query_parameters} == (
        ACTING | IDLE.keys() | REFUSED.keys()
    )


@pytest.mark.parametrize("parameter", REFUSED)
async def test_what_the_sandbox_does_not_have_is_refused(api: Client, parameter: str) -> None:
    method, value = REFUSED[parameter]
    described = api.api.methods[f"compute.{method}"]
    path = {"instance": "vm"} if "instance" in described.path_parameters else {}
    body = {"description": "what there is of it"} if method.endswith(".insert") else None
    refusal = await api.refused(method, body, **path, **{parameter: value})
    assert refusal.status == 400
    assert f"'query.{parameter}'" in refusal.message
    assert "Not supported by this sandbox" in refusal.message
