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
_HTTP = r"(?:HTTP|status|code|error)\W{0,3}"
_SIGNS: tuple[tuple[FailureKind, str], ...] = (
    (FailureKind.NAME_TAKEN, r"\bis taken\b|does not carry the mark|alreadyExists"),
    (
        FailureKind.STOCK_OUT,
        r"RESOURCE_POOL_EXHAUSTED|stock-?out|does not have enough resources",
    ),
    (
        FailureKind.QUOTA,
        r"QUOTA_EXCEEDED|quotaExceeded|rateLimitExceeded|RESOURCE_EXHAUSTED|Quota '|quota exceeded",
    ),
    (
        FailureKind.CREDENTIALS,
        r"invalid_grant|invalid_client|default credentials|UNAUTHENTICATED"
        r"|invalid (authentication )?credentials|service.account.{1,3}key"
        r"|the (private )?key (of|file)|auth_kind|set (gcp|access)_|" + _HTTP + "401",
    ),
    (
        FailureKind.SSH_REFUSED,
        r"\b(by|via) ssh\b|\bssh: |host key verification failed|permission denied \(publickey"
        r"|kex_exchange",
    ),
    (
        FailureKind.PERMISSION,
        r"PERMISSION_DENIED|PERMISSIONS_ERROR|required '[\w.]+' permission|credentials lack"
        r"|does not have access to|iam\.serviceAccounts\.actAs|\(forbidden\)|" + _HTTP + "403",
    ),
    (
        FailureKind.DISK_FULL_HERE,
        r"no space left here|cannot be (packed|kept) here|could not be run here: .*no space left",
    ),
    (FailureKind.DISK_FULL_THERE, r"no[ -]space|ENOSPC|disk quota exceeded"),
    (FailureKind.PREEMPTED, r"preempted"),
    (
        FailureKind.BOOT_FAILURE,
        r"did not come up|did not answer in time|as soon as made|\bis still [A-Z]{3}"
        r"|keeper of \S+ does not answer",
    ),
    (FailureKind.KEEPER, r"\bkeeper\b|\(fenced\)"),
    (FailureKind.LOST, r"the connection to \S+ broke"),
    (
        FailureKind.INVENTORY,
        r"\binventory\b|environment\.json|no project: set GCP_PROJECT",
    ),
    (FailureKind.TIMEOUT, r"was ended after \S+ s|timed out|deadline|not done in time"),
)
_SERIAL_LINES = "its last serial lines:"
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
    # A VM's serial output follows some sentences, and may hold any word.
    sentence = text.partition(_SERIAL_LINES)[0]
    found = (kind for kind, signs in _COMPILED if signs.search(sentence))
    return next(found, FailureKind.PLAYBOOK)


def advice(kind: FailureKind) -> str:
    """What an operator can do about it, in one sentence without a full stop."""
    return _ADVICE[kind]
