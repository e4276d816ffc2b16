#!/usr/bin/python
# SPDX-License-Identifier: GPL-3.0-or-later
# GNU General Public License v3.0+ (see https://www.gnu.org/licenses/gpl-3.0.txt)
"""What an instance says of itself."""

from __future__ import annotations

DOCUMENTATION = r"""
module: gce_guest_attribute
short_description: Wait until an instance publishes a guest attribute
description:
  - A program in an instance can publish guest attributes through its metadata server, and whoever
    may read the instance can read them. It is a way to hear of an instance without a login.
  - The instance needs the metadata C(enable-guest-attributes=TRUE).
options:
  instance:
    description: The name of the instance.
    type: str
    required: true
    aliases: [name]
  zone:
    description: The zone of the instance.
    type: str
    required: true
  key:
    description: Namespace and key, such as C(hostkeys/ssh-ed25519).
    type: str
    required: true
  pattern:
    description: A regular expression that the whole value shall match.
    type: str
    default: .*
  timeout:
    description: Seconds to wait.
    type: int
    default: 60
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
- name: Wait until a program in the instance says that it is ready
  cloudspill.gcp.gce_guest_attribute:
    instance: flask-1
    zone: us-west1-b
    key: example/state
    pattern: ready
"""

RETURN = r"""
value:
  description: The value of the attribute.
  returned: success
  type: str
  sample: ready
"""

import re
import time
from typing import TYPE_CHECKING, Any

from ansible.module_utils.basic import AnsibleModule

from ..module_utils.api_errors import CloudError, DeadlineError
from ..module_utils.arguments import compute_client, connection_arguments

if TYPE_CHECKING:
    from ..module_utils.compute import Compute

_INTERVAL = 0.25
_ADVICE = (
    ": set the instance's metadata enable-guest-attributes to TRUE, unless a policy of the "
    "organization forbids guest attributes"
)


def run(module: AnsibleModule, compute: Compute) -> dict[str, Any]:
    """Wait for the attribute, and return the module's result.

    Raises:
        CloudError: the instance is not there, or did not publish the value in time.
    """
    options = module.params
    instance = f"zones/{options['zone']}/instances/{options['instance']}"
    until = time.monotonic() + options["timeout"]
    compute.get(instance, fields="id")  # an instance that is missing is no attribute that is
    while True:
        value = published(compute, instance, options["key"])
        if value is not None and re.fullmatch(options["pattern"], value, re.DOTALL):
            return {"changed": False, "value": value}
        if time.monotonic() >= until:
            said = "nothing" if value is None else repr(value)
            advice = "" if value is not None else _ADVICE
            raise DeadlineError(
                f"the guest attribute {options['key']} of {options['instance']} is {said} after "
                f"{options['timeout']} s, not {options['pattern']!r}{advice}"
            )
        time.sleep(_INTERVAL)


def published(compute: Compute, instance: str, key: str) -> str | None:
    """Read one guest attribute; None where it is not published.

    https://cloud.google.com/compute/docs/metadata/manage-guest-attributes
    """
    found = compute.find(f"{instance}/getGuestAttributes", queryPath=key)
    items = ((found or {}).get("queryValue") or {}).get("items") or []
    return str(items[0]["value"]) if items else None


def main() -> None:
    """Run as a module."""
    module = AnsibleModule(
        argument_spec={
            **connection_arguments(),
            "instance": {"type": "str", "required": True, "aliases": ["name"]},
            "zone": {"type": "str", "required": True},
            "key": {"type": "str", "required": True, "no_log": False},
            "pattern": {"type": "str", "default": ".*"},
            "timeout": {"type": "int", "default": 60},
        },
        supports_check_mode=True,
    )
    try:
        result = run(module, compute_client(module))
    except CloudError as error:
        module.fail_json(msg=error.sentence)
    module.exit_json(**result)


if __name__ == "__main__":
    main()
