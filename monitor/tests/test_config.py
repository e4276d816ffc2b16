# SPDX-License-Identifier: GPL-3.0-or-later
"""Configuration files: what is accepted, and how mistakes are shown."""

from __future__ import annotations

from pathlib import Path

import pytest

from cloudspill_monitor.checking import check
from cloudspill_monitor.config import MonitorConfig
from cloudspill_monitor.config_file import ConfigError, load

TASKS = "tasks:\n  - {name: a, command: sleep 60}\n"
EXAMPLE = Path(__file__).parents[1] / "examples" / "monitor.yml"


def read(tmp_path: Path, text: str, name: str = "monitor.yml") -> MonitorConfig:
    path = tmp_path / name
    path.write_text(text)
    return load(path)


def test_the_example_is_valid_and_has_the_four_classic_tasks() -> None:
    config = load(EXAMPLE)
    assert [(task.name, task.movable) for task in config.tasks] == [
        ("Task 1", False),
        ("Task 2", False),
        ("Task 3", True),
        ("Task 4", True),
    ]
    assert [finding.text for finding in check(EXAMPLE) if finding.level == "error"] == []


def test_only_tasks_are_required(tmp_path: Path) -> None:
    config = read(tmp_path, TASKS)
    assert (config.threshold_high, config.high_duration) == (75.0, 10.0)
    assert (config.threshold_low, config.low_duration) == (60.0, 10.0)
    assert config.guard
    assert config.metrics is None


def test_durations_have_units(tmp_path: Path) -> None:
    text = "high_duration: 90s\nlow_duration: 2m\nmin_dwell: 0\nburst: {idle_timeout: never}\n"
    config = read(tmp_path, text + TASKS)
    assert (config.high_duration, config.low_duration, config.min_dwell) == (90.0, 120.0, 0.0)
    assert config.burst.idle_timeout is None


def test_paths_start_at_the_file(tmp_path: Path) -> None:
    config = read(tmp_path, "state_dir: here\ntasks: [{name: a, command: 'true', cwd: sub}]\n")
    assert config.state_dir == tmp_path / "here"
    assert config.tasks[0].cwd == tmp_path / "sub"


def test_commands_are_split_like_a_shell_but_not_given_to_one(tmp_path: Path) -> None:
    config = read(tmp_path, "tasks: [{name: a, command: \"echo 'two words' $HOME\"}]\n")
    assert config.tasks[0].command == ("echo", "two words", "$HOME")


@pytest.mark.parametrize(
    ("text", "line", "said"),
    [
        ("treshold_high: 80\n" + TASKS, 1, "unknown key 'treshold_high' (did you mean"),
        ("guard: true\nthreshold_low: 75\n" + TASKS, 2, "must be below threshold_high (75)"),
        ("threshold_high: 50\n" + TASKS, 1, "threshold_low (60) must be below"),
        (
            "burst: {playbook_timeout: 2m}\ntasks: [{name: a, command: 'true', stop_grace: 60}]\n",
            2,
            "'a' may take 60 s to stop (stop_grace), and is to move within 60 s: raise burst.",
        ),
        ("high_duration: 0\n" + TASKS, 1, "greater than 0"),
        ("interval: 1\nlow_duration: -5s\n" + TASKS, 2, "not a duration"),
        ("low_duration: -5\n" + TASKS, 1, "greater than 0"),
        ("high_duration: .nan\n" + TASKS, 1, "high_duration"),
        ("threshold_high: .inf\n" + TASKS, 1, "threshold_high"),
        ("interval: soon\n" + TASKS, 1, "not a duration"),
        ("threshold_high: 101\n" + TASKS, 1, "less than or equal to 100"),
        ("guard: true\nguard: false\n" + TASKS, 2, "a second time"),
        (TASKS + "    movable: [\n", 3, "not YAML"),
        ("tasks:\n  - name: a\n", 2, "'command' is missing"),
        ("tasks:\n  - {name: a, command: sleep 1}\n  - {name: a, command: x}\n", 1, "two tasks"),
        ("tasks:\n  - name: a\n    command: sleep 1\n    movabel: no\n", 4, "'movable'"),
        ("tasks:\n  - name: a\n    command: sleep 1\n    stop_signal: KILL\n", 4, "SIGTERM"),
        ("tasks:\n  - {name: ../a, command: x}\n", 2, "cannot be a task's name"),
        ("tasks: []\n", 1, "at least 1"),
        ("threshold_high: 80\n", 1, "'tasks' is missing"),
        ("ignore_cgroups: [../x]\n" + TASKS, 1, "below the root"),
        ("metrics: {address: 0.0.0.0}\n" + TASKS, 1, "127.0.0.1"),
        ("interval: 0.01\n" + TASKS, 1, "greater than or equal to 0.1"),
        ('tasks:\n  - {name: a, command: ["a\\0b"]}\n', 2, "zero byte"),
        ('tasks:\n  - {name: a, command: b, env: {A: "a\\0b"}}\n', 2, "zero byte"),
        ("tasks:\n  - {name: a, command: b, env: {A=B: c}}\n", 2, "cannot be a variable"),
        ("- 1\n", 1, "must hold keys"),
        ("", 1, "must hold keys"),
    ],
)
def test_a_mistake_is_shown_with_its_line(tmp_path: Path, text: str, line: int, said: str) -> None:
    with pytest.raises(ConfigError) as caught:
        read(tmp_path, text)
    messages = str(caught.value).splitlines()
    assert any(m.startswith(f"{tmp_path}/monitor.yml:{line}: ") and said in m for m in messages), (
        messages
    )


