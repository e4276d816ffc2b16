# SPDX-License-Identifier: GPL-3.0-or-later
# GNU General Public License v3.0+ (see https://www.gnu.org/licenses/gpl-3.0.txt)
"""The file with the environment variables that point Google's clients at a target."""

from __future__ import annotations

import json
from pathlib import Path


class EnvironmentFileError(Exception):
    """There is no such file, or it holds something else."""


def read_environment_file(path: Path) -> dict[str, str]:
    """Read a JSON object of environment variables.

    Raises:
        EnvironmentFileError: it is absent, unreadable, or no object of strings.
    """
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        raise EnvironmentFileError(f"there is no {path}") from error
    except OSError as error:
        raise EnvironmentFileError(f"cannot read {path}: {error.strerror}") from error
    except ValueError as error:
        raise EnvironmentFileError(f"{path} is no JSON") from error
    if not isinstance(content, dict) or not all(isinstance(v, str) for v in content.values()):
        raise EnvironmentFileError(f"{path} is no JSON object of strings")
    return content
