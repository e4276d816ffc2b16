# SPDX-License-Identifier: GPL-3.0-or-later
"""What roles refuse: one sentence, before anything is made or asked for."""

from __future__ import annotations

import pytest

from .conftest import Run


def refuses(
    play: Run, playbook: str, variables: dict[str, object], sentence: str, *, before: str
) -> None:
    """See a playbook end with a sentence, before the first task that needs credentials."""
    done = play(playbook, **variables)
    assert done.returncode != 0
    assert sentence in done.stdout + done.stderr
    assert before not in done.stdout


def test_a_refusal_is_its_sentence_and_nothing_of_how_it_was_found(play: Run) -> None:
    done = play("teardown.yml", cloudspill_run="My Run")
    assert done.returncode != 0
    assert '"msg": "set cloudspill_run (My Run) and cloudspill_owner (unknown) to' in done.stdout
    for noise in ("assertion", "evaluated_to", "__teardown_unmet"):
        assert noise not in done.stdout + done.stderr


@pytest.mark.slow
@pytest.mark.parametrize(
    ("variables", "sentence"),
    [
        ({"firewall_name": "Allow!"}, "set firewall_name (Allow!) to at most 63"),
        ({"firewall_target_tags": ["a", "Web_1"]}, "set firewall_target_tags (Web_1) to"),
        ({"instance_tags": ["ok", "Web_1", "x" * 64]}, f"set instance_tags (Web_1, {'x' * 64}) to"),
        ({"instance_name": "Flask"}, "set instance_name (Flask) to at most 63"),
        ({"instance_disk_size_gb": "large"}, "instance_disk_size_gb"),
        ({"flask_app_port": 0}, "set flask_app_port (0) to a TCP port"),
        ({"flask_app_repository": ""}, "set flask_app_repository to the URL"),
    ],
    ids=lambda value: "-".join(value) if isinstance(value, dict) else "",
)
def test_part_1_checks_the_variables_of_every_role_before_it_asks_google(
    play: Run, variables: dict[str, object], sentence: str
) -> None:
    refuses(play, "part1.yml", variables, sentence, before="Read the")


def test_part_1_asks_google_when_all_variables_hold(play: Run) -> None:
    done = play("part1.yml")
    assert "Read the image and its source" in done.stdout
    assert "no-key.json: No such file" in done.stdout


def test_what_is_no_project_id_is_refused_before_credentials_are_asked_for(play: Run) -> None:
    done = play("teardown.yml", gcp_project="My Project")
    assert "'My Project' is no project id" in done.stdout
    assert "no-key.json" not in done.stdout


@pytest.mark.slow
@pytest.mark.parametrize(
    ("variables", "sentence"),
    [
        ({"project_setup_account": "Robot"}, "set project_setup_account (Robot) to 6 to 30"),
        ({"project_setup_custom_role": "a-b"}, "set project_setup_custom_role (a-b) to 3 to 64"),
        ({"project_setup_services": ["compute"]}, "set project_setup_services (compute) to"),
        ({"project_setup_services": []}, "set project_setup_services () to 1 to 20"),
        ({"project_setup_roles": "wide"}, "one of: broad, narrow"),
        ({"cloudspill_owner": "Ada L"}, "and cloudspill_owner (Ada L) to at most 63"),
    ],
    ids=lambda value: "-".join(value) if isinstance(value, dict) else "",
)
def test_setting_up_a_project_checks_its_variables_before_it_asks_google(
    play: Run, variables: dict[str, object], sentence: str
) -> None:
    refuses(play, "project_setup.yml", variables, sentence, before="Read what")


@pytest.mark.slow
@pytest.mark.parametrize(
    ("variables", "sentence"),
    [
        ({"clones_count": 0}, "set clones_count (0) to 1 to 100"),
        ({"clones_count": "1000"}, "set clones_count (1000) to 1 to 100"),
        ({"snapshot_name": "Base"}, "set snapshot_name (Base) to at most 63"),
        ({"snapshot_freeze_timeout": 3600}, "set snapshot_freeze_timeout (3600) to 5 to 600"),
        ({"snapshot_quiesce": "hope"}, "must be one of: none, sync, stop, freeze"),
        ({"snapshot_quiesce_services": ["a; reboot"]}, "set snapshot_quiesce_services (a; reboot)"),
        ({"clones_path": "health"}, "set clones_path (health) to a path that begins with a slash"),
        ({"clones_instance": "x" * 54}, "so that -clone-100 fits behind it"),
    ],
    ids=lambda value: "-".join(value) if isinstance(value, dict) else "",
)
def test_part_2_checks_the_variables_of_both_roles_before_it_asks_google(
    play: Run, variables: dict[str, object], sentence: str
) -> None:
    refuses(play, "part2.yml", variables, sentence, before="Read the")
