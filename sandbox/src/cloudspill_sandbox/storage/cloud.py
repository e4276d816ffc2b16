# SPDX-License-Identifier: GPL-3.0-or-later
"""What the handlers of Cloud Storage work on; they hold no state themselves."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field

from cloudspill_sandbox.engine.access import Permissions
from cloudspill_sandbox.engine.call import Call, Document, Reply
from cloudspill_sandbox.engine.store import Store
from cloudspill_sandbox.storage.access_control import Project, Projects
from cloudspill_sandbox.storage.blobs import Blobs
from cloudspill_sandbox.storage.generations import Generations
from cloudspill_sandbox.storage.interface import AllowPolicies
from cloudspill_sandbox.storage.keyed_locks import KeyedLocks


@dataclass(frozen=True, slots=True)
class StorageCloud:
    """The buckets of a sandbox and what is in them.

    Attributes:
        store: every document.
        blobs: the bytes of objects.
        generations: numbers new versions of objects.
        clock: returns seconds since the epoch.
        project: the one that a call is about: its bucket's, or the one that it names.
        projects: all of them.
        policies: allow policies of buckets.
        permissions: answers whether somebody may do something.
        uploads: locks of the resumable uploads that a request is writing to.
    """

    store: Store
    blobs: Blobs
    generations: Generations
    clock: Callable[[], float]
    project: Project
    policies: AllowPolicies
    permissions: Permissions
    projects: Projects = field(default_factory=dict)
    uploads: KeyedLocks = field(default_factory=KeyedLocks)


StorageHandler = Callable[[StorageCloud, Call], Awaitable[Document | Reply]]
Methods = Mapping[str, StorageHandler]
"""Handlers by the last part of their method's id: `insert`, `getIamPolicy`."""
