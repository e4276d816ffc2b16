# SPDX-License-Identifier: GPL-3.0-or-later
# GNU General Public License v3.0+ (see https://www.gnu.org/licenses/gpl-3.0.txt)
"""What a project can be called."""

from __future__ import annotations

import re

from .api_errors import CloudError

# The pattern of the parameter `project` in Compute Engine's discovery document, number included:
# https://www.googleapis.com/discovery/v1/apis/compute/v1/rest
_LABEL = r"[a-z0-9](?:[-a-z0-9]{0,61}[a-z0-9])?"
_PROJECT = re.compile(rf"(?:(?:[-a-z0-9]{{1,63}}\.)*{_LABEL}:)?{_LABEL}")


def require_project(project: str | None) -> None:
    """Refuse what cannot be a project, before credentials are looked for.

    Raises:
        CloudError: it is missing, or neither a project id nor a project number.
    """
    if not project:
        raise CloudError("no project: set gcp_project, or GCP_PROJECT in the environment")
    if not _PROJECT.fullmatch(project):
        raise CloudError(
            f"{project!r} is no project id: set gcp_project, or GCP_PROJECT in the environment, to "
            "an id that `gcloud projects list` names (lower-case letters, digits and hyphens)"
        )
