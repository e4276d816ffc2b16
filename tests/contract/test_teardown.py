# SPDX-License-Identifier: GPL-3.0-or-later
"""Teardown takes what carries the mark of its run, of every kind, and nothing else."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest

from .faults import Faults
from .plays import Plays
from .rest import Rest
from .target import Target

Named = Callable[[str], str]


@pytest.fixture(scope="module")
def owner(target: Target, tmp_path_factory: pytest.TempPathFactory) -> Plays:
    """Runs playbooks as an owner of the project."""
    return Plays(target, tmp_path_factory.mktemp("home"), target.key_file)


@pytest.fixture
def mark(named: Named) -> dict[str, str]:
    """Labels of a run that no other test has."""
    return {"cloudspill-run": named("run"), "cloudspill-owner": "contract"}


@pytest.fixture
def buckets(target: Target, named: Named, mark: dict[str, str]) -> Iterator[list[Any]]:
    """A bucket of the run, with versions of an object, and one of another run."""
    from google.cloud import storage

    client = storage.Client(project=target.project)
    made = [client.bucket(named("ours")), client.bucket(named("theirs"))]
    try:
        for bucket, labels in zip(made, (mark, mark | {"cloudspill-run": "other"}), strict=True):
            bucket.versioning_enabled = True
            bucket.labels = labels
            bucket.create(location=target.region)
            for content in ("first", "second"):
                bucket.blob("a/file").upload_from_string(content)
        yield made
    finally:
        for bucket in made:
            if bucket.exists():
                for version in bucket.list_blobs(versions=True):
                    version.delete()
                bucket.delete()
        client.close()


def test_all_kinds_of_a_run_go_and_others_stay(
    owner: Plays,
    rest: Rest,
    named: Named,
    mark: dict[str, str],
    buckets: list[Any],
) -> None:
    ours, theirs = named("ours"), named("theirs")
    for name, labels in ((ours, mark), (theirs, {"cloudspill-run": mark["cloudspill-run"]})):
        rest.done("POST", f"zones/{rest.zone}/instances", rest.instance(name, labels=labels))
        address = {"name": name, "labels": labels}
        rest.done("POST", f"regions/{rest.region}/addresses", address)
    variables = {"cloudspill_run": mark["cloudspill-run"], "cloudspill_owner": "contract"}
    gone = [
        f"zones/{rest.zone}/instances/{ours}",
        f"regions/{rest.region}/addresses/{ours}",
        f"gs://{buckets[0].name}",
    ]
    foretold = owner.run("teardown.yml", "--check", **variables)
    assert foretold.status == 0, foretold.output
    for reference in gone:
        assert f"would delete {reference}" in foretold.output
    assert all(bucket.exists() for bucket in buckets)
    done = owner.run("teardown.yml", **variables)
    assert done.status == 0, done.output
    for reference in gone:
        assert f"deleted {reference}" in done.output
    assert theirs not in done.output
    assert [bucket.exists() for bucket in buckets] == [False, True]
    assert rest.call("GET", gone[0]).status_code == 404
    assert rest.call("GET", gone[1]).status_code == 404
    assert rest.get(f"zones/{rest.zone}/instances/{theirs}")["status"] == "RUNNING"
    again = owner.run("teardown.yml", **variables)
    assert (again.status, again.changed) == (0, 0), again.output


def test_what_an_interrupted_run_is_still_copying_is_waited_for(
    owner: Plays, rest: Rest, named: Named, mark: dict[str, str], faults: Faults
) -> None:
    name = named("vm")
    rest.done("POST", f"zones/{rest.zone}/instances", rest.instance(name, labels=mark))
    faults.add("operation-slow", method="compute.disks.createSnapshot", step="upload", delay=4)
    body = {"name": name, "labels": mark}
    assert rest.call("POST", f"zones/{rest.zone}/disks/{name}/createSnapshot", body).ok
    done = owner.run(
        "teardown.yml", cloudspill_run=mark["cloudspill-run"], cloudspill_owner="contract"
    )
    assert done.status == 0, done.output
    assert rest.call("GET", f"global/snapshots/{name}").status_code == 404
    assert rest.call("GET", f"zones/{rest.zone}/instances/{name}").status_code == 404
