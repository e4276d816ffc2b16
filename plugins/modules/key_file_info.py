#!/usr/bin/python
# SPDX-License-Identifier: GPL-3.0-or-later
# GNU General Public License v3.0+ (see https://www.gnu.org/licenses/gpl-3.0.txt)
"""A service account's key file, before anything relies on it."""

from __future__ import annotations

DOCUMENTATION = r"""
module: key_file_info
short_description: Check a service account's JSON key and tell whose it is
description:
  - Refuses a key file that is absent, malformed, or readable by everybody, and says what to do.
  - Never returns the key.
options:
  path:
    description: The path of the JSON key.
    type: path
    required: true
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
- name: Check the key before it is handed on
  cloudspill.gcp.key_file_info:
    path: ~/.config/cloudspill/key.json
"""

RETURN = r"""
email:
  description: The address of the service account.
  returned: success
  type: str
  sample: launcher@acme-lab.iam.gserviceaccount.com
"""

from pathlib import Path

from ansible.module_utils.basic import AnsibleModule

from ..module_utils.api_errors import CloudError
from ..module_utils.credentials import load_credentials


def email_of(path: Path) -> str:
    """Return the address of the account that a key file is of.

    Raises:
        CloudError: it is absent, unreadable, readable by everybody, or no key.
    """
    options = {"auth_kind": "serviceaccount", "service_account_file": str(path)}
    return str(load_credentials(options).service_account_email)


def main() -> None:
    """Run as a module."""
    module = AnsibleModule(
        argument_spec={"path": {"type": "path", "required": True}}, supports_check_mode=True
    )
    try:
        module.exit_json(changed=False, email=email_of(Path(module.params["path"])))
    except CloudError as error:
        module.fail_json(msg=error.sentence)


if __name__ == "__main__":
    main()
