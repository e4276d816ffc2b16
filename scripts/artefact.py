# SPDX-License-Identifier: GPL-3.0-or-later
"""Build the collection's artefact, and install it as a user does, beside what it depends on.

Usage: python -m scripts.artefact FOLDER (the artefact lands there; its path is printed).
"""

import subprocess
import sys
import sysconfig
from pathlib import Path

ROOT = Path(__file__).parents[1]
GALAXY = Path(sys.executable).with_name("ansible-galaxy")
DEPENDENCIES = ("google/cloud", "ansible/posix")


def build(folder: Path) -> Path:
    """Build the artefact in `folder`, out of what galaxy.yml lists.

    Raises:
        RuntimeError: ansible-galaxy refuses; the message holds what it said.
    """
    _galaxy("build", "--force", "--output-path", str(folder), str(ROOT))
    (artefact,) = folder.glob("cloudspill-gcp-*.tar.gz")
    return artefact


def install(artefact: Path, collections: Path) -> Path:
    """Install the artefact, and link the collections that it depends on, as `make setup` got them.

    Args:
        artefact: what `build` returned.
        collections: a folder for ANSIBLE_COLLECTIONS_PATH; made where it is missing.

    Returns:
        The collection's own folder in there.

    Raises:
        RuntimeError: ansible-galaxy refuses; the message holds what it said.
    """
    # --force: the checkout is linked among this Python's own collections, and would do.
    options = ("--force", "--no-deps", "--offline", "-p", str(collections))
    _galaxy("install", *options, str(artefact))
    below = collections / "ansible_collections"
    for name in DEPENDENCIES:
        link = below / name
        link.parent.mkdir(exist_ok=True)
        link.symlink_to(Path(sysconfig.get_path("purelib"), "ansible_collections", name))
    return below / "cloudspill" / "gcp"


def _galaxy(*arguments: str) -> None:
    command = [str(GALAXY), "collection", *arguments]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    if done.returncode:
        raise RuntimeError(f"{' '.join(command)} failed:\n{done.stdout}{done.stderr}")


def main() -> None:
    folder = Path(sys.argv[1])
    folder.mkdir(parents=True, exist_ok=True)
    print(build(folder))


if __name__ == "__main__":
    try:
        main()
    except RuntimeError as error:
        sys.exit(str(error))
