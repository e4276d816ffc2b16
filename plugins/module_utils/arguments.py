# SPDX-License-Identifier: GPL-3.0-or-later
# GNU General Public License v3.0+ (see https://www.gnu.org/licenses/gpl-3.0.txt)
"""The options that every module of this collection shares, and the client they describe."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ansible.module_utils.basic import AnsibleModule, env_fallback

from .projects import require_project

if TYPE_CHECKING:
    from .compute import Compute
    from .storage import Storage
    from .transport import Transport


def connection_arguments() -> dict[str, Any]:
    """Argument specification of project and credentials, named as google.cloud names them."""
    return {
        "project": {"type": "str", "fallback": (env_fallback, ["GCP_PROJECT"])},
        "auth_kind": {
            "type": "str",
            "default": "application",
            "fallback": (env_fallback, ["GCP_AUTH_KIND"]),
            "choices": ["accesstoken", "application", "machineaccount", "serviceaccount"],
        },
        "service_account_file": {
            "type": "path",
            "fallback": (env_fallback, ["GCP_SERVICE_ACCOUNT_FILE"]),
        },
        "service_account_contents": {
            "type": "jsonarg",
            "no_log": True,
            "fallback": (env_fallback, ["GCP_SERVICE_ACCOUNT_CONTENTS"]),
        },
        "service_account_email": {
            "type": "str",
            "fallback": (env_fallback, ["GCP_SERVICE_ACCOUNT_EMAIL"]),
        },
        "access_token": {
            "type": "str",
            "no_log": True,
            "fallback": (env_fallback, ["GCP_ACCESS_TOKEN"]),
        },
        "scopes": {
            "type": "list",
            "elements": "str",
            "fallback": (env_fallback, ["GCP_SCOPES"]),
        },
    }


def compute_client(module: AnsibleModule) -> Compute:
    """Make the client that a module's options describe; ends the module where it cannot.

    Raises:
        CloudError: the project is none, or the credentials are missing or malformed.
    """
    transport = _transport(module)
    from .compute import Compute

    return Compute(transport, module.params["project"])


def storage_client(module: AnsibleModule) -> Storage:
    """Make the client of Cloud Storage; see `compute_client`."""
    transport = _transport(module)
    from .storage import Storage

    return Storage(transport, module.params["project"])


def _transport(module: AnsibleModule) -> Transport:
    from .credentials import load_credentials
    from .transport import Transport

    require_project(module.params["project"])
    return Transport(load_credentials(module.params))
