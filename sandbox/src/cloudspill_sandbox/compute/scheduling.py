# SPDX-License-Identifier: GPL-3.0-or-later
"""Scheduling: Spot, automatic restart, limited run time.

https://cloud.google.com/compute/docs/instances/spot,
https://cloud.google.com/compute/docs/instances/preemptible,
https://cloud.google.com/compute/docs/instances/limit-vm-runtime.
"""

from __future__ import annotations

from cloudspill_sandbox.compute import documents, names, refusals
from cloudspill_sandbox.compute.catalogue.machine_types import machine_type
from cloudspill_sandbox.engine.call import Document
from cloudspill_sandbox.engine.errors import ApiError

_SHORTEST_RUN = 30
_LONGEST_RUN = 120 * 24 * 3600
_LONGEST_NOTICE = 3600
_LIMITS = frozenset({"maxRunDuration", "terminationTime"})
_MODELS = ("STANDARD", "SPOT")
_UNSUPPORTED = ("minNodeCpus", "nodeAffinities")
"""Of sole tenancy: https://cloud.google.com/compute/docs/nodes/sole-tenant-nodes."""

_BY_MODEL = frozenset({"automaticRestart", "onHostMaintenance", "preemptible"})
"""What a provisioning model decides unless a request says otherwise."""


def checked(field: str, body: Document | None, now: float) -> Document:
    """Return a Scheduling document with Google's defaults.

    Args:
        now: seconds since the epoch.

    Raises:
        ApiError: 400 for what excludes one another or is out of bounds.
    """
    unset = (None, "INSTANCE_TERMINATION_ACTION_UNSPECIFIED")
    asked = {key: value for key, value in (body or {}).items() if value not in unset}
    refusals.check_supported(field, asked, *_UNSUPPORTED)
    refusals.check_one_of(field, asked, "provisioningModel", *_MODELS)
    model = asked.get("provisioningModel", "STANDARD")
    preemptible = model == "SPOT" or bool(asked.get("preemptible"))
    scheduling: Document = {
        "onHostMaintenance": "TERMINATE" if preemptible else "MIGRATE",
        "automaticRestart": not preemptible,
        "provisioningModel": model,
    } | asked
    scheduling["preemptible"] = preemptible
    if model == "SPOT":
        scheduling.setdefault("instanceTerminationAction", "STOP")
    _check_preemptible(f"{field}.preemptible", scheduling)
    _check_limit(field, scheduling, now)
    _check_action(f"{field}.instanceTerminationAction", scheduling)
    _check_notice(f"{field}.preemptionNoticeDuration", scheduling)
    return scheduling


def revised(field: str, current: Document, body: Document, now: float) -> Document:
    """Return what a setScheduling makes of a Scheduling; what it does not name stays.

    None clears a field; a provisioning model brings its own defaults with it. Raises ApiError as
    `checked`.
    """
    if body.get("provisioningModel") not in (None, current["provisioningModel"]):
        current = {key: value for key, value in current.items() if key not in _BY_MODEL}
    return checked(field, current | body, now)


def check_machine_type(scheduling: Document, size: str) -> None:
    """Return when instances of a machine type, by its link, may have a Scheduling.

    https://cloud.google.com/compute/docs/instances/setting-vm-host-options#limitations, with the
    answer that https://github.com/jenkinsci/google-compute-engine-plugin/issues/215 quotes.

    Raises:
        ApiError: 400, E2 machines are live-migrated unless they may be preempted.
    """
    known = machine_type(names.last(size))
    if known is None or known.series != "e2" or scheduling["preemptible"]:
        return
    if scheduling["onHostMaintenance"] == "TERMINATE":
        sentence = "instances do not support onHostMaintenance=TERMINATE unless they are"
        raise ApiError(400, "badRequest", f"e2 {sentence} preemptible.")


def may_be_preempted(instance: Document) -> bool:
    """Whether it is a Spot VM or, from before there were any, a preemptible one."""
    return bool(instance["scheduling"]["preemptible"])


def is_legacy_preemptible(instance: Document) -> bool:
    """Whether it is preemptible and no Spot VM: such a one runs for a day at most."""
    model = instance["scheduling"]["provisioningModel"]
    return may_be_preempted(instance) and model != "SPOT"


def deletes(instance: Document) -> bool:
    """Whether an automatic termination deletes the instance; it stops it otherwise."""
    return bool(instance["scheduling"].get("instanceTerminationAction") == "DELETE")


def preemption_notice(instance: Document) -> float:
    """Return the seconds between the notice in the metadata and the power button."""
    return _seconds(instance["scheduling"].get("preemptionNoticeDuration"))


