# SPDX-License-Identifier: GPL-3.0-or-later
"""Part 1 and teardown out of the built collection alone, as one who installed it runs them.

No checkout: another folder, another home, no ansible.cfg, and the collections of a scratch folder.
The inventory is a copy of one that the collection ships, as docs/collection.md says. The EXAMPLES
of modules that wait for a machine run here, the others in tests/artefact.
"""

from __future__ import annotations

import json
import shutil
import subprocess
from pathlib import Path

import pytest
import yaml

from scripts.artefact import ROOT, build, install
from tests.system.sandbox import Play, Sandbox, page

pytestmark = [pytest.mark.sandbox, pytest.mark.timeout(280), pytest.mark.slow]


class User:
    """One who has the collection, and no checkout.

    Args:
        sandbox: the cloud.
        folder: an empty folder to work in.
    """

    def __init__(self, sandbox: Sandbox, folder: Path) -> None:
        self._folder = folder
        collections = folder / "collections"
        self.collection = install(build(folder), collections)
        ansible = {name: text for name, text in sandbox.base.items() if "ANSIBLE" not in name}
        self._environment = ansible | {
            "ANSIBLE_COLLECTIONS_PATH": str(collections),
            # The checkout is linked among the collections of the tests' own Python.
            "ANSIBLE_COLLECTIONS_SCAN_SYS_PATH": "false",
            "ANSIBLE_FORCE_COLOR": "0",
        }
        shutil.copytree(self.collection / "inventory" / "sandbox", folder / "inventory")

    def run(self, *command: str) -> subprocess.CompletedProcess[str]:
        """Run a command in the user's folder."""
        return subprocess.run(
            command,
            cwd=self._folder,
            env=self._environment,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            check=False,
            timeout=240,
        )

    def play(self, playbook: str, *options: str) -> Play:
        """Run a playbook by its name in the collection."""
        name = f"cloudspill.gcp.{playbook}"
        done = self.run("ansible-playbook", "-i", "inventory", name, *options)
        return Play(done.returncode, done.stdout + done.stderr)

    def play_examples(self, *modules: str) -> Play:
        """Run what the modules' documentation shows, with the settings of a playbook that ships."""
        names = [f"cloudspill.gcp.{module}" for module in modules]
        told = json.loads(self.run("ansible-doc", "--json", *names).stdout)
        tasks = [task for name in names for task in yaml.safe_load(told[name]["examples"])]
        (play,) = yaml.safe_load((self.collection / "playbooks" / "reap.yml").read_text())
        book = self._folder / "examples.yml"
        book.write_text(yaml.safe_dump([play | {"tasks": tasks}]))
        done = self.run("ansible-playbook", "-i", "inventory", book.name)
        return Play(done.returncode, done.stdout + done.stderr)


@pytest.fixture(scope="module")
def user(sandbox: Sandbox, tmp_path_factory: pytest.TempPathFactory) -> User:
    """A user of the artefact, and a sandbox that serves the application which that ships."""
    subject = User(sandbox, tmp_path_factory.mktemp("user"))
    sandbox.cli("up", "--publish", f"flask-app={subject.collection}/roles/flask_app/files/app")
    return subject


def test_nothing_of_the_checkout_is_used(user: User) -> None:
    listed = user.run("ansible-galaxy", "collection", "list", "--format", "json")
    folders: dict[str, dict[str, object]] = json.loads(listed.stdout)
    (found,) = (names for names in folders.values() if "cloudspill.gcp" in names)
    assert set(found) == {"cloudspill.gcp", "google.cloud", "ansible.posix"}
    told = user.run("ansible-doc", "-t", "inventory", "--list_files", "cloudspill.gcp")
    assert told.returncode == 0, told.stderr
    assert str(ROOT) not in told.stdout
    assert not user.collection.is_relative_to(ROOT)
    config = user.run("ansible-config", "dump", "--only-changed", "--format", "json")
    assert str(ROOT) not in config.stdout


def test_part_1_opens_the_page(user: User, sandbox: Sandbox) -> None:
    made = user.play("part1")
    assert made.status == 0, made.output
    listed = user.run("ansible-inventory", "-i", "inventory", "--host", "flask-1")
    status, body = page(json.loads(listed.stdout)["ansible_host"])
    assert (status, "from flask-1" in body) == (200, True), body
    asked = user.run("ansible", "-i", "inventory", "flask-1", "-m", "ansible.builtin.ping")
    assert "SUCCESS" in asked.stdout, asked.stdout + asked.stderr


def test_the_examples_that_wait_for_a_machine_do_what_they_say(
    user: User, sandbox: Sandbox
) -> None:
    attributes = "http://metadata.google.internal/computeMetadata/v1/instance/guest-attributes"
    publish = f"curl -sSf -X PUT -d ready -H Metadata-Flavor:Google {attributes}/example/state"
    sandbox.cli("ssh", "flask-1", publish)
    done = user.play_examples("gce_wait_for", "gce_guest_attribute")
    assert (done.status, done.changed) == (0, 0), done.output
    assert "ok=2 " in done.output


def test_teardown_removes_it(user: User, sandbox: Sandbox) -> None:
    assert sandbox.resources()["instances"] == ["flask-1"]
    gone = user.play("teardown")
    assert gone.status == 0, gone.output
    assert gone.changed > 0
    left = sandbox.resources()
    assert (left["instances"], left["disks"], left["images"]) == ([], [], [])
