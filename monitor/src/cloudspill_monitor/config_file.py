# SPDX-License-Identifier: GPL-3.0-or-later
"""Reading a configuration file, so that every mistake is shown with its line."""

from __future__ import annotations

import difflib
from collections.abc import Hashable, Iterator, Sequence
from pathlib import Path

import yaml
from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails

from cloudspill_monitor import config_txt
from cloudspill_monitor.config import BurstConfig, MetricsConfig, MonitorConfig, TaskConfig

Location = tuple[str | int, ...]

_PARTS: dict[str, type[BaseModel]] = {
    "tasks": TaskConfig,
    "metrics": MetricsConfig,
    "burst": BurstConfig,
}


class ConfigError(Exception):
    """The file cannot be used; the message has a line `FILE:LINE: what is wrong` per mistake."""


def load(path: Path, base: Path | None = None) -> MonitorConfig:
    """Read `path`: YAML, or the forerunner's `KEY=value` form when it ends in `.txt`.

    Relative paths in it are taken from `base`, or else from its own directory. Raises ConfigError.
    """
    try:
        text = path.read_text(encoding="utf-8")
    except FileNotFoundError as error:
        raise ConfigError(
            f"{path}: there is no such file; name a configuration as CONFIG, such as the "
            "project's example, monitor/examples/monitor.yml"
        ) from error
    except OSError as error:
        raise ConfigError(f"{path}: cannot be read: {error.strerror}") from error
    except UnicodeDecodeError as error:
        raise ConfigError(f"{path}: cannot be read: not UTF-8 text") from error
    try:
        if path.suffix == ".txt":
            return _validate(path, base, *config_txt.parse(text))
        return _validate(path, base, *_parse_yaml(text))
    except config_txt.LineError as error:
        raise ConfigError(f"{path}:{error.line}: {error}") from error


def _validate(
    path: Path, base: Path | None, data: object, lines: dict[Location, int]
) -> MonitorConfig:
    context = {"base": base.resolve() if base else path.resolve().parent}
    try:
        return MonitorConfig.model_validate(data, context=context)
    except ValidationError as error:
        mistakes = sorted(_causes(error), key=lambda detail: _line(detail["loc"], lines))
        messages = [_message(path, detail, lines) for detail in mistakes]
        raise ConfigError("\n".join(messages)) from error


def _causes(error: ValidationError) -> list[ErrorDetails]:
    # pydantic counts a list's valid items: one whose every item is wrong is "too short" as well.
    details = error.errors()
    inside = {detail["loc"][:end] for detail in details for end in range(len(detail["loc"]))}
    return [d for d in details if d["type"] != "too_short" or d["loc"] not in inside]


def _parse_yaml(text: str) -> tuple[object, dict[Location, int]]:
    try:
        root = yaml.compose(text, Loader=yaml.SafeLoader)
        data = yaml.safe_load(text)
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        problem = error.problem or "not YAML"
        raise config_txt.LineError(mark.line + 1 if mark else 1, f"not YAML: {problem}") from error
    except (yaml.YAMLError, ValueError) as error:
        raise config_txt.LineError(1, f"not YAML: {error}") from error
    if not isinstance(data, dict):
        raise config_txt.LineError(1, "must hold keys with values, such as `tasks:`")
    return data, dict(_lines(root, ()))


def _lines(node: yaml.Node | None, at: Location) -> Iterator[tuple[Location, int]]:
    if isinstance(node, yaml.SequenceNode):
        for index, item in enumerate(node.value):
            yield (*at, index), item.start_mark.line + 1
            yield from _lines(item, (*at, index))
    elif isinstance(node, yaml.MappingNode):
        seen: set[Hashable] = set()
        for key, value in node.value:
            if key.value in seen:
                raise config_txt.LineError(
                    key.start_mark.line + 1, f"{key.value!r} stands here a second time"
                )
            seen.add(key.value)
            yield (*at, key.value), key.start_mark.line + 1
            yield from _lines(value, (*at, key.value))


def _message(path: Path, detail: ErrorDetails, lines: dict[Location, int]) -> str:
    location: Location = detail["loc"]
    named = ".".join(str(part) for part in location)
    if detail["type"] == "extra_forbidden":
        text = f"unknown key {location[-1]!r}{_suggestion(location)}"
    elif detail["type"] == "missing":
        text = f"key {location[-1]!r} is missing"
    else:
        reason = str(detail["msg"]).removeprefix("Value error, ")
        text = f"{named}: {reason[:1].lower()}{reason[1:]}"
    return f"{path}:{_line(location, lines)}: {text}"


def _line(location: Sequence[str | int], lines: dict[Location, int]) -> int:
    for end in range(len(location), 0, -1):
        line = lines.get(tuple(location[:end]))
        if line is not None:
            return line
    return 1


def _suggestion(location: Location) -> str:
    model = _PARTS.get(str(location[0]), MonitorConfig) if len(location) > 1 else MonitorConfig
    close = difflib.get_close_matches(str(location[-1]), model.model_fields, n=1)
    known = ", ".join(model.model_fields)
    return f" (did you mean {close[0]!r}?)" if close else f" (known here: {known})"
