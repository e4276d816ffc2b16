# SPDX-License-Identifier: GPL-3.0-or-later
"""Run `ansible-test sanity` on the collection as it ships, not on this checkout.

Usage: python -m scripts.sanity [OPTION OF ansible-test sanity …]. It builds the artefact, installs
it beside its dependencies in a scratch folder, and tests it with every Python of a controller that
is here. ansible-test makes environments of its own, with pip; they are kept in .cache/sanity.
"""

import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

from ansible_test._internal.constants import (  # type: ignore[import-untyped]
    CONTROLLER_PYTHON_VERSIONS,
)
from ansible_test._internal.host_configs import (  # type: ignore[import-untyped]
    NativePythonConfig,
)
from ansible_test._internal.python_requirements import (  # type: ignore[import-untyped]
    get_venv_packages,
)

from scripts.artefact import ROOT, build, install

HOME = ROOT / ".cache" / "sanity"
BIN = Path(sys.executable).parent

# ansible-test would download a script that installs pip into an environment; Python brings one.
BRING_PIP = "import ensurepip\n\nensurepip.bootstrap()\n"
NOISE_OF_PIP = (
    *("  ", "Collecting ", "Downloading ", "Installing collected packages", "Looking in "),
    *("Processing ", "Successfully installed", "Using cached", "[notice]"),
)


def pythons(folder: Path) -> Iterator[str]:
    """Link every interpreter that answers into `folder`, and yield its version, as 3.11."""
    for version in CONTROLLER_PYTHON_VERSIONS:
        name = f"python{version}"
        path = shutil.which(name, path=f"{BIN}:{os.environ['PATH']}")
        if path and answers(path):
            (folder / name).symlink_to(path)
            yield version


def answers(python: str) -> bool:
    """Whether it is an interpreter, and no name that stands for one that is not installed."""
    return subprocess.run([python, "-c", ""], capture_output=True, check=False).returncode == 0


def environment(programs: Path) -> dict[str, str]:
    """Give the environment of ansible-test: its own home, pip's configuration as it was."""
    theirs = Path.home()
    cache = HOME / ".ansible" / "test" / "cache"
    cache.mkdir(parents=True, exist_ok=True)
    (cache / bootstrap_script()).write_text(BRING_PIP)
    return os.environ | {
        "HOME": str(HOME),
        "PATH": f"{programs}:{BIN}:/usr/bin:/bin",
        "XDG_CONFIG_HOME": os.environ.get("XDG_CONFIG_HOME", str(theirs / ".config")),
        "XDG_CACHE_HOME": os.environ.get("XDG_CACHE_HOME", str(theirs / ".cache")),
    }


def bootstrap_script() -> str:
    """The name under which ansible-test looks for the script that installs pip."""
    packages = get_venv_packages(NativePythonConfig(version=CONTROLLER_PYTHON_VERSIONS[0]))
    return f"get_pip_{packages['pip'].replace('.', '_')}.py"


def main() -> int:
    with tempfile.TemporaryDirectory(prefix="cloudspill-sanity-") as scratch:
        folder = Path(scratch)
        collection = install(build(folder), folder / "collections")
        programs = folder / "bin"
        programs.mkdir()
        print(f"ansible-test sanity on the artefact, with Python {', '.join(pythons(programs))}")
        command = [str(BIN / "ansible-test"), "sanity", "--requirements", *sys.argv[1:]]
        with subprocess.Popen(
            command,
            cwd=collection,
            env=environment(programs),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        ) as tests:
            for line in tests.stdout or ():
                if not line.startswith(NOISE_OF_PIP):
                    print(line, end="", flush=True)
        return tests.returncode


if __name__ == "__main__":
    sys.exit(main())
