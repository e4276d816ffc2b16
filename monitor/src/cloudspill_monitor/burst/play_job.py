# SPDX-License-Identifier: GPL-3.0-or-later
"""What the monitor and the process around a playbook say to each other."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, slots=True)
class Job:
    """One play: `program` is ansible-playbook's path, `directory` ansible-runner's private one.

    `ident` names its artefacts, `variables` are its extra variables.
    """

    playbook: str
    inventory: str
    program: str
    directory: str
    ident: str
    variables: dict[str, Any]


@dataclass(frozen=True, slots=True)
class Step:
    """A host begins a task."""

    task: str
    host: str


@dataclass(frozen=True, slots=True)
class End:
    """How a play ended: `failure` is None, or the reason in a sentence.

    `unreachable` says that a host could not be reached, `asked` that the cloud was asked for VMs;
    `cpu` is what all of the play's processes used, in seconds.
    """

    failure: str | None
    unreachable: bool
    asked: bool
    cpu: float
