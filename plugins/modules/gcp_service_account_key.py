#!/usr/bin/python
# SPDX-License-Identifier: GPL-3.0-or-later
# GNU General Public License v3.0+ (see https://www.gnu.org/licenses/gpl-3.0.txt)
"""A file with a service account's key."""

from __future__ import annotations

DOCUMENTATION = r"""
module: gcp_service_account_key
short_description: Have a file with a service account's JSON key
description:
  - Makes a key and stores it in a file that only its owner can read. A file that holds a key of the
    account that Google still knows is left as it is; one whose key is gone is replaced.
  - A file that holds anything else, or that everybody can read, is refused and left alone.
  - Unlike M(google.cloud.gcp_iam_service_account_key) it never writes the file with other
    permissions, deletes a key again that it could not store, and has a check mode.
options:
  account:
    description: The account's address, or the part before the at sign.
    type: str
    required: true
  path:
    description: The path of the file. Missing folders are made for their owner alone.
    type: path
    required: true
  state:
    description: V(absent) deletes the key that the file holds, and the file.
    type: str
    choices: [present, absent]
    default: present
extends_documentation_fragment:
  - cloudspill.gcp.gcp
attributes:
  check_mode:
    description: Tells whether a key would be made or deleted.
    support: full
  diff_mode:
    description: Shows no difference, since keys are secret.
    support: none
author:
  - The cloudspill authors (!UNKNOWN)
"""

EXAMPLES = r"""
- name: Have a key
  cloudspill.gcp.gcp_service_account_key:
    account: cloudspill
    path: ~/.config/cloudspill/key.json
"""

RETURN = r"""
path:
  description: The path of the file.
  returned: success
  type: str
  sample: /home/ada/.config/cloudspill/key.json
"""

import base64
import binascii
import contextlib
import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ansible.module_utils.basic import AnsibleModule

from ..module_utils.api_errors import CloudError, NotFoundError
from ..module_utils.arguments import connection_arguments
from ..module_utils.credentials import read_key_file
from ..module_utils.project_client import project_client

if TYPE_CHECKING:
    from ..module_utils.project_client import Document, ProjectClient


class Keys:
    """The keys of one service account."""

    def __init__(self, client: ProjectClient, maker: ProjectClient, account: str) -> None:
        """Bind to an account.

        Args:
            client: for what may be repeated.
            maker: sends each request once: a repeated one would make two keys.
            account: address or id.
        """
        self._client = client
        self._maker = maker
        self._path = f"{client.account_path(account)}/keys"
        self.email = client.account_email(account)
        self._about = f"the key of {self.email}"

    def is_usable(self, key_id: str) -> bool:
        """Whether Google knows a key and it is not disabled."""
        found = self._client.find(
            "iam",
            f"{self._path}/{key_id}",
            about=self._about,
            needs="iam.serviceAccountKeys.get",
        )
        return found is not None and not found.get("disabled")

    def create(self) -> Document:
        """Make a key; its document has the key file in base64 as `privateKeyData`."""
        return self._maker.call(
            "iam",
            "POST",
            self._path,
            body={"privateKeyType": "TYPE_GOOGLE_CREDENTIALS_FILE"},
            about=self._about,
            needs="iam.serviceAccountKeys.create",
        )

    def delete(self, key_id: str) -> None:
        """Delete a key; one that is gone is as good."""
        path, needs = f"{self._path}/{key_id}", "iam.serviceAccountKeys.delete"
        with contextlib.suppress(NotFoundError):
            self._client.call("iam", "DELETE", path, about=self._about, needs=needs)


def stored_key(path: Path, email: str) -> Document | None:
    """The key that a file holds; None where there is no file.

    Raises:
        CloudError: the file is readable by everybody, is no key, or is another account's.
    """
    if not path.exists():
        return None
    key = read_key_file(path)
    if key["client_email"] != email or not key.get("private_key_id"):
        raise CloudError(
            f"{path} holds the key of {key['client_email']}, not of {email}: it is left alone; "
            "name another path"
        )
    return key


def make(keys: Keys, path: Path) -> None:
    """Make a key and store it, whole or not at all.

    Raises:
        CloudError: it was refused.
        OSError: the file cannot be written.
    """
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    draft = path.with_name(f".{path.name}.{os.getpid()}")
    # Before the key is asked for: what cannot be stored shall not be made.
    descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    try:
        with os.fdopen(descriptor, "wb") as file:
            key = keys.create()
            try:
                file.write(base64.b64decode(key["privateKeyData"]))
                file.flush()
                os.fsync(descriptor)
                draft.replace(path)
            except (OSError, binascii.Error):
                keys.delete(key["name"].rsplit("/", 1)[-1])
                raise
    finally:
        draft.unlink(missing_ok=True)


def run(module: AnsibleModule, keys: Keys) -> dict[str, Any]:
    """Bring the file to its state, and return the module's result."""
    path = Path(module.params["path"])
    key = stored_key(path, keys.email)
    if module.params["state"] == "absent":
        if key is not None and not module.check_mode:
            keys.delete(key["private_key_id"])
            path.unlink()
        return {"changed": key is not None, "path": str(path)}
    changed = key is None or not keys.is_usable(key["private_key_id"])
    if changed and not module.check_mode:
        make(keys, path)
    return {"changed": changed, "path": str(path)}


def main() -> None:
    """Run as a module."""
    module = AnsibleModule(
        argument_spec={
            **connection_arguments(),
            "account": {"type": "str", "required": True},
            "path": {"type": "path", "required": True},
            "state": {"type": "str", "choices": ["present", "absent"], "default": "present"},
        },
        supports_check_mode=True,
    )
    try:
        client, maker = project_client(module), project_client(module, repeats=False)
        result = run(module, Keys(client, maker, module.params["account"]))
    except CloudError as error:
        module.fail_json(msg=error.sentence)
    except OSError as error:
        module.fail_json(msg=f"cannot store a key in {module.params['path']}: {error.strerror}")
    module.exit_json(**result)


if __name__ == "__main__":
    main()
