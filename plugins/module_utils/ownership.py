# SPDX-License-Identifier: GPL-3.0-or-later
# GNU General Public License v3.0+ (see https://www.gnu.org/licenses/gpl-3.0.txt)
"""The mark by which a run knows its own resources."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

RUN_LABEL = "cloudspill-run"
OWNER_LABEL = "cloudspill-owner"


@dataclass(frozen=True, slots=True)
class Mark:
    """What the resources of one run carry.

    Attributes:
        run: value of the label `cloudspill-run`.
        owner: value of the label `cloudspill-owner`.
    """

    run: str
    owner: str

    def label_filter(self) -> str:
        """Compute Engine's list filter for resources with labels."""
        return f'(labels.{RUN_LABEL} = "{self.run}") (labels.{OWNER_LABEL} = "{self.owner}")'

    def is_on(self, resource: dict[str, Any]) -> bool:
        """Whether a resource with labels carries the mark."""
        mark = {RUN_LABEL: self.run, OWNER_LABEL: self.owner}
        return mark.items() <= (resource.get("labels") or {}).items()

    def words(self) -> str:
        """The mark as words of a description."""
        return f"{RUN_LABEL}={self.run} {OWNER_LABEL}={self.owner}"

    def is_described(self, resource: dict[str, Any]) -> bool:
        """Whether what cannot have labels carries the mark in its description.

        Such are firewall rules, service accounts and roles.
        """
        return set(self.words().split()) <= set(str(resource.get("description", "")).split())