def test_every_mistake_is_shown_at_once(tmp_path: Path) -> None:
    with pytest.raises(ConfigError) as caught:
        read(tmp_path, "high_duration: 0\nlow_duration: 0\nnonsense: 1\n" + TASKS)
    assert len(str(caught.value).splitlines()) == 3


def test_mistakes_come_in_the_order_of_their_lines(tmp_path: Path) -> None:
    text = "tasks:\n  - name: ../a\n    command: x\n  - name: b\nlow_duration: 0\nnonsense: 1\n"
    with pytest.raises(ConfigError) as caught:
        read(tmp_path, text)
    lines = [int(message.split(":")[1]) for message in str(caught.value).splitlines()]
    assert lines == [2, 4, 5, 6]


@pytest.mark.parametrize(
    "text",
    [
        "tasks:\n  - {name: ../a, command: x}\n  - {name: b, command: ''}\n",
        TASKS + "burst: {zones: [1]}\n",
    ],
)
def test_a_list_whose_items_are_wrong_is_not_said_to_be_empty(tmp_path: Path, text: str) -> None:
    with pytest.raises(ConfigError) as caught:
        read(tmp_path, text)
    messages = str(caught.value).splitlines()
    assert not [m for m in messages if ": tasks: " in m or ": burst.zones: " in m], messages


def test_a_file_that_is_missing_is_refused_with_what_to_do(tmp_path: Path) -> None:
    with pytest.raises(ConfigError) as caught:
        load(tmp_path / "absent.yml")
    said = str(caught.value)
    assert said.startswith(f"{tmp_path}/absent.yml: there is no such file")
    assert "CONFIG" in said
    assert "monitor/examples/monitor.yml" in said
    assert "Errno" not in said


def test_a_file_that_is_no_text_is_refused(tmp_path: Path) -> None:
    (tmp_path / "binary.yml").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(ConfigError, match=r"binary.yml: cannot be read: not UTF-8 text"):
        load(tmp_path / "binary.yml")
    with pytest.raises(ConfigError, match=r": cannot be read: Is a directory$"):
        load(tmp_path)


CONFIG_TXT = """\
# thresholds
THRESHOLD_HIGH=80
THRESHOLD_LOW = 50
CHECK_INTERVAL=2
HIGH_CPU_DURATION=20
LOW_CPU_DURATION=15

PROJECT_ID=my-project
ZONE=asia-south2-a
MACHINE_TYPE=n1-standard-1
IMAGE_FAMILY=ubuntu-2204-lts
IMAGE_PROJECT=ubuntu-os-cloud
"""


def test_the_older_form_is_read(tmp_path: Path) -> None:
    config = read(tmp_path, CONFIG_TXT, "config.txt")
    assert (config.threshold_high, config.threshold_low, config.interval) == (80.0, 50.0, 2.0)
    assert (config.high_duration, config.low_duration) == (20.0, 15.0)
    assert (config.burst.project, config.burst.zones) == ("my-project", ("asia-south2-a",))
    assert [task.movable for task in config.tasks] == [False, False, True, True]
    assert [task.missing() for task in config.tasks] == [None] * 4


@pytest.mark.parametrize(
    ("text", "line", "said"),
    [
        ("THRESHOLD_HIGH=80\nTHRESHHOLD_LOW=1\n", 2, "unknown key 'THRESHHOLD_LOW'"),
        ("THRESHOLD_HIGH=50\n\nTHRESHOLD_LOW=60\n", 3, "must be below"),
        ("# x\nHIGH_CPU_DURATION=0\n", 2, "greater than 0"),
        ("CHECK_INTERVAL\n", 1, "not KEY=value"),
        ("ZONE=a\nZONE=b\n", 2, "a second time"),
        ("THRESHOLD_HIGH=lots\n", 1, "number"),
    ],
)
def test_a_mistake_in_the_older_form_is_shown_with_its_line(
    tmp_path: Path, text: str, line: int, said: str
) -> None:
    with pytest.raises(ConfigError) as caught:
        read(tmp_path, text, "config.txt")
    assert f"config.txt:{line}: " in str(caught.value)
    assert said in str(caught.value)


def test_check_names_a_command_that_does_not_exist(tmp_path: Path) -> None:
    path = tmp_path / "monitor.yml"
    path.write_text("tasks: [{name: a, command: no-such-program -v}]\n")
    assert [f.text for f in check(path) if f.level == "error"] == [
        "task 'a': command 'no-such-program' does not exist or cannot be executed"
    ]


def test_check_names_a_directory_that_does_not_exist(tmp_path: Path) -> None:
    path = tmp_path / "monitor.yml"
    path.write_text("tasks: [{name: a, command: sleep 1, cwd: nowhere}]\n")
    errors = [f.text for f in check(path) if f.level == "error"]
    assert errors == [f"task 'a': cwd {tmp_path}/nowhere is not a directory"]


def test_check_warns_of_tasks_that_lose_their_work_when_they_move(tmp_path: Path) -> None:
    path = tmp_path / "monitor.yml"
    path.write_text("guard: false\n" + TASKS)
    warnings = " ".join(f.text for f in check(path) if f.level == "warning")
    assert "no checkpoint_paths" in warnings
    assert "guard is false" in warnings


def test_check_changes_nothing(tmp_path: Path) -> None:
    path = tmp_path / "monitor.yml"
    path.write_text("state_dir: state\n" + TASKS)
    check(path)
    assert [p.name for p in tmp_path.iterdir()] == ["monitor.yml"]
