# SPDX-License-Identifier: GPL-3.0-or-later
"""Take google.cloud and ansible.posix out of PyPI's `ansible` wheel.

Usage: install_collections.py LOCK_FILE (one hash-pinned requirement: the wheel). pip fetches and
verifies the wheel; the two collections land in the running interpreter's site-packages, where
ansible-core looks for collections. The rest of the wheel (over 400 MB) is not installed.
"""

import shutil
import subprocess
import sys
import sysconfig
import tempfile
import zipfile
from pathlib import Path

COLLECTIONS = ("google/cloud", "ansible/posix")


def fetch_wheel(lock: Path, folder: Path) -> Path:
    """Download the wheel that `lock` pins into `folder`.

    Raises:
        subprocess.CalledProcessError: pip failed; it has said why.
    """
    command = [sys.executable, "-m", "pip", "download", "--disable-pip-version-check"]
    command += ["--no-deps", "--only-binary=:all:", "--require-hashes"]
    if not sys.stdout.isatty():  # there pip draws a progress bar
        command += ["--quiet", "--quiet"]
    subprocess.run([*command, "--requirement", lock, "--dest", folder], check=True)
    (wheel,) = folder.glob("*.whl")
    return wheel


def install(wheel: Path, collection: str, site_packages: Path) -> None:
    """Replace `collection` ("namespace/name") in `site_packages` by the wheel's copy.

    Raises:
        LookupError: the wheel does not hold the collection.
    """
    prefix = f"ansible_collections/{collection}/"
    target = site_packages / prefix
    target.parent.mkdir(parents=True, exist_ok=True)
    with (
        zipfile.ZipFile(wheel) as archive,
        # Beside the target, so that the finished copy moves into place in one step.
        tempfile.TemporaryDirectory(dir=target.parent, prefix=".install-") as scratch,
    ):
        members = [name for name in archive.namelist() if name.startswith(prefix)]
        if not members:
            raise LookupError(f"{wheel.name} holds no {prefix}")
        archive.extractall(scratch, members)
        shutil.rmtree(target, ignore_errors=True)
        (Path(scratch) / prefix).rename(target)


def main() -> None:
    lock = Path(sys.argv[1])
    site_packages = Path(sysconfig.get_path("purelib"))
    with tempfile.TemporaryDirectory() as folder:
        wheel = fetch_wheel(lock, Path(folder))
        for collection in COLLECTIONS:
            install(wheel, collection, site_packages)


if __name__ == "__main__":
    try:
        main()
    except (subprocess.CalledProcessError, LookupError) as error:
        sys.exit(f"Cannot install the Ansible collections: {error}")
