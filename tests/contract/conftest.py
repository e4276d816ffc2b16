# SPDX-License-Identifier: GPL-3.0-or-later
"""One cloud for all contract tests, and names that a run can sweep.

Clients read their settings (proxy, CA bundle, key file, project) from the environment, as in a
user's shell; some read it when they are imported. So the environment is set around every module
of tests, and the clients are imported inside fixtures.
"""

from __future__ import annotations

import gc
import secrets
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import google.auth
import pytest
from google.auth.transport.requests import AuthorizedSession

from .faults import Faults
from .gcloud import Gcloud
from .rest import Rest
from .sdks import ApiPythonClient, CloudCompute, Sdk
from .table import CALLS, Answers, calls
from .target import Target, chosen

HERE = Path(__file__).parent
SCOPES = ["https://www.googleapis.com/auth/cloud-platform"]


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Forgive connections left open: some of the clients never close theirs."""
    for item in items:
        if item.path.is_relative_to(HERE):
            item.add_marker(pytest.mark.filterwarnings("ignore:unclosed:ResourceWarning"))


@pytest.fixture(scope="session")
def target(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Target]:
    """The cloud; a sandbox is ended afterwards, whatever happened."""
    with chosen(tmp_path_factory.mktemp("contract")) as cloud:
        yield cloud


@pytest.fixture(scope="module", autouse=True)
def _environment(target: Target) -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        for name, value in target.variables.items():
            patch.setenv(name, value)
        yield
    # Connections that a client left open end here, not in a test that follows.
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ResourceWarning)
        gc.collect()


@pytest.fixture(scope="session")
def answers(target: Target) -> Answers | None:
    """What the sandbox answered, as its witness wrote it down; None on Google Cloud."""
    return Answers(target.answers) if target.answers else None


@pytest.fixture(autouse=True)
def _witnessed(
    answers: Answers | None, record_property: Callable[[str, object], None]
) -> Iterator[None]:
    """Tell which client called what; every answer must have been of Google's form.

    Plays that run side by side share their calls: one that fails, fails them all.
    """
    yield
    if answers is not None:
        given = answers.more()
        record_property(CALLS, calls(given))
        faults = {answer["method"]: answer["faults"] for answer in given if answer["faults"]}
        assert not faults, f"answers that are not Google's form: {faults}"


@pytest.fixture(scope="module")
def rest(target: Target, _environment: None) -> Iterator[Rest]:
    """The API without a client library; by google-auth's default credentials."""
    credentials, _ = google.auth.default(scopes=SCOPES)
    with AuthorizedSession(credentials) as session:
        yield Rest(session, target.project, target.zone, target.region)


@pytest.fixture(scope="module", params=[CloudCompute, ApiPythonClient])
def api(request: pytest.FixtureRequest, target: Target, _environment: None) -> Iterator[Sdk]:
    """Compute Engine by each of Google's two Python libraries."""
    sdk: Sdk = request.param(
        {"project": target.project, "zone": target.zone, "region": target.region}
    )
    yield sdk
    sdk.close()


@pytest.fixture(scope="module")
def service(_environment: None) -> Iterator[Callable[[str], Any]]:
    """Return a Google API, version 1, by its name: google-api-python-client."""
    from googleapiclient import discovery  # type: ignore[import-untyped]

    built: dict[str, Any] = {}

    def of(name: str) -> Any:
        if name not in built:
            built[name] = discovery.build(name, "v1", cache_discovery=False)
        return built[name]

    yield of
    for each in built.values():
        each.close()


@pytest.fixture(scope="module")
def gcloud(target: Target, tmp_path_factory: pytest.TempPathFactory) -> Gcloud:
    """`gcloud compute`, configured for the module's tests alone."""
    return Gcloud(target, tmp_path_factory.mktemp("gcloud"), "compute")


@pytest.fixture(scope="module")
def prefix(rest: Rest) -> Iterator[str]:
    """What the names of a module's resources begin with; they are gone afterwards."""
    token = f"ct{secrets.token_hex(3)}-"
    try:
        yield token
    finally:
        rest.sweep(token)


@pytest.fixture(scope="module")
def bucket(target: Target, prefix: str) -> Iterator[Any]:
    """A bucket with versions, of google-cloud-storage; gone afterwards with all that it holds."""
    from google.cloud import storage

    client = storage.Client(project=target.project)
    made = client.bucket(f"{prefix}objects")
    made.versioning_enabled = True
    made.create(location=target.region)
    try:
        yield made
    finally:
        for version in made.list_blobs(versions=True):
            version.delete()
        made.delete()
        client.close()


@pytest.fixture
def named(prefix: str, request: pytest.FixtureRequest) -> Callable[[str], str]:
    """Return names of the resources of one test, `named("web")`."""
    token = secrets.token_hex(2)
    return lambda name: f"{prefix}{token}-{name}"


@pytest.fixture
def account(
    service: Callable[[str], Any], target: Target, named: Callable[[str], str]
) -> Iterator[dict[str, Any]]:
    """A service account of a test's own."""
    accounts = service("iam").projects().serviceAccounts()
    body = {"accountId": named("sa"), "serviceAccount": {"displayName": "Of a test"}}
    made = accounts.create(name=f"projects/{target.project}", body=body).execute()
    try:
        yield made
    finally:
        accounts.delete(name=made["name"]).execute()


@pytest.fixture
def sandbox_only(target: Target) -> Target:
    """Skip what does not hold for Google Cloud."""
    if target.log is None:
        pytest.skip("holds for the sandbox alone; the target is Google Cloud")
    return target


@pytest.fixture
def faults(sandbox_only: Target) -> Iterator[Faults]:
    """No faults yet; none is left."""
    subject = Faults(sandbox_only)
    yield subject
    subject.clear()
