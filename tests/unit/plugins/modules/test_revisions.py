# SPDX-License-Identifier: GPL-3.0-or-later
"""Tags, labels and metadata: changed under their fingerprint, and only where they differ."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest
from ansible_collections.cloudspill.gcp.plugins.module_utils.api_errors import (
    NotFoundError,
    PreconditionError,
)
from ansible_collections.cloudspill.gcp.plugins.module_utils.compute import Compute
from ansible_collections.cloudspill.gcp.plugins.module_utils.instance_changes import items_of
from ansible_collections.cloudspill.gcp.plugins.modules import gce_labels, gce_metadata, gce_tags

INSTANCE = "zones/z/instances/a"


def change(compute: Compute, module: Any, *, check_mode: bool = False, **options: Any) -> Any:
    """Run a module's own work on a client, with the options that it would have."""
    defaults = {"instance": "a", "zone": "z", "state": "present", "timeout": 60}
    given = SimpleNamespace(params={**defaults, **options}, check_mode=check_mode)
    return module.run(given, compute)


def with_tags(google: Any, *tags: str) -> Any:
    return google.add(INSTANCE, tags={"items": list(tags), "fingerprint": "f1"})


@pytest.mark.parametrize(
    ("state", "after"),
    [("present", ["http", "ssh"]), ("absent", ["ssh"]), ("exact", ["http"])],
)
def test_tags_end_as_the_state_asks(
    google: Any, compute: Compute, state: str, after: list[str]
) -> None:
    instance = with_tags(google, "ssh", *(["http"] if state == "absent" else []))
    result = change(compute, gce_tags, tags=["http"], state=state)
    assert result["changed"]
    assert result["tags"] == instance["tags"]["items"] == after


def test_tags_that_are_as_wanted_cause_no_change(google: Any, compute: Compute) -> None:
    with_tags(google, "ssh", "http")
    result = change(compute, gce_tags, tags=["http", "ssh"])
    assert not result["changed"]
    assert [request.method for request in google.requests] == ["GET"]


def test_check_mode_tells_the_tags_and_changes_none(google: Any, compute: Compute) -> None:
    instance = with_tags(google, "ssh")
    result = change(compute, gce_tags, tags=["http"], check_mode=True)
    assert result["diff"] == {"before": {"tags": ["ssh"]}, "after": {"tags": ["http", "ssh"]}}
    assert instance["tags"]["items"] == ["ssh"]


def test_a_tag_that_somebody_else_sets_meanwhile_is_not_lost(google: Any, compute: Compute) -> None:
    instance = with_tags(google, "ssh")

    def somebody_else() -> None:
        google.before_change = None
        instance["tags"] = {"items": ["ssh", "theirs"], "fingerprint": "f2"}

    google.before_change = somebody_else
    assert change(compute, gce_tags, tags=["ours"])["tags"] == ["ours", "ssh", "theirs"]


def test_a_change_whose_answer_is_lost_is_a_change(google: Any, compute: Compute) -> None:
    instance = with_tags(google, "ssh")

    def done_but_not_told() -> None:
        google.before_change = None
        instance["tags"] = {"items": ["ours", "ssh"], "fingerprint": "f2"}

    google.before_change = done_but_not_told
    result = change(compute, gce_tags, tags=["ours"])
    assert (result["changed"], result["tags"]) == (True, ["ours", "ssh"])


def test_a_change_under_a_fingerprint_needs_no_request_id(google: Any, compute: Compute) -> None:
    """The methods setLabels of images and snapshots take none."""
    google.add("global/images/base", labelFingerprint="f1")
    change(compute, gce_labels, resources=["global/images/base"], labels={"a": "b"})
    assert google.requests[-1].query == {}


def test_a_resource_that_never_rests_is_given_up(google: Any, compute: Compute) -> None:
    instance = with_tags(google, "ssh")
    fingerprints = iter(range(100))

    def somebody_else() -> None:
        instance["tags"] = {"items": ["ssh"], "fingerprint": f"g{next(fingerprints)}"}

    google.before_change = somebody_else
    with pytest.raises(PreconditionError, match="run again"):
        change(compute, gce_tags, tags=["ours"])


def test_tags_of_an_absent_instance_are_an_error_that_names_it(compute: Compute) -> None:
    with pytest.raises(NotFoundError, match=INSTANCE):
        change(compute, gce_tags, tags=["http"])


