# SPDX-License-Identifier: GPL-3.0-or-later
"""Git repositories that guests can clone, published from folders of the host."""

from __future__ import annotations

import os
import re
import subprocess
import tempfile
from pathlib import Path

HOST = "git.cloudspill.internal"
"""Name under which the front serves the repositories, inside the VPC and through the proxy."""

NAME_PATTERN = re.compile(r"[a-z0-9][a-z0-9._-]{0,62}")
_BRANCH = "refs/heads/main"
# The same folder must give the same commit on every host, so that a clone is reproducible.
_IDENTITY = {
    "GIT_AUTHOR_NAME": "cloudspill",
    "GIT_AUTHOR_EMAIL": "sandbox@cloudspill.internal",
    "GIT_AUTHOR_DATE": "2000-01-01T00:00:00Z",
    "GIT_COMMITTER_NAME": "cloudspill",
    "GIT_COMMITTER_EMAIL": "sandbox@cloudspill.internal",
    "GIT_COMMITTER_DATE": "2000-01-01T00:00:00Z",
    "GIT_CONFIG_NOSYSTEM": "1",
    "GIT_CONFIG_GLOBAL": os.devnull,
}


class PublishError(ValueError):
    """A folder could not be published; the message says why."""


def publish(root: Path, name: str, folder: Path) -> bool:
    """Make `<root>/<name>.git` hold the content of `folder` as the newest commit of `main`.

    The repository is a bare one with the files that git's dumb HTTP protocol reads
    (https://git-scm.com/docs/http-protocol), so a static file server is enough to clone from it.

    Returns:
        Whether there was anything new.

    Raises:
        PublishError: bad name, no such folder, or git failed.
    """
    if not NAME_PATTERN.fullmatch(name):
        raise PublishError(f"repository name {name!r} must match {NAME_PATTERN.pattern}")
    if not folder.is_dir() or not any(folder.iterdir()):
        raise PublishError(f"{folder} is not a folder with content")
    repository = root / f"{name}.git"
    root.mkdir(parents=True, exist_ok=True)
    # Also when it exists: whatever a killed publication left half done is made whole.
    _git(None, "init", "--quiet", "--bare", "--initial-branch=main", str(repository))
    _git(repository, "update-server-info")
    tree = _write_tree(repository, folder)
    parent = _git(repository, "for-each-ref", "--format=%(objectname)", _BRANCH)
    if parent and _git(repository, "rev-parse", f"{parent}^{{tree}}") == tree:
        return False
    parents = ["-p", parent] if parent else []
    commit = _git(repository, "commit-tree", tree, *parents, "-m", f"Publish {name}")
    _git(repository, "update-ref", _BRANCH, commit)
    _git(repository, "update-server-info")
    return True


def _write_tree(repository: Path, folder: Path) -> str:
    with tempfile.TemporaryDirectory() as scratch:
        environment = {"GIT_INDEX_FILE": f"{scratch}/index", "GIT_WORK_TREE": str(folder)}
        # Build products of an interpreter are no part of what the author published.
        _git(repository, "add", "--all", "--", ".", ":!**/__pycache__/**", extra=environment)
        return _git(repository, "write-tree", extra=environment)


def _git(repository: Path | None, *arguments: str, extra: dict[str, str] | None = None) -> str:
    inherited = {key: value for key, value in os.environ.items() if not key.startswith("GIT_")}
    environment = inherited | _IDENTITY | (extra or {})
    if repository is not None:
        environment["GIT_DIR"] = str(repository)
    work_tree = (extra or {}).get("GIT_WORK_TREE")
    try:
        finished = subprocess.run(
            ["git", *arguments],
            env=environment,
            cwd=work_tree,
            capture_output=True,
            text=True,
            check=True,
        )
    except FileNotFoundError as error:
        raise PublishError("git is not installed (package git)") from error
    except subprocess.CalledProcessError as error:
        raise PublishError(f"git {arguments[0]} failed: {error.stderr.strip()}") from error
    return finished.stdout.strip()
