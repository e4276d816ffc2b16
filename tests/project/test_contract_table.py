# SPDX-License-Identifier: GPL-3.0-or-later
"""The contract table says what the tests found, and a run that found otherwise is told so."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.contract.clients import CLIENTS, client_of
from tests.contract.table import KEPT, Answers, calls, differences, results

GET = ["apache-libcloud", "proxy", "compute.zones.get"]
LIST = ["apache-libcloud", "proxy", "compute.zones.list"]


@pytest.mark.parametrize(
    ("agent", "client"),
    [
        ("cred-type/sa Google-Ansible-MM-compute", "google.cloud"),
        ("Google-Ansible-MM-object gcloud-python/3.17.1 gccl/3.17.1", "google.cloud"),
        ("google-cloud-sdk gcloud/528.0.0 command/gcloud.compute.instances.list", "gcloud"),
        ("libcloud/3.9.1 (Google Compute Engine)", "apache-libcloud"),
        ("gl-python/3.11.7 gccl/3.17.1 gcloud-python/3.17.1", "google-cloud-storage"),
        ("gl-python/3.11.7 rest/2.34 gax/2.44 gapic/1.57.0", "google-cloud-compute"),
        ("gdcl/2.202.0 gl-python/3.11.7", "google-api-python-client"),
        ("cred-type/sa python-requests/2.34.2", None),
    ],
)
def test_clients_are_known_by_what_they_say_of_themselves(agent: str, client: str | None) -> None:
    assert client_of(agent) == client


def test_a_call_is_told_with_the_way_that_it_came() -> None:
    agent = "libcloud/3.9.1"
    proxied = {
        "agent": agent,
        "origin": "https://compute.googleapis.com",
        "method": "compute.zones.get",
    }
    direct = proxied | {"origin": "http://127.0.0.1:8460"}
    other = proxied | {"agent": "curl"}
    assert calls([proxied, direct, other, proxied]) == [
        ["apache-libcloud", "endpoint", "compute.zones.get"],
        ["apache-libcloud", "proxy", "compute.zones.get"],
    ]


def test_answers_are_read_on_whole_lines_only(tmp_path: Path) -> None:
    file = tmp_path / "answers"
    answers = Answers(file)
    assert answers.more() == []
    file.write_text('{"a": 1}\n{"a"')
    assert answers.more() == [{"a": 1}]
    with file.open("a") as rest:
        rest.write(": 2}\n")
    assert answers.more() == [{"a": 2}]


def test_one_failed_test_fails_a_method() -> None:
    found = results([(False, [GET, LIST]), (True, [GET]), (False, [GET])])
    assert found == {
        "apache-libcloud": {
            "ways": ["proxy"],
            "methods": {"compute.zones.get": "fail", "compute.zones.list": "pass"},
        }
    }


def test_a_run_differs_in_what_is_new_or_failed_and_a_complete_one_in_what_is_gone() -> None:
    kept = results([(False, [GET, LIST])])
    assert differences(kept, kept, complete=True) == []
    failed = differences(kept, results([(True, [GET])]), complete=False)
    assert failed == ["apache-libcloud, compute.zones.get: fail, where pass is kept"]
    gone = differences(kept, results([(False, [GET])]), complete=True)
    assert gone == ["apache-libcloud, compute.zones.list: no test calls it any more"]
    assert len(differences({}, kept, complete=False)) == 3, "two methods and a way"


def test_whether_a_client_had_to_wait_makes_no_difference() -> None:
    wait = ["apache-libcloud", "proxy", "compute.zoneOperations.wait"]
    fast, slow = results([(False, [GET])]), results([(False, [GET, wait])])
    assert differences(fast, slow, complete=True) == differences(slow, fast, complete=True) == []
    failed = results([(False, [GET]), (True, [wait])])
    assert differences(slow, failed, complete=True), "but a wait that fails does"


def test_a_client_that_did_not_run_stays_as_it_is_kept() -> None:
    assert differences(results([(False, [GET])]), {}, complete=True) == []


def test_every_client_passed_whatever_is_kept_of_it() -> None:
    kept = json.loads(KEPT.read_text())
    assert list(kept) == sorted(client.name for client in CLIENTS)
    failed = {
        (name, method)
        for name, its in kept.items()
        for method, verdict in its["methods"].items()
        if verdict != "pass"
    }
    assert not failed


def test_every_cell_of_the_table_says_something() -> None:
    """A method that a client offers is called by a test, or clients.py says why it cannot be."""
    page = KEPT.with_name("fidelity.md").read_text()
    _, _, table = page.partition("<!-- clients: generated")
    head, _, *rows = (
        [cell.strip() for cell in line.strip("|").split("|")]
        for line in table.splitlines()
        if line.startswith("|")
    )
    assert len(rows) > 50
    blank = [
        f"{resource}.{methods}: {client}"
        for resource, methods, *cells in rows
        for client, cell in zip(head[2:], cells, strict=True)
        if not cell
    ]
    assert blank == []