def test_labels_are_added_and_others_stay(google: Any, compute: Compute) -> None:
    instance = google.add(INSTANCE, labels={"team": "a"}, labelFingerprint="f1")
    disk = google.add("zones/z/disks/a")
    result = change(
        compute,
        gce_labels,
        resources=[INSTANCE, disk["selfLink"]],
        labels={"cloudspill-run": "default"},
    )
    assert result["labelled"] == [INSTANCE, disk["selfLink"]]
    assert instance["labels"] == {"team": "a", "cloudspill-run": "default"}
    assert disk["labels"] == {"cloudspill-run": "default"}


def test_labels_that_are_there_cause_no_change(google: Any, compute: Compute) -> None:
    google.add(INSTANCE, labels={"team": "a", "size": "3"}, labelFingerprint="f1")
    result = change(compute, gce_labels, resources=[INSTANCE], labels={"size": 3})
    assert not result["changed"]


def test_metadata_are_set_and_removed_and_others_stay(google: Any, compute: Compute) -> None:
    items = [{"key": "keep", "value": "1"}, {"key": "old", "value": "2"}]
    instance = google.add(INSTANCE, metadata={"items": items, "fingerprint": "f1"})
    result = change(compute, gce_metadata, metadata={"new": "3", "old": None, "keep": "1"})
    assert result["keys"] == ["new", "old"]
    assert items_of(instance) == {"keep": "1", "new": "3"}


def test_metadata_that_are_as_wanted_cause_no_change(google: Any, compute: Compute) -> None:
    items = [{"key": "keep", "value": "1"}]
    google.add(INSTANCE, metadata={"items": items, "fingerprint": "f1"})
    assert not change(compute, gce_metadata, metadata={"keep": 1, "gone": None})["changed"]


def test_the_difference_of_metadata_shows_no_value(google: Any, compute: Compute) -> None:
    google.add(INSTANCE, metadata={"fingerprint": "f1"})
    result = change(compute, gce_metadata, metadata={"password": "secret"}, check_mode=True)
    assert result["changed"]
    assert "secret" not in str(result)


OURS = "cloudspill:ssh-ed25519 AAAA cloudspill"
THEIRS = "ada:ssh-rsa BBBB ada@laptop"


def with_ssh_keys(google: Any, value: str) -> Any:
    items = [{"key": "ssh-keys", "value": value}]
    return google.add(INSTANCE, metadata={"items": items, "fingerprint": "f1"})


def test_an_ssh_key_is_added_and_the_keys_of_others_stay(google: Any, compute: Compute) -> None:
    instance = with_ssh_keys(google, THEIRS)
    assert change(compute, gce_metadata, metadata={"ssh-keys": OURS})["changed"]
    assert items_of(instance) == {"ssh-keys": f"{THEIRS}\n{OURS}"}


@pytest.mark.parametrize("value", [f"{OURS}\n{THEIRS}", f"{THEIRS}\n\n{OURS}\n"])
def test_an_ssh_key_that_is_among_others_causes_no_change(
    google: Any, compute: Compute, value: str
) -> None:
    with_ssh_keys(google, value)
    result = change(compute, gce_metadata, metadata={"ssh-keys": OURS})
    assert (result["changed"], result["keys"]) == (False, [])
    assert [request.method for request in google.requests] == ["GET"]


def test_check_mode_shows_the_ssh_key_that_is_added_and_no_other(
    google: Any, compute: Compute
) -> None:
    instance = with_ssh_keys(google, THEIRS)
    wanted = {"ssh-keys": f"{THEIRS}\n{OURS}"}
    result = change(compute, gce_metadata, metadata=wanted, check_mode=True)
    assert result["diff"] == {"before": {"ssh-keys": []}, "after": {"ssh-keys": [OURS]}}
    assert items_of(instance) == {"ssh-keys": THEIRS}


def test_an_ssh_key_that_somebody_adds_meanwhile_is_not_lost(google: Any, compute: Compute) -> None:
    instance = with_ssh_keys(google, "")

    def somebody_else() -> None:
        google.before_change = None
        items = [{"key": "ssh-keys", "value": THEIRS}]
        instance["metadata"] = {"items": items, "fingerprint": "f2"}

    google.before_change = somebody_else
    change(compute, gce_metadata, metadata={"ssh-keys": OURS})
    assert items_of(instance) == {"ssh-keys": f"{THEIRS}\n{OURS}"}


def test_all_ssh_keys_go_when_the_key_is_removed(google: Any, compute: Compute) -> None:
    instance = with_ssh_keys(google, THEIRS)
    change(compute, gce_metadata, metadata={"ssh-keys": None})
    assert items_of(instance) == {}
