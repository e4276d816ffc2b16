# SPDX-License-Identifier: GPL-3.0-or-later
"""Failures are told apart by what playbooks, ssh, Google's API and the keeper say."""

from __future__ import annotations

import pytest

from cloudspill_monitor.burst.failures import FailureKind, advice, classify

SENTENCES = {
    "burst-3f2a9c-1: The zone 'projects/p/zones/us-west1-b' does not have enough resources "
    "available to fulfill the request (ZONE_RESOURCE_POOL_EXHAUSTED)": "stock-out",
    "ZONE_RESOURCE_POOL_EXHAUSTED_WITH_DETAILS: try another zone": "stock-out",
    "Quota 'CPUS' exceeded.  Limit: 8.0 in region us-west1 (QUOTA_EXCEEDED)": "quota",
    "POST projects/p/zones/z/instances: quota exceeded (quotaExceeded); free resources": "quota",
    "POST projects/p/…: Required 'compute.instances.create' permission for 'p' (forbidden)": (
        "permission"
    ),
    "the credentials lack compute.instances.setMetadata on burst-1": "permission",
    "The user does not have access to service account 'cloudspill-burst@p'": "permission",
    "GET …/zones: HTTP 403": "permission",
    "burst-3f2a9c-403 did not come up: it is STOPPING; its last serial lines:\nquota, preempted,"
    " no space left, ssh: \n; it is deleted": "boot-failure",
    "burst-1 is RUNNING at 198.18.0.3 and its ssh (port 22) did not answer in time: refused; its "
    "last serial lines:\\n x": "boot-failure",
    "burst-1 is TERMINATED as soon as made; it is deleted": "boot-failure",
    "burst-1 is still PROVISIONING": "boot-failure",
    "burst-1 exists and does not carry the mark of run default of local": "name-taken",
    "the keeper of burst-1 has heard nothing from the monitor: the stream is down": "keeper",
    "the keeper of burst-3f2a9c-1 does not answer: timed out; its last serial lines:\n": (
        "boot-failure"
    ),
    "burst-3f2a9c-1 does not let us in by ssh: Connection refused; its last serial lines:\nx": (
        "ssh-refused"
    ),
    "burst-1: Failed to connect to the host via ssh: ssh: connect to host 198.18.0.3 port 22: "
    "Connection timed out": "ssh-refused",
    "Permission denied (publickey).": "ssh-refused",
    "burst-3f2a9c-1 was preempted before its tasks were there": "preempted",
    "scale_out was ended after 600 s, at: wait for a login (burst-3f2a9c-1)": "timeout",
    "no space left on burst-3f2a9c-1: 120 MB are needed": "disk-full-there",
    "the keeper of burst-1 refuses Task 3: [Errno 28] No space left on device (no-space)": (
        "disk-full-there"
    ),
    "no space left here: 12 MB are needed for the checkpoint": "disk-full-here",
    "Task 3 goes on here, its checkpoint cannot be packed here: No space left on device": (
        "disk-full-here"
    ),
    "the playbook could not be run here: [Errno 28] No space left on device: 'x'": (
        "disk-full-here"
    ),
    "burst-3f2a9c-1 is taken: an instance of that name is not this run's": "name-taken",
    "the resource 'burst-1' already exists (alreadyExists)": "name-taken",
    "cannot read the key file /home/me/key.json: No such file or directory": "credentials",
    "key.json is no service-account key (token_uri missing): download it again": "credentials",
    "no application default credentials: set GCP_SERVICE_ACCOUNT_FILE": "credentials",
    "POST token: invalid_grant: Invalid JWT Signature": "credentials",
    "burst-3f2a9c-1 is not in the inventory: it shows what has the label x": "inventory",
    "there is no /run/cloudspill/cloudspill/environment.json; start the target that the inventory "
    "names": "inventory",
    "the keeper of burst-1 refuses Task 3: it is fenced (fenced)": "keeper",
    "the connection to burst-3f2a9c-1 broke while its answer was awaited": "lost",
    "couldn't resolve module/action 'foo'": "playbook",
    "ansible-playbook was killed": "playbook",
}


@pytest.mark.parametrize(("sentence", "kind"), SENTENCES.items())
def test_a_failure_is_known_by_its_sentence(sentence: str, kind: str) -> None:
    assert classify(sentence) == kind


def test_each_kind_comes_with_one_sentence_of_advice() -> None:
    for kind in FailureKind:
        assert 20 < len(advice(kind)) < 200
        assert not advice(kind).endswith(".")


def test_no_kind_is_without_a_sentence() -> None:
    assert set(SENTENCES.values()) == set(FailureKind)