def limited(instance: Document, now: float) -> Document:
    """Return an instance that begins to run now, with the time at which it is to end, if any.

    One that is only reset keeps its time.
    """
    asked = instance["scheduling"]
    if "resourceStatus" in instance:
        return instance
    if "terminationTime" in asked:
        end = documents.seconds(asked["terminationTime"])
    elif "maxRunDuration" in asked:
        end = now + _seconds(asked["maxRunDuration"])
    else:
        return instance
    shown = {"scheduling": {"terminationTimestamp": documents.timestamp(end)}}
    return instance | {"resourceStatus": shown}


def unlimited(instance: Document) -> Document:
    """Return an instance that does not run (any more): its time to end is forgotten."""
    return {key: value for key, value in instance.items() if key != "resourceStatus"}


def termination(instance: Document) -> float | None:
    """Return when a running instance is to end, in seconds since the epoch, None for never."""
    shown = instance.get("resourceStatus", {}).get("scheduling", {}).get("terminationTimestamp")
    return documents.seconds(shown) if shown else None


def check_may_start(field: str, instance: Document, now: float) -> None:
    """Return when an instance may start.

    Raises:
        ApiError: 400, its termination time is past.
    """
    asked = instance["scheduling"].get("terminationTime")
    if asked and documents.seconds(asked) <= now:
        raise refusals.invalid_value(
            field, asked, "The termination time is past: change it with setScheduling."
        )


def _seconds(duration: Document | None) -> float:
    given = duration or {}
    return int(given.get("seconds") or 0) + int(given.get("nanos") or 0) / 1e9


def _check_preemptible(field: str, scheduling: Document) -> None:
    """Wording: https://github.com/elasticluster/elasticluster/issues/568,
    https://github.com/lighttransport/francine/issues/5."""
    if not scheduling["preemptible"]:
        return
    rule = "Scheduling must have preemptible be false when"
    if scheduling["automaticRestart"]:
        raise refusals.invalid_value(field, "true", f"{rule} AutomaticRestart is true.")
    if scheduling["onHostMaintenance"] != "TERMINATE":
        raise refusals.invalid_value(field, "true", f"{rule} OnHostMaintenance isn't TERMINATE.")


def _check_limit(field: str, scheduling: Document, now: float) -> None:
    limits = sorted(_LIMITS & scheduling.keys())
    if not limits:
        return
    name, value = limits[0], _limit(field, scheduling, limits[0], now)
    if len(limits) > 1:
        raise refusals.invalid_value(
            f"{field}.{name}", value, "Cannot be specified together with terminationTime."
        )
    if scheduling["preemptible"] and scheduling["provisioningModel"] != "SPOT":
        raise refusals.invalid_value(
            f"{field}.{name}", value, "Not supported for legacy preemptible VMs."
        )


def _check_action(field: str, scheduling: Document) -> None:
    """A termination action is either required or not allowed; it has a default for Spot VMs only:
    https://cloud.google.com/sdk/gcloud/reference/compute/instances/set-scheduling."""
    action = scheduling.get("instanceTerminationAction")
    limited = not _LIMITS.isdisjoint(scheduling)
    if limited and not action:
        raise refusals.invalid_value(
            field, "", "Required when maxRunDuration or terminationTime is specified."
        )
    if action and not (limited or scheduling["provisioningModel"] == "SPOT"):
        raise refusals.invalid_value(
            field, action, "Allowed only for Spot VMs, or with maxRunDuration or terminationTime."
        )


def _limit(field: str, scheduling: Document, name: str, now: float) -> object:
    """Return a limit's value as refusals show it. Raises ApiError when it is out of bounds."""
    value = scheduling[name]
    if name == "terminationTime":
        try:
            run = documents.seconds(value) - now
        except (ValueError, OverflowError):
            raise refusals.invalid_value(
                f"{field}.{name}", value, "Must be a timestamp in RFC 3339 format."
            ) from None
        bounds = f"Must be between {_SHORTEST_RUN} and {_LONGEST_RUN} seconds from now."
    else:
        run = _seconds(value)
        value = f"{run:.15g}"
        bounds = f"Must be between {_SHORTEST_RUN} and {_LONGEST_RUN} seconds."
    if not _SHORTEST_RUN <= run <= _LONGEST_RUN:
        raise refusals.invalid_value(f"{field}.{name}", value, bounds)
    return value


def _check_notice(field: str, scheduling: Document) -> None:
    if "preemptionNoticeDuration" not in scheduling:
        return
    seconds = _seconds(scheduling["preemptionNoticeDuration"])
    if scheduling["provisioningModel"] != "SPOT":
        raise refusals.invalid_value(field, f"{seconds:g}", "Supported for Spot VMs only.")
    if not 0 <= seconds <= _LONGEST_NOTICE:
        raise refusals.invalid_value(
            field, f"{seconds:g}", f"Must be between 0 and {_LONGEST_NOTICE} seconds."
        )
