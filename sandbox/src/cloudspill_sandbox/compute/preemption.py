# SPDX-License-Identifier: GPL-3.0-or-later
"""Preemption of Spot VMs and preemptible ones.

https://cloud.google.com/compute/docs/instances/spot#preemption-process: the metadata key
`instance/preempted` turns TRUE, the power button is pressed, shutdown scripts have 30 s, and the
instance is stopped or deleted as its scheduling says. With `preemptionNoticeDuration` the button
is pressed that much later.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from cloudspill_sandbox.compute import machines, refusals, scheduling
from cloudspill_sandbox.compute.lookup import found
from cloudspill_sandbox.engine.call import Document
from cloudspill_sandbox.engine.store import Store, Transaction

if TYPE_CHECKING:
    from cloudspill_sandbox.compute.cloud import Cloud


def preempt(cloud: Cloud, name: str) -> None:
    """Preempt a running instance; one that is being preempted already goes on being so.

    The notice is given before this returns; the operation `compute.instances.preempted` follows.

    Args:
        name: relative name, `projects/p/zones/z/instances/i`.

    Raises:
        ApiError: 404 no such instance; 400 it is of no kind that is preempted, or does not run.
    """
    with cloud.transaction() as tx:
        begin(cloud, tx, name, found(tx, name))


def begin(cloud: Cloud, tx: Transaction, name: str, instance: Document) -> None:
    """Write the notice of a preemption; see `preempt`, whose errors it raises."""
    if not scheduling.may_be_preempted(instance):
        raise refusals.invalid_usage(
            f"The instance '{name}' is neither a Spot VM nor preemptible: it is never preempted"
        )
    if instance["status"] != "RUNNING":
        raise refusals.not_ready(name)
    if power_button(tx, instance) is None:
        at = cloud.clock() + scheduling.preemption_notice(instance)
        machines.note(tx, instance, preempted=at)


def power_button(store: Store | Transaction, instance: Document) -> float | None:
    """Return when the power button is pressed of an instance that is being preempted, else None.

    Seconds since the epoch; its metadata says TRUE from the notice until it is started again.
    """
    at: float | None = machines.noted(store, instance).get("preempted")
    return at
