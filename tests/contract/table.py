# SPDX-License-Identifier: GPL-3.0-or-later
"""The contract table, as the tests themselves find it: client, method, pass or fail.

The sandbox's witness tells which methods each client called (sandbox: engine/witness.py); a method
passes when it was answered in every test that called it, and none of those tests failed. The table
is kept in docs/contract.json and shown in docs/fidelity.md:

    CLOUDSPILL_CONTRACT_RECORD=1 .venv/bin/pytest tests/contract
    .venv/bin/python scripts/fidelity.py

A run that found anything else than what is kept fails, and says what. What a run did not try (a
client that is not installed, tests that were left out) stays as it is kept.
"""

from __future__ import annotations

import json
import os
import re
from collections import defaultdict
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import pytest

from .clients import CLIENTS, ENDPOINT, client_of

CALLS = "contract"
"""Name of the property by which a test tells its calls: [client, way, method]."""

KEPT = Path(__file__).parents[2] / "docs" / "contract.json"
RECORD = "CLOUDSPILL_CONTRACT_RECORD"

_POLLS = re.compile(r"operations\.(?:get|wait)$", re.IGNORECASE)
"""Whether a client asks for an operation depends on how fast the machine is that day."""

Results = dict[str, dict[str, Any]]
"""By client: `{"ways": ["proxy"], "methods": {"compute.zones.get": "pass"}}`."""


class Answers:
    """Reads on in what the witness writes."""

    def __init__(self, file: Path) -> None:
        self._file = file
        self._position = 0

    def more(self) -> list[dict[str, Any]]:
        """Return what was answered since the last time, one entry a call."""
        if not self._file.exists():
            return []
        with self._file.open("rb") as file:
            file.seek(self._position)
            lines = file.read().splitlines(keepends=True)
        whole = [line for line in lines if line.endswith(b"\n")]
        self._position += sum(map(len, whole))
        return [json.loads(line) for line in whole]


def calls(answers: Iterable[dict[str, Any]]) -> list[list[str]]:
    """Return [client, way, method] of the calls of clients that no one here wrote."""
    found = set()
    for answer in answers:
        if client := client_of(answer["agent"]):
            way = "endpoint" if answer["origin"].startswith(ENDPOINT) else "proxy"
            found.add((client, way, answer["method"]))
    return [list(each) for each in sorted(found)]


def results(tests: Iterable[tuple[bool, list[list[str]]]]) -> Results:
    """Return what tests found, each given as whether it failed and its calls."""
    ways: dict[str, set[str]] = defaultdict(set)
    methods: dict[str, dict[str, str]] = defaultdict(dict)
    for failed, its_calls in tests:
        for client, way, method in its_calls:
            ways[client].add(way)
            if methods[client].get(method) != "fail":
                methods[client][method] = "fail" if failed else "pass"
    return {c: {"ways": sorted(ways[c]), "methods": methods[c]} for c in methods}


def differences(kept: Results, found: Results, *, complete: bool) -> list[str]:
    """Return, as sentences, in what a run differs from what is kept.

    Args:
        complete: whether every test ran, so that what was not found is no longer so.
    """
    said = []
    for client, its in found.items():
        known = kept.get(client, {"ways": [], "methods": {}})
        for method, verdict in sorted(its["methods"].items()):
            before = known["methods"].get(method, "nothing")
            if verdict != before and not (verdict == "pass" and _POLLS.search(method)):
                said.append(f"{client}, {method}: {verdict}, where {before} is kept")
        said += [f"{client}: works by {way}" for way in its["ways"] if way not in known["ways"]]
        if complete:
            missing = sorted(known["methods"].keys() - its["methods"].keys())
            said += [
                f"{client}, {method}: no test calls it any more"
                for method in missing
                if not _POLLS.search(method)
            ]
    return said


class Recorder:
    """Gathers what the tests of a run tell; see the module."""

    def __init__(self) -> None:
        self._files: set[str] = set()
        self._failed: set[str] = set()
        self._calls: dict[str, list[list[str]]] = {}
        self._said: list[str] = []

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        self._files.add(report.nodeid.partition("::")[0])
        if report.failed:
            self._failed.add(report.nodeid)
        for name, value in report.user_properties:
            if name == CALLS and isinstance(value, list):
                self._calls[report.nodeid] = value

    def pytest_sessionfinish(self, session: pytest.Session) -> None:
        """Keep what was found, or hold it against what is kept."""
        if hasattr(session.config, "workerinput") or not self._calls:
            return
        found = results((test in self._failed, told) for test, told in self._calls.items())
        kept = json.loads(KEPT.read_text()) if KEPT.exists() else {}
        complete = not self._failed and self._ran_all(session)
        if os.environ.get(RECORD):
            recorded = _recorded(kept, found, complete=complete)
            KEPT.write_text(json.dumps(recorded, indent=1, sort_keys=True) + "\n")
            return
        self._said = differences(kept, found, complete=complete)
        if self._said and session.exitstatus == pytest.ExitCode.OK:
            session.exitstatus = pytest.ExitCode.TESTS_FAILED

    def _ran_all(self, session: pytest.Session) -> bool:
        """Whether every contract test ran."""
        options = session.config.option
        if options.keyword or options.markexpr or any("::" in each for each in options.file_or_dir):
            return False
        mine = {f"tests/contract/{file.name}" for file in Path(__file__).parent.glob("test_*.py")}
        return mine <= self._files

    def pytest_terminal_summary(self, terminalreporter: Any) -> None:
        if self._said:
            terminalreporter.section("docs/contract.json is not what these tests found")
            for sentence in self._said:
                terminalreporter.write_line(sentence)
            terminalreporter.write_line(f"Look why; if it is right: {RECORD}=1, see {__name__}")


def _recorded(kept: Results, found: Results, *, complete: bool) -> Results:
    recorded = {}
    for client in CLIENTS:
        known = kept.get(client.name, {"ways": [], "methods": {}})
        its = found.get(client.name, known)
        if not complete:
            its = {
                "ways": sorted({*known["ways"], *its["ways"]}),
                "methods": known["methods"] | its["methods"],
            }
        of_client = {"offers": list(client.offers), "lacks": list(client.lacks)}
        recorded[client.name] = {**its, **of_client}
    return recorded
