#!/usr/bin/python
# SPDX-License-Identifier: GPL-3.0-or-later
# GNU General Public License v3.0+ (see https://www.gnu.org/licenses/gpl-3.0.txt)
"""One binding of a project's, or a service account's, allow policy."""

from __future__ import annotations

DOCUMENTATION = r"""
module: gcp_project_iam
short_description: Grant a role in a project, or take it away
description:
  - Adds one binding (a member, a role and maybe a condition) to the allow policy of a project, or
    removes it, and leaves every other binding as it is, conditions included.
  - The policy is written under the etag under which it was read. When somebody else changed it in
    between it is read again, so that no change is lost.
options:
  member:
    description:
      - Who, such as V(serviceAccount:machine-admin@acme-lab.iam.gserviceaccount.com) or
        V(user:ada@example.com).
    type: str
    required: true
  role:
    description:
      - The role, such as V(roles/compute.admin), or V(projects/acme-lab/roles/myRole) for a custom
        one.
    type: str
    required: true
  condition:
    description:
      - Holds only if this condition does.
      - The same role with another condition, or with none, is another binding.
    type: dict
    suboptions:
      title:
        description: Its title.
        type: str
        required: true
      expression:
        description: The expression, in the Common Expression Language.
        type: str
        required: true
      description:
        description: What it is for.
        type: str
  service_account:
    description:
      - Change the policy of this service account of the project (its address or the part before the
        at sign) instead of the project's. Says who may act as that account.
    type: str
  state:
    description: Whether the binding shall exist.
    type: str
    choices: [present, absent]
    default: present
extends_documentation_fragment:
  - cloudspill.gcp.gcp
attributes:
  check_mode:
    description: Tells whether the policy would change.
    support: full
  diff_mode:
    description: Shows the binding.
    support: full
seealso:
  - name: Allow policies
    description: Etags, versions and conditions.
    link: https://cloud.google.com/iam/docs/allow-policies
author:
  - The cloudspill authors (!UNKNOWN)
"""

EXAMPLES = r"""
- name: Let an account manage machines
  cloudspill.gcp.gcp_project_iam:
    member: serviceAccount:machine-admin@acme-lab.iam.gserviceaccount.com
    role: roles/compute.admin

- name: Let a machine delete machines of its own kind alone
  cloudspill.gcp.gcp_project_iam:
    member: serviceAccount:cloudspill-burst@acme-lab.iam.gserviceaccount.com
    role: projects/acme-lab/roles/burstMachine
    condition:
      title: burst machines
      expression: resource.name.extract("/instances/{name}").startsWith("burst-")
"""

RETURN = r"""
binding:
  description: The binding that O(state) is about.
  returned: success
  type: dict
  sample:
    member: serviceAccount:machine-admin@acme-lab.iam.gserviceaccount.com
    role: roles/compute.admin
    resource: the project acme-lab
"""

import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from ansible.module_utils.basic import AnsibleModule

from ..module_utils.api_errors import CloudError, NotFoundError
from ..module_utils.arguments import connection_arguments
from ..module_utils.iam_policy import POLICY_VERSION, Binding, Policy, revise_policy
from ..module_utils.project_client import project_client

if TYPE_CHECKING:
    from ..module_utils.project_client import ProjectClient


@dataclass(frozen=True, slots=True)
class AllowPolicy:
    """The allow policy of one resource.

    Attributes:
        client: sends the requests.
        api: the API that has the resource.
        path: its relative name.
        owner: what people call it.
        permissions: the beginning of the permissions that reading and writing take.
        versioned: how the API is asked for version 3.
    """

    client: ProjectClient
    api: str
    path: str
    owner: str
    permissions: str
    versioned: dict[str, Any]

    def read(self) -> Policy:
        """Return the policy as it is."""
        return self._call("getIamPolicy", self.versioned)

    def write(self, policy: Policy) -> Policy:
        """Set the policy, under the etag in it."""
        return self._call("setIamPolicy", {"body": {"policy": policy}})

    def _call(self, verb: str, sent: dict[str, Any]) -> Policy:
        return self.client.call(
            self.api,
            "POST",
            f"{self.path}:{verb}",
            about=f"the policy of {self.owner}",
            needs=f"{self.permissions}.{verb}",
            **sent,
        )


def policy_of(client: ProjectClient, account: str | None) -> AllowPolicy:
    """The policy of a service account of the project, or of the project itself."""
    if account:
        return AllowPolicy(
            client,
            "iam",
            client.account_path(account),
            f"the service account {client.account_email(account)}",
            "iam.serviceAccounts",
            {"params": {"options.requestedPolicyVersion": POLICY_VERSION}},
        )
    return AllowPolicy(
        client,
        "cloudresourcemanager",
        f"projects/{client.project}",
        f"the project {client.project}",
        "resourcemanager.projects",
        {"body": {"options": {"requestedPolicyVersion": POLICY_VERSION}}},
    )


def run(module: AnsibleModule, client: ProjectClient) -> dict[str, Any]:
    """Bring the binding to its state, and return the module's result."""
    options = module.params
    account = options["service_account"]
    policy = policy_of(client, account)
    binding = Binding(options["role"], options["member"], options["condition"])
    wanted = options["state"] == "present"
    try:
        changed = revise_policy(
            policy.read,
            policy.write,
            binding,
            wanted=wanted,
            pauses=lambda tried: time.sleep(0.1 * 2**tried),
            dry_run=module.check_mode,
        )
    except NotFoundError:
        # An account that is gone has no bindings; one that check mode did not make has none yet.
        if not account or (wanted and not module.check_mode):
            raise
        changed = wanted
    shown = {"member": binding.member, "role": binding.role, "resource": policy.owner}
    if binding.condition:
        shown["condition"] = binding.condition["expression"]
    nothing: dict[str, str] = {}
    before, after = (nothing, shown) if wanted else (shown, nothing)
    difference = {"before": before if changed else after, "after": after}
    return {"changed": changed, "binding": shown, "diff": difference}


def main() -> None:
    """Run as a module."""
    module = AnsibleModule(
        argument_spec={
            **connection_arguments(),
            "member": {"type": "str", "required": True},
            "role": {"type": "str", "required": True},
            "condition": {
                "type": "dict",
                "options": {
                    "title": {"type": "str", "required": True},
                    "expression": {"type": "str", "required": True},
                    "description": {"type": "str"},
                },
            },
            "service_account": {"type": "str"},
            "state": {"type": "str", "choices": ["present", "absent"], "default": "present"},
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
