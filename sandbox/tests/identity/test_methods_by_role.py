# SPDX-License-Identifier: GPL-3.0-or-later
"""Every implemented method with every predefined role: who is let in.

What to expect is data: `method_permissions.yaml` says what a method needs and
`role_permissions/` what a role holds, both by Google's pages and not by the product's patterns.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
import yaml

from cloudspill_sandbox.engine.call import Principal
from cloudspill_sandbox.engine.discovery import Api, load_api
from cloudspill_sandbox.engine.errors import ApiError
from cloudspill_sandbox.identity.permissions import PERMISSIONS, matching
from cloudspill_sandbox.identity.predefined_roles import PREDEFINED

from .whole_cloud import OWN_ROLE, WholeCloud, whole_cloud

HERE = Path(__file__).parent
VERSION = "v1"
EXACT = "exact@example.org"


def _read(path: Path) -> Any:
    return yaml.safe_load(path.read_text())


def _held() -> dict[str, frozenset[str]]:
    """Return what each role holds, by Google's lists."""
    return {
        role: frozenset(f"{c}.{verb}" for c, verbs in held.items() for verb in verbs.split())
        for page in sorted((HERE / "role_permissions").iterdir())
        for role, held in _read(page).items()
    }


HELD = _held()
NEEDED: Mapping[str, frozenset[str]] = {
    method: frozenset(needed.split())
    for method, needed in _read(HERE / "method_permissions.yaml").items()
}


@pytest.fixture(scope="module")
def cloud(tmp_path_factory: pytest.TempPathFactory) -> Iterator[WholeCloud]:
    """A cloud with one of each; each role is held by an account of its own."""
    members = {role: _account(role) for role in HELD} | {OWN_ROLE: EXACT}
    with whole_cloud(tmp_path_factory.mktemp("cloud"), members) as made:
        yield made


@pytest.fixture(scope="module")
def apis() -> dict[str, Api]:
    names = (
        "cloudresourcemanager",
        "compute",
        "iam",
        "iamcredentials",
        "serviceusage",
        "storage",
    )
    return {name: load_api(name, VERSION) for name in names}


def _account(role: str) -> str:
    return f"{role.removeprefix('roles/')}@example.org"


def test_every_role_of_the_table_is_the_sandbox_s_and_the_reverse() -> None:
    assert set(PREDEFINED) == set(HELD)


@pytest.mark.parametrize("role", HELD)
def test_a_role_holds_what_google_s_holds(role: str) -> None:
    assert matching(*PREDEFINED[role].patterns) == HELD[role]


def test_every_implemented_method_is_in_the_table(cloud: WholeCloud) -> None:
    assert cloud.methods == set(NEEDED)
    assert frozenset().union(*NEEDED.values()) <= PERMISSIONS


@pytest.mark.parametrize("method", NEEDED)
def test_a_method_lets_in_who_holds_what_it_needs(
    cloud: WholeCloud, apis: dict[str, Api], method: str
) -> None:
    expected = {role for role, held in HELD.items() if NEEDED[method] <= held}
    assert {role for role in HELD if _let_in(cloud, apis, method, _account(role))} == expected
    assert _let_in(cloud, apis, method, "nobody@example.org") == (not NEEDED[method])


@pytest.mark.parametrize("method", [method for method in NEEDED if NEEDED[method]])
def test_a_method_needs_all_of_it_and_no_more(
    cloud: WholeCloud, apis: dict[str, Api], method: str
) -> None:
    cloud.define(NEEDED[method])
    assert _let_in(cloud, apis, method, EXACT)
    for permission in NEEDED[method]:
        cloud.define(PERMISSIONS - {permission})
        assert not _let_in(cloud, apis, method, EXACT), permission


def _let_in(cloud: WholeCloud, apis: dict[str, Api], method: str, email: str) -> bool:
    described = apis[method.partition(".")[0]].methods[method]
    call = cloud.call(described, Principal(email))
    try:
        cloud.iam.authorizer.authorize(call)
    except ApiError as error:
        if error.status in (400, 403):
            return False
        raise
    return True
