# SPDX-License-Identifier: GPL-3.0-or-later
# GNU General Public License v3.0+ (see https://www.gnu.org/licenses/gpl-3.0.txt)
"""The forms in which Compute Engine names a resource.

A reference may be a URL on either host, a path from `projects/`, or a path inside a project:
https://cloud.google.com/apis/design/resource_names and the `selfLink` field of any resource.
"""

from __future__ import annotations

import re

_VERSION_PREFIX = re.compile(r"^(https?://[^/]+)?/?(compute/(v1|beta|alpha)/)?")


def resource_path(reference: str, project: str) -> str:
    """Turn any form of a reference into `projects/<project>/…`.

    Args:
        reference: a selfLink, a path from `projects/`, or a path such as `global/images/x`.
        project: the project of a reference that names none.

    Raises:
        ValueError: the reference has neither form.
    """
    path = _VERSION_PREFIX.sub("", reference.strip(), count=1).strip("/")
    if path.startswith("projects/"):
        return path
    if path.startswith(("global/", "zones/", "regions/", "aggregated/")) or path in {
        "global",
        "zones",
        "regions",
    }:
        return f"projects/{project}/{path}"
    raise ValueError(
        f"{reference!r} is no reference to a Compute Engine resource: write it as "
        "global/KIND/NAME, zones/ZONE/KIND/NAME, projects/… or a selfLink"
    )


def resource_name(reference: str) -> str:
    """The last segment: `default` of `global/networks/default`."""
    return reference.rstrip("/").rsplit("/", 1)[-1]


def inside_project(reference: str, project: str) -> str:
    """The short form without the project, as people write it: `zones/us-west1-b/instances/x`."""
    return resource_path(reference, project).split("/", 2)[2]
