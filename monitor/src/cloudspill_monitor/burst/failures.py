# SPDX-License-Identifier: GPL-3.0-or-later
"""What kind of failure a sentence tells of, and what to do about each kind.

Playbooks, ssh, Google's API and the keeper say what went wrong in words; Google's codes are in them
(https://cloud.google.com/compute/docs/troubleshooting/troubleshooting-resource-availability,
https://cloud.google.com/compute/resource-usage#quotas_and_error_messages).
"""

from __future__ import annotations

import re
from enum import StrEnum


class FailureKind(StrEnum):
    """The kinds of failure that an operator acts upon differently."""

    STOCK_OUT = "stock-out"
    QUOTA = "quota"
    PERMISSION = "permission"
    BOOT_FAILURE = "boot-failure"
    SSH_REFUSED = "ssh-refused"
    PREEMPTED = "preempted"
    TIMEOUT = "timeout"
    DISK_FULL_THERE = "disk-full-there"
    DISK_FULL_HERE = "disk-full-here"
    NAME_TAKEN = "name-taken"
    CREDENTIALS = "credentials"
    INVENTORY = "inventory"
    KEEPER = "keeper"
    LOST = "lost"
    PLAYBOOK = "playbook"


# The first that matches counts: what is more exact stands first.
_SIGNS: tuple[tuple[FailureKind, str], ...] = (
    (
        FailureKind.NAME_TAKEN,
        r"name .{0,80}(is )?taken|alreadyExists|not (made|marked) by|stranger",
    ),
    (
        FailureKind.STOCK_OUT,
        r"ZONE_RESOURCE_POOL_EXHAUSTED|resource_?pool_?exhausted|stockout|out of stock"
        r"|does not have enough resources",
    ),
    (
        FailureKind.QUOTA,
        r"QUOTA_EXCEEDED|quotaExceeded|rateLimitExceeded|RESOURCE_EXHAUSTED"
        r"|exceeded (the )?limit|Quota '|quota exceeded",
    ),
    (
        FailureKind.CREDENTIALS,
        r"invalid_grant|invalid_client|could not automatically determine credentials"
        r"|default credentials|RefreshError|UNAUTHENTICATED|invalid (authentication )?credentials"
        r"|service account key|key file|\b401\b",
    ),
    (FailureKind.PREEMPTED, r"preempted"),
    (
        FailureKind.SSH_REFUSED,
        r"via ssh|host key verification failed|permission denied \(publickey|kex_exchange"
        r"|ssh .{0,60}(refused|timed out|no login)|no ssh login|ssh: |login .{0,40}refused",
    ),
    (
        FailureKind.PERMISSION,
        r"PERMISSION_DENIED|PERMISSIONS_ERROR|required '[a-z.]+' permission|permission 'compute\."
        r"|\bforbidden\b|iam\.serviceAccounts\.actAs|\b403\b|not authorized",
    ),
    (
        FailureKind.DISK_FULL_HERE,
        r"disk-full-here|cannot be (packed|kept) here|no space .{0,20}here"
        r"|could not be run here: .*no space left",
    ),
    (
        FailureKind.DISK_FULL_THERE,
        r"no-space|no space|disk (is )?full|ENOSPC|disk quota exceeded",
    ),
    (
        FailureKind.BOOT_FAILURE,
        r"did not (boot|come up|start up)|boot fail|serial (console|output|port)|kernel panic",
    ),
    (
        FailureKind.INVENTORY,
        r"inventory|no hosts matched|environment\.json|is not in the inventory",
    ),
    (FailureKind.KEEPER, r"keeper|cloudspill-burst|\bfenced\b"),
    (FailureKind.TIMEOUT, r"was ended after \S+ s|timed out|time-?out|deadline"),
    (FailureKind.LOST, r"lease (is|was) over|was deleted meanwhile|does not exist any ?more"),
)
_COMPILED = tuple((kind, re.compile(signs, re.IGNORECASE)) for kind, signs in _SIGNS)

_ADVICE = {
    FailureKind.STOCK_OUT: "name more zones or machine types in burst.zones and "
    "burst.machine_types, so that there is something to fall back to",
    FailureKind.QUOTA: "ask Google for more quota, free some, or name a machine type or region "
    "with quota left",
    FailureKind.PERMISSION: "grant the permission that is named to the account of the playbooks, "
    "or run the playbook project_setup",
    FailureKind.BOOT_FAILURE: "read the VM's serial output above; check burst.image_family and "
    "what the startup script needs",
    FailureKind.SSH_REFUSED: "see that a firewall rule admits ssh from here, and that no policy of "
    "the organization forbids keys in metadata",
    FailureKind.PREEMPTED: "nothing need be done: the tasks came home; set burst.spot to false if "
    "that happens too often",
    FailureKind.TIMEOUT: "raise burst.playbook_timeout if the cloud is that slow; otherwise look "
    "at the step that is named",
    FailureKind.DISK_FULL_THERE: "raise burst.disk_size_gb, or let the task write less",
    FailureKind.DISK_FULL_HERE: "make room on this machine's disk: the tasks go on where they are",
    FailureKind.NAME_TAKEN: "something else has the VM's name, and is left alone: set another "
    "burst.name_prefix, or remove it yourself",
    FailureKind.CREDENTIALS: "see that the key file or login that the inventory names exists and "
    "is valid, and that the clock of this machine is right",
    FailureKind.INVENTORY: "see that burst.inventory can be read and its target runs "
    "(ansible-inventory -i INVENTORY --list tells)",
    FailureKind.KEEPER: "read the VM's journal (journalctl -u cloudspill-burst): its keeper did "
    "not do what it was asked",
    FailureKind.LOST: "nothing need be done: the tasks went on from what was fetched last",
    FailureKind.PLAYBOOK: "read the playbook's output, in state_dir/ansible/artifacts",
}


def classify(text: str) -> FailureKind:
    """The kind of failure that `text` tells of; PLAYBOOK when it names nothing that is known."""
    found = (kind for kind, signs in _COMPILED if signs.search(text))
    return next(found, FailureKind.PLAYBOOK)


def advice(kind: FailureKind) -> str:
    """What an operator can do about it, in one sentence without a full stop."""
    return _ADVICE[kind]
