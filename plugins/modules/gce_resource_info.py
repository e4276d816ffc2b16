#!/usr/bin/python
# SPDX-License-Identifier: GPL-3.0-or-later
# GNU General Public License v3.0+ (see https://www.gnu.org/licenses/gpl-3.0.txt)
"""Documents of any Compute Engine resources."""

from __future__ import annotations

DOCUMENTATION = r"""
module: gce_resource_info
short_description: Read Compute Engine resources, several at once
description:
  - Reads any number of resources, of any kind, over one connection, and tells which are absent.
  - Optionally tells which permissions the credentials lack in the project, before anything is made.
  - A missing project, a disabled API, bad credentials and an endpoint that does not answer end the
    module with one sentence that says what to do.
options:
  resources:
    description:
      - The resources, as paths inside the project (V(global/networks/default),
        V(zones/us-west1-b/instances/flask-1)), paths from V(projects/), or selfLinks.
      - Whatever a GET answers can be read, such as V(zones/ZONE/instances/NAME/serialPort) or
        V(projects/ubuntu-os-cloud/global/images/family/ubuntu-2204-lts).
    type: list
    elements: str
    required: true
  permissions:
    description: The permissions to test in the project, such as V(compute.instances.create).
    type: list
    elements: str
    default: []
extends_documentation_fragment:
  - cloudspill.gcp.gcp
attributes:
  check_mode:
    description: Only reads, so it does the same.
    support: full
  diff_mode:
    description: Changes nothing.
    support: N/A
author:
  - The cloudspill authors (!UNKNOWN)
"""

EXAMPLES = r"""
- name: Read a network and an instance
  cloudspill.gcp.gce_resource_info:
    resources:
      - global/networks/default
      - zones/us-west1-b/instances/flask-1
    permissions:
      - compute.instances.create
  register: __found

- name: Refuse to go on without the network
  ansible.builtin.assert:
    that: __found.resources['global/networks/default'] is not none
    fail_msg: the network default is missing
"""

RETURN = r"""
resources:
  description: Each given reference with its document, or V(null) where it is absent.
  returned: success
  type: dict
  sample: {"global/networks/default": {"name": "default"}, "zones/us-west1-b/instances/x": null}
missing_permissions:
  description:
    - The tested permissions that the credentials lack.
    - V(null) where the project cannot be asked, because the Cloud Resource Manager API is disabled
      in it.
  returned: success
  type: list
  elements: str
  sample: []
"""

from typing import TYPE_CHECKING, Any

from ansible.module_utils.basic import AnsibleModule

from ..module_utils.api_errors import CloudError
from ..module_utils.arguments import compute_client, connection_arguments

if TYPE_CHECKING:
    from ..module_utils.compute import Compute


def run(module: AnsibleModule, compute: Compute) -> dict[str, Any]:
    """Read what the options name, and return the module's result."""
    resources = {reference: compute.find(reference) for reference in module.params["resources"]}
    wanted = module.params["permissions"]
    missing = compute.missing_permissions(wanted) if wanted else []
    return {"changed": False, "resources": resources, "missing_permissions": missing}


def main() -> None:
    """Run as a module."""
    module = AnsibleModule(
        argument_spec={
            **connection_arguments(),
            "resources": {"type": "list", "elements": "str", "required": True},
            "permissions": {"type": "list", "elements": "str", "default": []},
        },
        supports_check_mode=True,
    )
    try:
        result = run(module, compute_client(module))
    except (CloudError, ValueError) as error:
        module.fail_json(msg=str(error))
    module.exit_json(**result)


if __name__ == "__main__":
    main()
