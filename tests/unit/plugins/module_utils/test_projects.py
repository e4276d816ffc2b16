# SPDX-License-Identifier: GPL-3.0-or-later
"""What a project can be called."""

from __future__ import annotations

import pytest
from ansible_collections.cloudspill.gcp.plugins.module_utils.api_errors import CloudError
from ansible_collections.cloudspill.gcp.plugins.module_utils.projects import require_project


@pytest.mark.parametrize("project", ["acme", "my-project-123", "example.com:my-project", "123456"])
def test_the_ids_and_the_number_of_a_project_are_taken(project: str) -> None:
    require_project(project)


@pytest.mark.parametrize(
    "project", ["My Project", "acme/..", "-acme", "acme\n", "acme_1", "a" * 64]
)
def test_what_is_no_project_id_is_refused_with_what_to_set(project: str) -> None:
    with pytest.raises(CloudError) as caught:
        require_project(project)
    assert str(caught.value).startswith(f"{project!r} is no project id: set gcp_project")


@pytest.mark.parametrize("project", ["", None])
def test_without_a_project_it_says_what_to_set(project: str | None) -> None:
    with pytest.raises(CloudError, match=r"^no project: set gcp_project"):
        require_project(project)
