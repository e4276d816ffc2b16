# SPDX-License-Identifier: GPL-3.0-or-later
# GNU General Public License v3.0+ (see https://www.gnu.org/licenses/gpl-3.0.txt)
"""The burst VMs of a run: found by their labels, read, deleted."""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from .api_errors import CloudError, NotFoundError
from .links import inside_project
from .ownership import Mark
from .serial_output import SerialOutput

if TYPE_CHECKING:
    from .compute import Compute, PendingChange

ROLE_LABEL = "cloudspill-role"
ROLE = "burst"
CONTROLLER_LABEL = "cloudspill-controller"

Document = dict[str, Any]


@dataclass(frozen=True, slots=True)
class BurstMachines:
    """The burst VMs that one run has in a project, in all zones.

    Attributes:
        compute: the client.
        mark: the mark of the run.
        controller: the id of their monitor; None for those of every monitor of the run.
    """

    compute: Compute
    mark: Mark
    controller: str | None = None

    def all(self) -> Iterator[Document]:
        """The documents of all of them."""
        wanted = f'{self.mark.label_filter()} (labels.{ROLE_LABEL} = "{ROLE}")'
        if self.controller is not None:
            wanted += f' (labels.{CONTROLLER_LABEL} = "{self.controller}")'
        return self.compute.list_aggregated("instances", filter=wanted)

    def reference(self, machine: Document) -> str:
        """`zones/ZONE/instances/NAME`."""
        return inside_project(machine["selfLink"], self.compute.project)

    def last_lines(self, machine: Document, count: int) -> list[str]:
        """What a VM wrote last on its serial console; empty where it cannot be read.

        https://cloud.google.com/compute/docs/troubleshooting/viewing-serial-port-output
        """
        output = SerialOutput(self.compute, self.reference(machine))
        try:
            output.read()
        except CloudError:
            return []  # it only explains a failure, and the failure is told in any case
        lines = [line.rstrip() for line in output.lines if line.strip()]
        return lines[-count:]

    def begin_deletion(self, machine: Document) -> PendingChange | None:
        """Ask for a VM's deletion; None where it is gone already.

        Another one that has its name by now is left alone.

        Raises:
            CloudError: it cannot be deleted.
        """
        reference = self.reference(machine)
        try:
            now = self.compute.get(reference, fields="id")
            if str(now.get("id")) != str(machine.get("id")):
                return None
            return self.compute.begin("DELETE", reference)
        except NotFoundError:
            return None

    def delete(self, documents: Iterable[Document], timeout: float) -> dict[str, str]:
        """Delete VMs side by side, and wait until they are gone.

        Args:
            timeout: seconds for all of them.

        Returns:
            by name, the sentence why one could not be deleted; empty for one that was.
        """
        answers: dict[str, str] = {}
        pending: list[tuple[str, PendingChange]] = []
        for document in documents:
            name = document["name"]
            try:
                change = self.begin_deletion(document)
            except CloudError as error:
                answers[name] = error.sentence
            else:
                pending += [(name, change)] if change else []
        until = time.monotonic() + timeout
        for name, change in pending:
            try:
                change.finish(max(0.0, until - time.monotonic()))
            except CloudError as error:
                answers[name] = error.sentence
            else:
                answers[name] = ""
        return answers
