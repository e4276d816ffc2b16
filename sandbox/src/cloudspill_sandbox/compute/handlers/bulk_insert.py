# SPDX-License-Identifier: GPL-3.0-or-later
"""Many instances by one request: all that were asked for, at least `minCount`, or none.

https://cloud.google.com/compute/docs/reference/rest/v1/instances/bulkInsert and
…/regionInstances/bulkInsert. One operation stands for the request and one for each instance; they
share an operationGroupId, by which clients find them.
"""

from __future__ import annotations

import contextlib
import dataclasses
import uuid
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from typing import TypeVar

from cloudspill_sandbox.compute import (
    bulk_groups,
    bulk_orders,
    endings,
    instance_plan,
    names,
    operation_warnings,
    under_way,
)
from cloudspill_sandbox.compute.bulk_orders import BulkOrder
from cloudspill_sandbox.compute.cloud import Cloud
from cloudspill_sandbox.compute.creation import Creation
from cloudspill_sandbox.compute.handlers import Methods
from cloudspill_sandbox.compute.instance_plan import Plan
from cloudspill_sandbox.compute.lookup import regional, zonal
from cloudspill_sandbox.compute.operations import Step, Work
from cloudspill_sandbox.compute.together import all_ended
from cloudspill_sandbox.engine.call import Call, Document
from cloudspill_sandbox.engine.errors import ApiError
from cloudspill_sandbox.engine.store import Store, Transaction

_AT_REST = frozenset({"RUNNING", "SUSPENDED", "TERMINATED"})
_Written = TypeVar("_Written")


async def _bulk_insert(cloud: Cloud, call: Call) -> Document:
    with cloud.transaction() as tx:
        order = bulk_orders.read(cloud, tx, call)
        plans = _reserved(cloud, tx, order)
        target = (zonal if "zone" in call.path else regional)(call, "instances")
        operation = cloud.operations.open(tx, call, "bulkInsert", target)
        work = _BulkInsert(cloud, call, order, operation)
        work.open(tx, plans)
        bulk_orders.carry_out(cloud, call)
    return await cloud.operations.perform(operation, work.work())


def _reserved(cloud: Cloud, tx: Transaction, order: BulkOrder) -> list[Plan]:
    """Reserve the instances; fewer, but enough, when a quota does not let more.

    Raises:
        ApiError: as for one instance.
    """
    plans: list[Plan] = []
    for zone, body in order.bodies():
        before = dict(tx.writes) if len(plans) >= order.least else {}
        try:
            plans.append(instance_plan.reserve(cloud, tx, zone, body))
        except ApiError as refusal:
            if len(plans) < order.least or refusal.status != 403:
                raise
            tx.writes.clear()
            tx.writes |= before
            break
    return plans


