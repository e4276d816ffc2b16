# SPDX-License-Identifier: GPL-3.0-or-later
# GNU General Public License v3.0+ (see https://www.gnu.org/licenses/gpl-3.0.txt)
"""Documentation of the options that every module of this collection shares."""

from __future__ import annotations


class ModuleDocFragment:
    """Project and credentials."""

    DOCUMENTATION = r"""
options:
  project:
    description:
      - The project id.
      - If not set, E(GCP_PROJECT) of the module's environment is used.
    type: str
  auth_kind:
    description:
      - The kind of credentials.
      - If not set, E(GCP_AUTH_KIND) of the module's environment is used.
    type: str
    choices: [accesstoken, application, machineaccount, serviceaccount]
    default: application
  service_account_file:
    description:
      - The path of a service account's JSON key, if O(auth_kind=serviceaccount).
      - A file that everybody can read is refused.
      - If not set, E(GCP_SERVICE_ACCOUNT_FILE) of the module's environment is used.
    type: path
  service_account_contents:
    description:
      - The contents of a service account's JSON key, if O(auth_kind=serviceaccount).
      - If not set, E(GCP_SERVICE_ACCOUNT_CONTENTS) of the module's environment is used.
    type: jsonarg
  service_account_email:
    description:
      - The service account of the machine that the module runs on, if
        O(auth_kind=machineaccount); its default account if not set.
      - If not set, E(GCP_SERVICE_ACCOUNT_EMAIL) of the module's environment is used.
    type: str
  access_token:
    description:
      - An OAuth 2.0 access token, if O(auth_kind=accesstoken).
      - If not set, E(GCP_ACCESS_TOKEN) of the module's environment is used.
    type: str
  scopes:
    description:
      - The OAuth scopes to ask for; V(https://www.googleapis.com/auth/cloud-platform) if not set.
      - If not set, E(GCP_SCOPES) of the module's environment is used.
    type: list
    elements: str
requirements:
  - python >= 3.11
  - google-auth >= 2.0
  - requests >= 2.28
notes:
  - The options are named as in the collection google.cloud, so that one C(module_defaults) serves
    both.
"""
