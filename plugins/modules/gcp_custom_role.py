#!/usr/bin/python
# SPDX-License-Identifier: GPL-3.0-or-later
# GNU General Public License v3.0+ (see https://www.gnu.org/licenses/gpl-3.0.txt)
"""A custom role of a project that carries a run's mark."""

from __future__ import annotations

DOCUMENTATION = r"""
module: gcp_custom_role
short_description: Make a custom role of a project, or delete one
description:
  - Makes a role of exactly the given permissions, or brings an existing one to them. Its
    description carries the mark of a run (C(cloudspill-run=RUN cloudspill-owner=OWNER)).
  - A deleted role keeps its id for 37 days, and 7 of them it can come back; where the role is a
    deleted one it comes back, which M(google.cloud.gcp_iam_role) cannot do.
  - A role of that id without the mark is left alone, and the module fails.
options:
  role:
    description: Its id, 3 to 64 letters, digits, underscores and full stops.
    type: str
    required: true
    aliases: [name]
  title:
    description: What people see.
    type: str
    default: ""
  permissions:
    description: The permissions that it holds, such as V(compute.instances.create).
    type: list
    elements: str
    default: []
  run:
    description: The run that the role belongs to.
    type: str
    required: true
  owner:
    description: The owner of that run.
    type: str
    required: true
  state:
    description: Whether the role shall exist.
    type: str
    choices: [present, absent]
    default: present
extends_documentation_fragment:
  - cloudspill.gcp.gcp
attributes:
  check_mode:
    description: Tells whether it would be made, changed or deleted.
    support: full
  diff_mode:
    description: Shows title and permissions.
    support: full
author:
  - The cloudspill authors (!UNKNOWN)
"""

EXAMPLES = r"""
- name: Have a role that starts and stops machines
  cloudspill.gcp.gcp_custom_role:
    role: machineSwitch
    title: Starts and stops machines
    permissions: [compute.instances.start, compute.instances.stop]
    run: default
    owner: ada
"""

RETURN = r"""
role:
  description: Its full name, as bindings name it.
  returned: success
  type: str
  sample: projects/acme-lab/roles/machineSwitch
"""

from typing import TYPE_CHECKING, Any

from ansible.module_utils.basic import AnsibleModule

from ..module_utils.api_errors import CloudError
from ..module_utils.arguments import connection_arguments
from ..module_utils.ownership import Mark
from ..module_utils.project_client import project_client

if TYPE_CHECKING:
    from ..module_utils.project_client import Document, ProjectClient


class Role:
    """One custom role of a project, as it is called."""

    def __init__(self, client: ProjectClient, role: str) -> None:
        self._client = client
        self._id = role
        self.name = f"projects/{client.project}/roles/{role}"
        self._about = f"the role {role}"

    def find(self) -> Document | None:
        """Its document, None where there is none; a deleted one says so."""
        return self._client.find("iam", self.name, about=self._about, needs="iam.roles.get")

    def create(self, content: Document) -> None:
        """Make it."""
        self._client.call(
            "iam",
            "POST",
            f"projects/{self._client.project}/roles",
            body={"roleId": self._id, "role": content},
            about=self._about,
            needs="iam.roles.create",
        )

    def undelete(self) -> None:
        """Take its deletion back."""
        path, needs = f"{self.name}:undelete", "iam.roles.undelete"
        self._client.call("iam", "POST", path, body={}, about=self._about, needs=needs)

    def update(self, content: Document) -> None:
        """Change it; nothing else of it is touched."""
        self._client.call(
            "iam",
            "PATCH",
            self.name,
            params={"updateMask": ",".join(content)},
            body=content,
            about=self._about,
            needs="iam.roles.update",
        )

    def delete(self) -> None:
        """Delete it."""
        self._client.call("iam", "DELETE", self.name, about=self._about, needs="iam.roles.delete")


def check_mark(document: Document, mark: Mark) -> None:
    """Refuse a role that is not of the run.

    Raises:
        CloudError: it is not.
    """
    if not mark.is_described(document):
        raise CloudError(
            f"the role {document['name']} does not carry the mark of run {mark.run} of "
            f"{mark.owner}: it is left alone; choose another name"
        )


def shown(document: Document | None) -> Document | None:
    """What of a role is compared; None for one that is not there."""
    if document is None or document.get("deleted"):
        return None
    permissions = sorted(document.get("includedPermissions") or [])
    return {"title": document.get("title", ""), "includedPermissions": permissions}


def run(module: AnsibleModule, client: ProjectClient) -> dict[str, Any]:
    """Bring the role to its state, and return the module's result."""
    options = module.params
    role, mark = Role(client, options["role"]), Mark(options["run"], options["owner"])
    found = role.find()
    # One that is deleted for good is still shown, and nobody's.
    if found is not None and not (found.get("deleted") and options["state"] == "absent"):
        check_mark(found, mark)
    permissions = sorted(set(options["permissions"]))
    content = {"title": options["title"], "includedPermissions": permissions}
    before, after = shown(found), content if options["state"] == "present" else None
    if before != after and not module.check_mode:
        if after is None:
            role.delete()
        elif found is None:
            role.create({**content, "description": mark.words(), "stage": "GA"})
        else:
            if found.get("deleted"):
                role.undelete()
            role.update(content)
    difference = {"before": before or {}, "after": after or {}}
    return {"changed": before != after, "role": role.name, "diff": difference}


def main() -> None:
    """Run as a module."""
    module = AnsibleModule(
        argument_spec={
            **connection_arguments(),
            "role": {"type": "str", "required": True, "aliases": ["name"]},
            "title": {"type": "str", "default": ""},
            "permissions": {"type": "list", "elements": "str", "default": []},
            "run": {"type": "str", "required": True},
            "owner": {"type": "str", "required": True},
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
