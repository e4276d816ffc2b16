# SPDX-License-Identifier: GPL-3.0-or-later
"""How commands end that cannot do what was asked: one sentence, and an exit status."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from contextlib import contextmanager
from typing import NoReturn

import typer
from rich.console import Console

from cloudspill_sandbox.control import client
from cloudspill_sandbox.settings import Settings

NOT_RUNNING = 3
"""Exit status of commands that need a running sandbox, as systemctl's for an inactive unit."""


def fail(message: str, status: int = 1) -> NoReturn:
    """Say why on standard error, and end."""
    Console(stderr=True, soft_wrap=True).print(f"cloudspill-sandbox: {message}", markup=False)
    raise typer.Exit(status)


def not_running() -> NoReturn:
    """End because no sandbox runs."""
    fail("the sandbox is not running: start it with `cloudspill-sandbox up`", NOT_RUNNING)


@contextmanager
def refusals() -> Iterator[None]:
    """Turn what the parts refuse into one sentence and an exit status.

    Every part's own errors are RuntimeErrors or ValueErrors whose message says what to do.
    """
    try:
        yield
    except typer.Exit:  # a RuntimeError too, and already said
        raise
    except client.NotRunningError:
        not_running()
    except PermissionError as error:
        what = error.filename or "what this needs"
        fail(
            f"you may not use {what}: run this with sudo, or, for a sandbox in memory, set "
            "CLOUDSPILL_STATE_ROOT and CLOUDSPILL_RUN_ROOT to folders of your own"
        )
    except (OSError, RuntimeError, ValueError) as error:
        fail(str(error))


def chosen_settings(projects: tuple[str, ...] = ()) -> Settings:
    """Return the settings that the environment gives, or end.

    Args:
        projects: instead of the environment's, unless there are none.
    """
    with refusals():
        settings = Settings.from_environment()
        return dataclasses.replace(settings, projects=projects) if projects else settings
