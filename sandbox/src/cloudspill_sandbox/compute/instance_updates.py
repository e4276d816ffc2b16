# SPDX-License-Identifier: GPL-3.0-or-later
"""What an instance becomes by instances.update, and what has to happen to it for that.

https://cloud.google.com/compute/docs/instances/update-instance-properties. A request holds all of
an instance: what it leaves out is removed. Which properties need a restart is taken from the
methods that set each alone; the refusal's form is that of managed instance groups.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from cloudspill_sandbox.compute import (
    cpu_platforms,
    documents,
    instance_metadata,
    instance_plan,
    interface_rules,
    names,
    refusals,
    scheduling,
    service_accounts,
    tags,
    under_way,
)
from cloudspill_sandbox.compute.lookup import found
from cloudspill_sandbox.compute.operations import Step, Work, Writes
from cloudspill_sandbox.engine.call import Call, Document
from cloudspill_sandbox.engine.store import Transaction

if TYPE_CHECKING:
    from cloudspill_sandbox.compute.cloud import Cloud

NO_EFFECT, REFRESH, RESTART = "NO_EFFECT", "REFRESH", "RESTART"
_ACTIONS = (NO_EFFECT, REFRESH, RESTART)
"""From the least to the most disruptive."""

_ELSEWHERE = {
    "disks": "Attach and detach disks with attachDisk and detachDisk.",
    "networkInterfaces": "Change them with updateNetworkInterface, addAccessConfig and "
    "deleteAccessConfig.",
}
_OUTPUT = frozenset(
    {
        "cpuPlatform",
        "creationTimestamp",
        "fingerprint",
        "id",
        "kind",
        "lastStartTimestamp",
        "lastStopTimestamp",
        "lastSuspendedTimestamp",
        "resourceStatus",
        "satisfiesPzi",
        "satisfiesPzs",
        "selfLink",
        "startRestricted",
        "status",
        "statusMessage",
        "zone",
    }
)
"""What a client may send back as it once read it."""


def updated(cloud: Cloud, tx: Transaction, instance: Document, body: Document) -> Document:
    """Return an instance as a request has it, with a new fingerprint if anything is different.

    Raises:
        ApiError: 412 for a stale fingerprint, 400 for what Google would refuse.
    """
    documents.check_fingerprint(body.get("fingerprint"), instance["fingerprint"], "instance")
    for field, sentence in _ELSEWHERE.items():
        asked, held = body.get(field), instance.get(field)
        if (asked is not None or field == "disks") and not documents.says(asked, held):
            raise refusals.invalid_value(f"resource.{field}", "", sentence)
    fixed = body.keys() - _ELSEWHERE.keys() - instance_plan.UPDATABLE - _OUTPUT
    documents.check_same("resource", body, instance, *sorted(fixed))
    zone = names.last(instance["zone"])
    size = instance_plan.checked_machine_type(
        cloud, zone, "resource.machineType", body.get("machineType")
    )
    interface_rules.check_count("resource", len(instance["networkInterfaces"]), size)
    changed = {
        key: value for key, value in instance.items() if key not in instance_plan.UPDATABLE
    } | {
        "canIpForward": bool(body.get("canIpForward")),
        "deletionProtection": bool(body.get("deletionProtection")),
        "machineType": size,
        "metadata": instance_metadata.checked("resource.metadata", body.get("metadata")),
        "scheduling": _scheduling(cloud, instance, body, size),
        "shieldedInstanceConfig": instance_plan.shielded(body.get("shieldedInstanceConfig")),
        "tags": tags.checked("resource.tags", body.get("tags")),
    }
    changed |= documents.given(body, "description", "displayDevice")
    changed |= cpu_platforms.asked("resource.minCpuPlatform", body, size)
    accounts = service_accounts.checked(
        cloud, tx, "resource.serviceAccounts", body.get("serviceAccounts")
    )
    if accounts:
        changed["serviceAccounts"] = accounts
    labels = names.check_labels("resource.labels", body.get("labels"))
    return instance_plan.stamped(documents.labelled(changed, labels))


def action(call: Call, before: Document, after: Document) -> str:
    """Return what has to happen to an instance that runs: NO_EFFECT, REFRESH or RESTART.

    Raises:
        ApiError: 400, the request does not let it (REFRESH unless it says otherwise).
    """
    changed = {field for field in instance_plan.UPDATABLE if before.get(field) != after.get(field)}
    needed = (REFRESH if changed else NO_EFFECT) if before["status"] == "RUNNING" else NO_EFFECT
    if changed & instance_plan.RESTARTING and before["status"] == "RUNNING":
        needed = RESTART
    least = _asked(call, "minimalAction", NO_EFFECT)
    effective = max(needed, least, key=_ACTIONS.index)
    most = _asked(call, "mostDisruptiveAllowedAction", REFRESH)
    if _ACTIONS.index(effective) > _ACTIONS.index(most):
        raise refusals.invalid_usage(
            f"Effective update action for the instance '{before['name']}' is {effective}, which "
            f"is greater than the most disruptive allowed action {most}"
        )
    return effective


def applied(
    cloud: Cloud,
    tx: Transaction,
    operation: str,
    before: Document,
    after: Document,
    take_back: Writes,
) -> Work:
    """Return what lets the network know of a change that needs no restart.

    It may fail and be taken back yet: an instance that is off waits with its start for what a
    machine has from then on.

    Args:
        tx: wrote `after` in the place of `before`, and opened the operation, a relative name.
        take_back: called when it fails.
    """
    name, part = names.relative(before["selfLink"]), under_way.setting(operation)
    if any(before.get(field) != after.get(field) for field in instance_plan.RESTARTING):
        under_way.begin(tx, name, part, operation)

    def done(tx: Transaction) -> None:
        under_way.end(tx, name, part, operation)

    def failed(tx: Transaction) -> None:
        take_back(tx)
        done(tx)

    # Not by the machine's links: the instance may be deleted meanwhile.
    kind = found(tx, operation)["operationType"]
    return Work((Step(f"instances.{kind}.apply", cloud.topology.settle),), done, failed)


def _asked(call: Call, parameter: str, default: str) -> str:
    asked = str(call.query.get(parameter) or default)
    if asked not in _ACTIONS:
        raise refusals.invalid_value(parameter, asked, f"Must be one of {', '.join(_ACTIONS)}.")
    return asked


def _scheduling(cloud: Cloud, instance: Document, body: Document, size: str) -> Document:
    """Return the Scheduling; one that stays is good although its time may be near by now."""
    held: Document = instance["scheduling"]
    asked = body.get("scheduling")
    if asked is not None and documents.says(asked, held) and documents.says(held, asked):
        return held
    changed = scheduling.checked("resource.scheduling", asked, cloud.clock())
    scheduling.check_machine_type(changed, size)
    return changed
