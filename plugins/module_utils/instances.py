# SPDX-License-Identifier: GPL-3.0-or-later
# GNU General Public License v3.0+ (see https://www.gnu.org/licenses/gpl-3.0.txt)
"""What instance documents say.

https://cloud.google.com/compute/docs/reference/rest/v1/instances#resource:-instance
"""

from __future__ import annotations

from typing import Any

STOPPED_STATUSES = frozenset({"STOPPING", "SUSPENDING", "SUSPENDED", "TERMINATED", "STOPPED"})
"""Statuses in which nothing runs, or soon nothing will."""


def address_of(instance: dict[str, Any]) -> str:
    """The external address of an instance, else its internal one, else nothing."""
    interfaces = instance.get("networkInterfaces") or []
    external = [
        access["natIP"]
        for interface in interfaces
        for access in interface.get("accessConfigs") or []
        if access.get("natIP")
    ]
    internal = [interface["networkIP"] for interface in interfaces if interface.get("networkIP")]
    return next(iter(external + internal), "")
