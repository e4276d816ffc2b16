#!/usr/bin/python
# SPDX-License-Identifier: GPL-3.0-or-later
# GNU General Public License v3.0+ (see https://www.gnu.org/licenses/gpl-3.0.txt)
"""The APIs that a project uses."""

from __future__ import annotations

DOCUMENTATION = r"""
module: gcp_services
short_description: Enable APIs in a project, several at once
description:
  - Enables those of the given services that are not enabled yet, in one request, and waits until
    Google says that they are. Services that are not given are left alone; none is ever disabled.
  - It may take a minute until an API that was enabled for the first time answers everywhere.
options:
  names:
    description: The services, such as V(compute.googleapis.com); at most 20.
    type: list
    elements: str
    required: true
  timeout:
    description: Seconds that the operation may take.
    type: int
    default: 300
extends_documentation_fragment:
  - cloudspill.gcp.gcp
attributes:
  check_mode:
    description: Tells which would be enabled.
    support: full
  diff_mode:
    description: Shows which were and are enabled.
    support: full
seealso:
  - module: google.cloud.gcp_serviceusage_service
author:
  - The cloudspill authors (!UNKNOWN)
"""

EXAMPLES = r"""
- name: Have machines and buckets
  cloudspill.gcp.gcp_services:
    names: [compute.googleapis.com, storage.googleapis.com]
"""

RETURN = r"""
enabled:
  description: What was enabled, or would be in check mode; sorted.
  returned: success
  type: list
  elements: str
  sample: [storage.googleapis.com]
"""

import time
from typing import TYPE_CHECKING, Any

from ansible.module_utils.basic import AnsibleModule

from ..module_utils.api_errors import CloudError, DeadlineError
from ..module_utils.arguments import connection_arguments
from ..module_utils.project_client import project_client

if TYPE_CHECKING:
    from ..module_utils.project_client import ProjectClient

_MOST = 20  # of one batchEnable: https://cloud.google.com/service-usage/docs/reference/rest/v1/services/batchEnable


def disabled_of(client: ProjectClient, names: list[str]) -> list[str]:
    """Those of the services that are not enabled, sorted."""
    parent = f"projects/{client.project}"
    answer = client.call(
        "serviceusage",
        "GET",
        f"{parent}/services:batchGet",
        params={"names": [f"{parent}/services/{name}" for name in names]},
        about=f"the services of the project {client.project}",
        needs="serviceusage.services.get",
    )
    enabled = {
        service["name"].rsplit("/", 1)[-1]
        for service in answer.get("services") or []
        if service.get("state") == "ENABLED"
    }
    return sorted(set(names) - enabled)


def enable(client: ProjectClient, names: list[str], timeout: float) -> None:
    """Enable services and wait until they are.

    Raises:
        DeadlineError: not in time.
        CloudError: it was refused.
    """
    about = f"enabling {', '.join(names)}"
    operation = client.call(
        "serviceusage",
        "POST",
        f"projects/{client.project}/services:batchEnable",
        body={"serviceIds": names},
        about=about,
        needs="serviceusage.services.enable",
    )
    until, pause = time.monotonic() + timeout, 0.25
    while not operation.get("done"):
        left = until - time.monotonic()
        if left <= 0:
            raise DeadlineError(f"{about}: not done in {timeout} s; it may still be: run again")
        time.sleep(min(pause, left))
        pause = min(pause * 2, 5.0)
        operation = client.call(
            "serviceusage",
            "GET",
            operation["name"],
            about=about,
            needs="serviceusage.operations.get",
        )
    if error := operation.get("error"):
        raise CloudError(f"{about}: {str(error.get('message', error)).rstrip('.')}")


def run(module: AnsibleModule, client: ProjectClient) -> dict[str, Any]:
    """Have the services enabled, and return the module's result."""
    names = sorted(set(module.params["names"]))
    if not 0 < len(names) <= _MOST:
        raise CloudError(f"names has {len(names)} services: give 1 to {_MOST}")
    missing = disabled_of(client, names)
    if missing and not module.check_mode:
        enable(client, missing, module.params["timeout"])
    before = sorted(set(names) - set(missing))
    difference = {"before": {"enabled": before}, "after": {"enabled": names}}
    return {"changed": bool(missing), "enabled": missing, "diff": difference}


def main() -> None:
    """Run as a module."""
    module = AnsibleModule(
        argument_spec={
            **connection_arguments(),
            "names": {"type": "list", "elements": "str", "required": True},
            "timeout": {"type": "int", "default": 300},
        },
        supports_check_mode=True,
    )
    try:
        result = run(module, project_client(module))
    except CloudError as error:
        module.fail_json(msg=error.sentence)
    module.exit_json(**result)


if __name__ == "__main__":
    main()
