# SPDX-License-Identifier: GPL-3.0-or-later
# GNU General Public License v3.0+ (see https://www.gnu.org/licenses/gpl-3.0.txt)
"""Many instances at once: one thread for each, one kept-alive session for all."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from itertools import product
from typing import TYPE_CHECKING, Any

from .api_errors import (
    AlreadyExistsError,
    ApiError,
    CloudError,
    CredentialsError,
    DeadlineError,
    NotFoundError,
    OperationError,
    PermissionDeniedError,
    QuotaError,
    ServiceDisabledError,
)
from .instance_changes import label_change, metadata_change, tag_change
from .instance_outcome import Outcome
from .instance_spec import InstanceSpec
from .instances import address_of
from .links import inside_project, resource_name
from .readiness import Check, await_answer
from .revision import revise

if TYPE_CHECKING:
    from .compute import Compute, PendingChange

Document = dict[str, Any]
Plan = Callable[[Document], "Document | None"]

AT_ONCE = 16
"""Requests for new instances under way at a time: Google limits requests a second."""

_STATUS_INTERVAL = 0.5
_NAMES_ASKED = 25  # in one filter, which must fit into a URL: a name has up to 63 letters
_OUT_OF_STOCK = ("ZONE_RESOURCE_POOL_EXHAUSTED", "ZONE_RESOURCE_POOL_EXHAUSTED_WITH_DETAILS")
_UNDER_WAY = frozenset({"PROVISIONING", "STAGING", "REPAIRING"})


class Batch:
    """One run over a set of instances.

    Args:
        compute: the client; its session is shared by all threads.
        spec: what each shall be.
        timeout: seconds for the whole.
        checks: what each must answer before it counts as ready.
        dry_run: change nothing.
        report: takes a line of progress; called from several threads.
    """

    def __init__(
        self,
        compute: Compute,
        spec: InstanceSpec,
        *,
        timeout: float,
        checks: Sequence[Check] = (),
        dry_run: bool = False,
        report: Callable[[str], None] = lambda _: None,
    ) -> None:
        self._compute = compute
        self._spec = spec
        self._until = time.monotonic() + timeout
        self._checks = checks
        self._dry_run = dry_run
        self._report = report
        self._submitting = threading.BoundedSemaphore(AT_ONCE)
        self._verdict = ""

    def make(self, names: Sequence[str], existing: dict[str, Document]) -> list[Outcome]:
        """Have every instance, running and as the spec says; one failure hides no other."""

        def bring(outcome: Outcome) -> None:
            instance = existing.get(outcome.name)
            if instance is not None:
                self._adjust(outcome, instance)
            elif self._dry_run:
                outcome.result = "made"
            else:
                self._create(outcome)

        return self._each(names, bring)

    def delete(self, names: Sequence[str], existing: dict[str, Document]) -> list[Outcome]:
        """Have none of the instances."""

        def remove(outcome: Outcome) -> None:
            instance = existing.get(outcome.name)
            if instance is None:
                outcome.result = "absent"
            elif not self._spec.is_ours(instance):
                outcome.result, outcome.reason = "failed", self._not_ours(instance)
            else:
                outcome.document = instance
                if not self._dry_run:
                    self._delete(instance)
                outcome.result = "deleted"

        return self._each(names, remove)

    def _each(self, names: Iterable[str], work: Callable[[Outcome], None]) -> list[Outcome]:
        outcomes = [Outcome(name) for name in names]

        def guarded(outcome: Outcome) -> None:
            try:
                work(outcome)
            except CloudError as error:
                outcome.result, outcome.reason = "failed", error.sentence
            except Exception as error:  # noqa: BLE001 - one accident must not hide the others
                outcome.result = "failed"
                outcome.reason = f"{outcome.name}: {type(error).__name__}: {error}"
            self._report(outcome.foreseen if self._dry_run else outcome.line)

        with ThreadPoolExecutor(max_workers=max(1, len(outcomes))) as pool:
            list(pool.map(guarded, outcomes))
        return outcomes

    # What exists.

    def _adjust(self, outcome: Outcome, instance: Document) -> None:
        outcome.document = instance
        if not self._spec.is_ours(instance):
            outcome.result, outcome.reason = "failed", self._not_ours(instance)
            return
        if instance["status"] in _UNDER_WAY:
            instance = outcome.document = self._await_running(instance)
        boot = next(disk for disk in instance["disks"] if disk.get("boot"))
        disk = self._compute.get(boot["source"])
        differences = self._spec.differences(instance, disk)
        if differences:
            outcome.result = "failed"
            outcome.reason = (
                f"{outcome.name} exists and differs: {'; '.join(differences)}: remove it first, "
                "or ask for what it is"
            )
            return
        outcome.changes = self._revise(instance, disk)
        outcome.result = "changed" if outcome.changes else "unchanged"
        if instance["status"] != "RUNNING":
            self._start(outcome, instance)
        # An earlier run may have ended before it answered.
        if not (self._dry_run or outcome.in_vain):
            self._await_checks(outcome)

    def _revise(self, instance: Document, disk: Document) -> list[str]:
        """Add what an instance lacks; return what that was."""
        spec = self._spec
        tags = {*((instance.get("tags") or {}).get("items") or []), *spec.tags}
        plans: tuple[tuple[str, Document, str, Plan], ...] = (
            ("labels", instance, "setLabels", lambda now: label_change(now, spec.all_labels)),
            ("disk labels", disk, "setLabels", lambda now: label_change(now, spec.all_labels)),
            ("tags", instance, "setTags", lambda now: tag_change(now, sorted(tags))),
            ("metadata", instance, "setMetadata", lambda now: metadata_change(now, spec.metadata)),
        )
        changed = []
        for what, document, verb, plan in plans:
            if plan(document) is None:
                continue
            reference = self._reference(document)
            revise(
                self._compute, reference, verb, plan, deadline=self._left(), dry_run=self._dry_run
            )
            changed.append(what)
        return changed

    def _start(self, outcome: Outcome, instance: Document) -> None:
        verb = {"TERMINATED": "start", "SUSPENDED": "resume"}.get(instance["status"])
        if verb is None:
            outcome.result = "failed"
            outcome.reason = f"{outcome.name} is {instance['status']}: run again when that is over"
            return
        if not self._dry_run:
            reference = self._reference(instance)
            self._compute.change("POST", f"{reference}/{verb}", deadline=self._left())
            outcome.document = self._await_running(instance)
        outcome.result = "started"

    def _not_ours(self, instance: Document) -> str:
        mark = self._spec.mark
        whose = f"run {mark.run} of {mark.owner}" if mark else "anybody"
        return (
            f"{instance['name']} exists and does not carry the mark of {whose}: it is left alone; "
            "choose another name"
        )

    # What is new.

    def _create(self, outcome: Outcome) -> None:
        for zone, machine_type in product(self._spec.zones, self._spec.machine_types):
            try:
                found = self._insert(outcome, zone, machine_type)
            except CloudError as error:
                if not _out_of_stock(error):
                    self._stop_the_others(error)
                    raise
                outcome.answers.append(f"{zone} has no {machine_type}: {error.sentence}")
                self._report(f"{outcome.name}: no {machine_type} in {zone}, looking further")
                continue
            if found is None:
                return
            outcome.document = found
            self._await_checks(outcome)
            return
        outcome.result = "failed"
        outcome.reason = f"{outcome.name}: no zone has room for it: {'; '.join(outcome.answers)}"

    def _insert(self, outcome: Outcome, zone: str, machine_type: str) -> Document | None:
        reference = f"zones/{zone}/instances/{outcome.name}"
        try:
            change = self._submit(outcome, zone, machine_type)
        except AlreadyExistsError as error:
            # Another run was faster, an earlier one never heard the answer, or it is the disk.
            found = self._compute.find(reference)
            if found is None:
                raise CloudError(
                    f"{error.sentence}: it is no instance, so delete it, or choose another name"
                ) from error
            self._adjust(outcome, found)
            return None
        if change is None:
            return None
        outcome.made = True
        try:
            change.finish(self._left())
        except OperationError:
            outcome.made = False  # Google takes back what an insert has half made
            raise
        outcome.passed("api")
        document = self._await_running({"selfLink": reference})
        outcome.passed("running")
        outcome.result = "made"
        self._report(
            f"{outcome.name}: RUNNING after {outcome.seconds['running']:.1f} s in {zone}, "
            f"{address_of(document)}"
        )
        return document

    def _submit(self, outcome: Outcome, zone: str, machine_type: str) -> PendingChange | None:
        """Ask for an instance; None where it must not be asked for."""
        body = self._spec.body(outcome.name, zone, machine_type)
        with self._submitting:
            if self._verdict:
                outcome.result = "skipped"
                outcome.reason = f"{outcome.name}: not begun, since another failed: {self._verdict}"
                return None
            outcome.begin()
            return self._compute.begin("POST", f"zones/{zone}/instances", body=body)

    def _await_running(self, instance: Document) -> Document:
        reference = self._reference(instance)
        while True:
            document = self._compute.get(reference)
            if document["status"] == "RUNNING":
                return document
            if document["status"] not in _UNDER_WAY:
                raise CloudError(f"{document['name']} is {document['status']} as soon as made")
            if not self._left():
                raise DeadlineError(f"{document['name']} is still {document['status']}")
            time.sleep(_STATUS_INTERVAL)

    def _await_checks(self, outcome: Outcome) -> None:
        address = address_of(outcome.document)
        for check in self._checks:
            if not await_answer(check, address, self._until):
                outcome.result = "failed"
                outcome.reason = (
                    f"{outcome.name} is RUNNING at {address} and its {check.name} (port "
                    f"{check.port}) did not answer in time: look at its serial output, and whether "
                    "a firewall rule opens the port"
                )
                return
            if outcome.began is not None:
                outcome.passed(check.name)
                taken = outcome.seconds[check.name]
                self._report(f"{outcome.name}: {check.name} after {taken:.1f} s")

    def _delete(self, instance: Document) -> None:
        try:
            with self._submitting:
                change = self._compute.begin("DELETE", self._reference(instance))
        except NotFoundError:
            return  # somebody else was faster
        change.finish(self._left())

    def _stop_the_others(self, error: CloudError) -> None:
        if _concerns_all(error):
            self._verdict = self._verdict or error.sentence

    def _reference(self, instance: Document) -> str:
        return inside_project(instance["selfLink"], self._compute.project)

    def _left(self) -> float:
        return max(0.0, self._until - time.monotonic())


def find_existing(
    compute: Compute, names: Sequence[str], zones: Sequence[str]
) -> dict[str, Document]:
    """Read those instances that exist, in the first of the zones that has one of that name.

    A list for each zone and so many names, filtered by the service:
    https://cloud.google.com/compute/docs/reference/rest/v1/instances/list (`eq` takes an RE2).
    """
    found: dict[str, Document] = {}
    asked = [names[start : start + _NAMES_ASKED] for start in range(0, len(names), _NAMES_ASKED)]
    for zone, some in product(zones, asked):
        wanted = f'name eq "{"|".join(some)}"'
        for instance in compute.list_items(f"zones/{zone}/instances", filter=wanted):
            found.setdefault(resource_name(instance["selfLink"]), instance)
    return found


def _out_of_stock(error: CloudError) -> bool:
    if isinstance(error, OperationError):
        return error.code in _OUT_OF_STOCK
    return isinstance(error, ApiError) and error.reason in _OUT_OF_STOCK


def _concerns_all(error: CloudError) -> bool:
    """Whether every other instance would meet the same refusal."""
    if isinstance(error, OperationError):
        return error.code in {"QUOTA_EXCEEDED", "PERMISSIONS_ERROR"}
    kinds = (QuotaError, PermissionDeniedError, ServiceDisabledError, CredentialsError)
    return isinstance(error, kinds)
