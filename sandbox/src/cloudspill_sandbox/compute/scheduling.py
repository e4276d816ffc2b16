# SPDX-License-Identifier: GPL-3.0-or-later
"""Scheduling: Spot, automatic restart, limited run time.

https://cloud.google.com/compute/docs/instances/spot,
https://cloud.google.com/compute/docs/instances/limit-vm-runtime.
"""

from __future__ import annotations

from cloudspill_sandbox.compute import refusals
from cloudspill_sandbox.engine.call import Document

_SHORTEST_RUN = 30
_LONGEST_RUN = 120 * 24 * 3600


def checked(field: str, body: Document | None) -> Document:
    """Return a Scheduling document with Google's defaults.

    Raises:
        ApiError: 400 for what excludes one another or is out of bounds.
    """
    asked = {key: value for key, value in (body or {}).items() if value is not None}
    spot = asked.get("provisioningModel") == "SPOT" or bool(asked.get("preemptible"))
    scheduling: Document = {
        "onHostMaintenance": "TERMINATE" if spot else "MIGRATE",
        "automaticRestart": not spot,
        "preemptible": spot,
        "provisioningModel": "SPOT" if spot else "STANDARD",
    } | asked
    if asked.get("provisioningModel") == "SPOT":
        scheduling["preemptible"] = True
    if spot and scheduling["automaticRestart"]:
        raise refusals.invalid_value(
            f"{field}.automaticRestart", "true", "Automatic restart must be off for Spot VMs."
        )
    if spot and scheduling["onHostMaintenance"] == "MIGRATE":
        raise refusals.invalid_value(
            f"{field}.onHostMaintenance", "MIGRATE", "Spot VMs cannot migrate: use TERMINATE."
        )
    _check_run_duration(field, scheduling, legacy=spot and "provisioningModel" not in asked)
    return scheduling


def _check_run_duration(field: str, scheduling: Document, *, legacy: bool) -> None:
    duration = scheduling.get("maxRunDuration")
    if duration is None:
        return
    seconds = int(duration.get("seconds") or 0)
    if not _SHORTEST_RUN <= seconds <= _LONGEST_RUN:
        raise refusals.invalid_value(
            f"{field}.maxRunDuration",
            seconds,
            f"Must be between {_SHORTEST_RUN} and {_LONGEST_RUN} seconds.",
        )
    if legacy:
        raise refusals.invalid_value(
            f"{field}.maxRunDuration", seconds, "Not supported for legacy preemptible VMs."
        )
    if not scheduling.get("instanceTerminationAction"):
        raise refusals.invalid_value(
            f"{field}.instanceTerminationAction",
            "",
            "Required when maxRunDuration or terminationTime is specified.",
        )
