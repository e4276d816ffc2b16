# SPDX-License-Identifier: GPL-3.0-or-later
"""What faults do to instances, in the terms of compute."""

from __future__ import annotations

import datetime
from collections.abc import Iterator

from cloudspill_sandbox.compute import names, preemption, scheduling
from cloudspill_sandbox.compute.cloud import Cloud
from cloudspill_sandbox.engine.call import Document
from cloudspill_sandbox.faults.interface import RunningInstance, Side

_ON = frozenset({"RUNNING", "STOPPING"})


class FaultyInstances:
    """Implements faults.interface.Instances on a cloud."""

    def __init__(self, cloud: Cloud) -> None:
        self._cloud = cloud

    def running(self) -> Iterator[RunningInstance]:
        """Yield the instances that are RUNNING or STOPPING."""
        for collection, instances in self._cloud.store.collections(
            names.EVERY_PROJECT, "instances"
        ):
            for key, instance in instances.items():
                if instance["status"] in _ON:
                    yield _running(f"{collection}/{key}", instance)

    async def preempt(self, name: str) -> None:
        """Preempt a Spot instance, with notice."""
        preemption.preempt(self._cloud, name)

    async def crash(self, name: str) -> None:
        """Let a guest die at once."""
        await self._cloud.runtime.crash(self._document(name)["id"])

    async def cut(self, name: str, sides: frozenset[Side]) -> None:
        """Drop all packets between an instance and some sides; none mends it."""
        self._cloud.topology.cut(name, sides)
        await self._cloud.topology.settle()

    async def fill_disk(self, name: str) -> None:
        """Leave no free space on an instance's boot disk."""
        await self._cloud.runtime.fill_disk(self._document(name)["id"])

    async def empty_disk(self, name: str) -> None:
        """Give the space back that `fill_disk` took; no error when the instance is gone."""
        if (instance := self._cloud.store.get(name)) is not None:
            await self._cloud.runtime.empty_disk(instance["id"])

    def _document(self, name: str) -> Document:
        document = self._cloud.store.get(name)
        if document is None:
            raise LookupError(f"{name} is gone")
        return document


def _running(name: str, instance: Document) -> RunningInstance:
    started = instance.get("lastStartTimestamp") or instance["creationTimestamp"]
    return RunningInstance(
        name=name,
        boot=f"{instance['id']} {started}",
        since=datetime.datetime.fromisoformat(started).timestamp(),
        spot=scheduling.may_be_preempted(instance),
        stopping=instance["status"] == "STOPPING",
    )