class _BulkInsert:
    """The work of one request."""

    def __init__(self, cloud: Cloud, call: Call, order: BulkOrder, operation: str) -> None:
        self._cloud = cloud
        self._call = call
        self._order = order
        self._operation = operation
        self._group = str(uuid.uuid4())
        self._children: dict[str, Plan] = {}
        self._instances: dict[str, str] = {}  # by name their ids: a client may put others there
        self._disks: set[str] = set()
        self._begun: set[str] = set()
        self._made: set[str] = set()
        self._lost: set[str] = set()
        self._deleted: set[str] = set()

    def open(self, tx: Transaction, plans: Sequence[Plan]) -> None:
        """Open the operations of the instances beside that of the request."""
        self._note(tx, "CREATING")
        self._children = {
            self._open(tx, "insert", plan.name, plan.warnings): plan for plan in plans
        }
        self._instances = {plan.name: (tx.get(plan.name) or {})["id"] for plan in plans}
        self._disks = {disk.document["id"] for plan in plans for disk in plan.new_disks}
        bulk_groups.begin(tx, self._operation, self._instances.values(), self._disks)

    def work(self) -> Work:
        return Work(
            (Step("instances.bulkInsert.create", self._create),),
            done=self._over,
            failed=self._failed,
        )

    def _open(
        self, tx: Transaction, kind: str, name: str, warnings: Sequence[Document] = ()
    ) -> str:
        call = dataclasses.replace(self._call, query={})  # the requestId is the parent's alone
        return self._cloud.operations.open(
            tx, call, kind, name, part_of=self._operation, warnings=warnings
        )

    async def _create(self) -> None:
        """Make the instances at once; too few of them go again.

        Raises:
            ApiError: there were too few; the reasons of each that failed come with it.
        """
        await all_ended(*map(self._make, self._children))
        if len(self._made) >= self._order.least:
            return
        await self._write(lambda tx: self._note(tx, "ROLLING_BACK"))
        await all_ended(*map(self._delete, sorted(self._made)))
        shortage = ApiError(
            409,
            "VM_MIN_COUNT_NOT_REACHED",
            f"Requested minimum count of {self._order.least} VMs could not be created.",
        )
        shortage.also = list(self._failures())
        raise shortage

    def _failed(self, tx: Transaction) -> None:
        """Write that it is over; of instances that nobody began to make, nothing stays."""
        self._over(tx)
        stayed = sorted(name for name in self._made - self._deleted if self._instance(tx, name))
        if stayed and (document := tx.get(self._operation)):
            warnings = [operation_warnings.of_leftover(name) for name in stayed]
            tx.put(self._operation, document | {"warnings": warnings})
        for operation in self._children.keys() - self._begun:
            Creation(self._cloud, self._children[operation]).work().failed(tx)
            refusal = ApiError(503, "SERVICE_UNAVAILABLE", "The bulkInsert failed before it began.")
            self._cloud.operations.fail(tx, operation, refusal)

    def _over(self, tx: Transaction) -> None:
        self._note(tx, "DONE")
        bulk_groups.end(tx, self._operation)

    async def _make(self, operation: str) -> None:
        self._begun.add(operation)
        plan = self._children[operation]
        creation = Creation(self._cloud, plan).work()

        def done(tx: Transaction) -> None:
            creation.done(tx)
            self._made.add(plan.name)
            self._note(tx, "CREATING")

        def failed(tx: Transaction) -> None:
            creation.failed(tx)
            self._lost.add(plan.name)
            self._note(tx, "CREATING")

        await self._perform(operation, dataclasses.replace(creation, done=done, failed=failed))

    async def _delete(self, name: str) -> None:
        """Delete an instance that was made; while somebody else is at it, wait for that."""
        while not (operation := await self._write(lambda tx: self._begin_deletion(tx, name))):
            if not self._instance(self._cloud.store, name):
                return
            await self._cloud.watchers.changed([name])
        deletion = endings.delete(self._cloud, name, graceful=False)

        def done(tx: Transaction) -> None:
            deletion.done(tx)
            self._deleted.add(name)
            self._note(tx, "ROLLING_BACK")

        await self._perform(operation, dataclasses.replace(deletion, done=done))

    def _begin_deletion(self, tx: Transaction, name: str) -> str:
        """Open the deletion of an instance; return "" when it is gone or not at rest."""
        instance = self._instance(tx, name)
        if instance is None or instance["status"] not in _AT_REST:
            return ""
        if under_way.parts(tx, instance):
            return ""
        bulk_groups.claim(tx, name, self._disks)
        endings.begin_deletion(tx, name)
        return self._open(tx, "delete", name)

    def _instance(self, store: Store | Transaction, name: str) -> Document | None:
        """Return the instance that was made under this name, if it is still there."""
        instance = store.get(name)
        return instance if instance and instance["id"] == self._instances[name] else None

    async def _write(self, writes: Callable[[Transaction], _Written]) -> _Written:
        what = f"the taking back of {names.last(self._operation)}"
        return await self._cloud.operations.write(what, writes)

    async def _perform(self, operation: str, work: Work) -> None:
        """Return when the operation has ended, whether a client removed its document or not."""
        operations = self._cloud.operations
        with contextlib.suppress(ApiError):
            await operations.perform(operation, work)
        while operations.pending(operation):
            with contextlib.suppress(ApiError):
                await operations.wait(operation)

    def _failures(self) -> Iterator[ApiError]:
        """Yield each reason for which an instance could not be made, once."""
        known = set()
        for operation in self._children:
            document = self._cloud.store.get(operation) or {}
            for entry in document.get("error", {}).get("errors", ()):
                if entry["code"] not in known:
                    known.add(entry["code"])
                    status = document["httpErrorStatusCode"]
                    yield ApiError(status, entry["code"], entry["message"])

    def _note(self, tx: Transaction, status: str) -> None:
        """Write how far the request is, zone by zone."""
        made, lost, deleted = map(_by_zone, (self._made, self._lost, self._deleted))
        wanted = Counter(zone for zone, _ in self._order.places)
        metadata = {
            f"zones/{zone}": {
                "status": status,
                "targetVmCount": count,
                "createdVmCount": made[zone],
                # In the end those that a quota did not let begin count too.
                "failedToCreateVmCount": count - made[zone] if status == "DONE" else lost[zone],
                "deletedVmCount": deleted[zone],
            }
            for zone, count in wanted.items()
        }
        if document := tx.get(self._operation):
            group = {"operationGroupId": self._group}
            told = {bulk_groups.METADATA: {"perLocationStatus": metadata}}
            tx.put(self._operation, document | group | told)


def _by_zone(instances: set[str]) -> Counter[str]:
    return Counter(name.split("/")[3] for name in instances)


METHODS: Methods = {"bulkInsert": _bulk_insert}
