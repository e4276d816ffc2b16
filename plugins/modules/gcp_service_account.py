#!/usr/bin/python
# SPDX-License-Identifier: GPL-3.0-or-later
# GNU General Public License v3.0+ (see https://www.gnu.org/licenses/gpl-3.0.txt)
"""A service account that carries a run's mark."""

from __future__ import annotations

DOCUMENTATION = r"""
module: gcp_service_account
short_description: Make a service account, or delete one
description:
  - Makes a service account whose description carries the mark of a run
    (C(cloudspill-run=RUN cloudspill-owner=OWNER)), since accounts cannot have labels.
  - An account of that name without the mark is left alone, and the module fails. So it does where
    the account is disabled.
  - Unlike M(google.cloud.gcp_iam_service_account) it has a check mode and knows whose it is.
options:
  account:
    description: The part of its address before the at sign, 6 to 30 characters.
    type: str
    required: true
    aliases: [name]
  display_name:
    description: What people see.
    type: str
    default: ""
  run:
    description: The run that the account belongs to.
    type: str
    required: true
  owner:
    description: The owner of that run.
    type: str
    required: true
  state:
    description: Whether the account shall exist. Its keys go with it; bindings do not.
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
    description: Shows its display name.
    support: full
author:
  - The cloudspill authors (!UNKNOWN)
"""

EXAMPLES = r"""
- name: Have an account for machines
  cloudspill.gcp.gcp_service_account:
    account: cloudspill
    display_name: Runs the playbooks
    run: default
    owner: ada
"""

RETURN = r"""
email:
  description: Its address.
  returned: success
  type: str
  sample: cloudspill@acme-lab.iam.gserviceaccount.com
existed:
  description: Whether there was such an account before.
  returned: success
  type: bool
  sample: false
"""

from typing import TYPE_CHECKING, Any

from ansible.module_utils.basic import AnsibleModule

from ..module_utils.api_errors import AlreadyExistsError, CloudError
from ..module_utils.arguments import connection_arguments
from ..module_utils.ownership import Mark
from ..module_utils.project_client import project_client

if TYPE_CHECKING:
    from ..module_utils.project_client import Document, ProjectClient


class Account:
    """One service account of a project, as it is called."""

    def __init__(self, client: ProjectClient, account: str) -> None:
        self._client = client
        self._id = account
        self._path = client.account_path(account)
        self.email = client.account_email(account)
        self._about = f"the service account {self.email}"

    def find(self) -> Document | None:
        """Its document, None where there is none."""
        needs = "iam.serviceAccounts.get"
        return self._client.find("iam", self._path, about=self._about, needs=needs)

    def create(self, display_name: str, mark: Mark) -> None:
        """Make it; one that the lost answer to an earlier request made is as good."""
        described = {"displayName": display_name, "description": mark.words()}
        try:
            self._client.call(
                "iam",
                "POST",
                f"projects/{self._client.project}/serviceAccounts",
                body={"accountId": self._id, "serviceAccount": described},
                about=self._about,
                needs="iam.serviceAccounts.create",
            )
        except AlreadyExistsError:
            if not mark.is_described(self.find() or {}):
                raise

    def rename(self, display_name: str) -> None:
        """Change what people see."""
        self._client.call(
            "iam",
            "PATCH",
            self._path,
            body={"serviceAccount": {"displayName": display_name}, "updateMask": "displayName"},
            about=self._about,
            needs="iam.serviceAccounts.update",
        )

    def delete(self) -> None:
        """Delete it."""
        needs = "iam.serviceAccounts.delete"
        self._client.call("iam", "DELETE", self._path, about=self._about, needs=needs)


def check(document: Document, mark: Mark, *, wanted: bool) -> None:
    """Refuse an account that is not of the run, or that somebody has disabled.

    Raises:
        CloudError: it is one of these.
    """
    email = document["email"]
    if not mark.is_described(document):
        raise CloudError(
            f"the service account {email} does not carry the mark of run {mark.run} of "
            f"{mark.owner}: it is left alone; choose another name"
        )
    if wanted and document.get("disabled"):
        raise CloudError(
            f"the service account {email} is disabled: enable it with "
            f"`gcloud iam service-accounts enable {email}`, or choose another name"
        )


def run(module: AnsibleModule, client: ProjectClient) -> dict[str, Any]:
    """Bring the account to its state, and return the module's result."""
    options = module.params
    account = Account(client, options["account"])
    mark = Mark(options["run"], options["owner"])
    wanted = options["state"] == "present"
    found = account.find()
    if found is not None:
        check(found, mark, wanted=wanted)
    before = None if found is None else found.get("displayName", "")
    after = options["display_name"] if wanted else None
    if before != after and not module.check_mode:
        if after is None:
            account.delete()
        elif before is None:
            account.create(after, mark)
        else:
            account.rename(after)
    return {
        "changed": before != after,
        "email": account.email,
        "existed": found is not None,
        "diff": {"before": {"display_name": before}, "after": {"display_name": after}},
    }


def main() -> None:
    """Run as a module."""
    module = AnsibleModule(
        argument_spec={
            **connection_arguments(),
            "account": {"type": "str", "required": True, "aliases": ["name"]},
            "display_name": {"type": "str", "default": ""},
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
