# SPDX-License-Identifier: GPL-3.0-or-later
"""What part 3 refuses before it asks Google for anything."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from ..conftest import Run

Key = Callable[..., str]


@pytest.fixture
def key(tmp_path: Path) -> Key:
    """Write a key file with a mode and return its path."""

    def write(content: str, mode: int = 0o600) -> str:
        path = tmp_path / "key.json"
        path.write_text(content)
        path.chmod(mode)
        return str(path)

    return write


def test_every_variable_that_does_not_hold_is_named_at_once(play: Run) -> None:
    done = play(
        "part3.yml",
        bucket_bootstrap_bucket="My.Bucket",
        bucket_bootstrap_launcher="Me",
        bucket_bootstrap_instance="Me",
        bucket_bootstrap_lifetime_days=0,
        bucket_bootstrap_startup_script_file="/none",
        bucket_bootstrap_metadata={"startup-script": "x"},
        bucket_bootstrap_tags=["ok", "No"],
        bucket_bootstrap_credentials="key_file",
    )
    assert done.returncode != 0
    for sentence in (
        "set bucket_bootstrap_bucket (My.Bucket) to 3",
        "set bucket_bootstrap_launcher (Me) to at most 63",
        "set bucket_bootstrap_instance (Me) to at most 63",
        "to two names: both are Me",
        "set bucket_bootstrap_lifetime_days (0) to 1",
        "to a file that exists: /none does not",
        "instead of startup-script in bucket_bootstrap_metadata",
        "set bucket_bootstrap_tags (No) to at most",
        "set bucket_bootstrap_key_file to the path",
    ):
        assert sentence in done.stdout + done.stderr
    assert "Read the" not in done.stdout, "the first task that needs credentials"


@pytest.mark.parametrize(
    ("variables", "sentence"),
    [
        ({"bucket_bootstrap_bucket": "my-google-1"}, "without `google`"),
        ({"cloudspill_run": "r" * 60}, "set bucket_bootstrap_bucket (cloudspill-rrr"),
    ],
    ids=["google", "long"],
)
def test_a_name_that_no_bucket_can_have_is_refused(
    play: Run, variables: dict[str, object], sentence: str
) -> None:
    done = play("part3.yml", **variables)
    assert done.returncode != 0
    assert sentence in done.stdout + done.stderr


def test_a_key_that_everybody_can_read_is_refused_with_the_chmod_to_run(
    play: Run, key: Key
) -> None:
    path = key("{}", 0o644)
    done = by_key(play, path)
    assert f"can be read by everybody (mode 0644): run `chmod 600 {path}`" in done


@pytest.mark.parametrize(
    ("content", "sentence"),
    [
        ("{", "is no JSON: download the service account's key again"),
        ("{}", "is no service-account key (client_email, private_key, token_uri missing)"),
        (
            json.dumps({"client_email": "a@b", "private_key": "xyzzy", "token_uri": "https://t"}),
            "the private key of a@b is malformed",
        ),
    ],
    ids=["no JSON", "no key", "no private key"],
)
def test_a_malformed_key_is_refused_and_not_quoted(
    play: Run, key: Key, content: str, sentence: str
) -> None:
    done = by_key(play, key(content))
    assert sentence in done
    assert "xyzzy" not in done


def test_part_3_asks_google_when_all_variables_hold(play: Run) -> None:
    done = play("part3.yml")
    assert "Read the rule and its network" in done.stdout
    assert "no-key.json: No such file" in done.stdout


def by_key(play: Run, path: str) -> str:
    """Run part 3 with a key file; return what it said."""
    done = play(
        "part3.yml", bucket_bootstrap_credentials="key_file", bucket_bootstrap_key_file=path
    )
    assert done.returncode != 0
    assert "Read the" not in done.stdout, "the first task that needs credentials"
    return done.stdout + done.stderr
