# SPDX-License-Identifier: GPL-3.0-or-later
"""Part 2 as a person lives it: three clones of a machine at work, with all that it had done.

The tests tell one story in order; each begins where the one before it ended.
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.system.sandbox import Play, Sandbox, eventually, page

pytestmark = [pytest.mark.sandbox, pytest.mark.timeout(280)]

INSTANCE = "flask-1"
CLONES = [f"{INSTANCE}-clone-{number}" for number in (1, 2, 3)]
ENTRY = "made before the snapshot"

# A service that keeps two files in step: an entry is added to one, then the other, its index, is
# replaced. Nothing is ever synced. An index that knows of entries that are not there is torn.
LEDGER = """
mkdir -p /opt/ledger
cat >/opt/ledger/keep.sh <<'END'
cd /opt/ledger
count=$(cat count 2>/dev/null || echo 0)
trap 'stop=1' TERM
until [ "$stop" ]; do
  count=$((count + 1))
  printf '%4095s\\n' $count >>entries
  echo $count >count.new
  mv count.new count
  sleep 0.1
done
END
cat >/etc/systemd/system/ledger.service <<'END'
[Service]
ExecStart=/bin/sh /opt/ledger/keep.sh
KillMode=mixed
END
systemctl daemon-reload
systemctl start ledger
until test -e /opt/ledger/count; do sleep 0.1; done
"""
ENTRY_BYTES = 4096

# The sandbox's file systems cannot be frozen; this stands for one that can, and keeps a record.
FREEZER = """
cat >/usr/local/sbin/fsfreeze <<'END'
#!/bin/sh
echo "$*" >>/run/fsfreeze.record
END
chmod +x /usr/local/sbin/fsfreeze
"""
IDENTITIES = """
hostname
cat /etc/machine-id
cut -d' ' -f2 /etc/ssh/ssh_host_ed25519_key.pub
curl -s -H 'Metadata-Flavor: Google' http://metadata.google.internal/computeMetadata/v1/instance/id
"""
QUIESCED = json.dumps({"snapshot_quiesce_services": ["flask-app", "ledger"]})


@dataclass(frozen=True, slots=True)
class Ledger:
    """What the files of the service hold.

    Attributes:
        entries: how many there are.
        index: how many the index knows of.
    """

    entries: int
    index: int


def in_guest(sandbox: Sandbox, instance: str, script: str) -> str:
    """Run a script as root by the machine's console, which needs no network."""
    return sandbox.cli("ssh", instance, "sh", "-c", script).stdout


def ledger(sandbox: Sandbox, instance: str) -> Ledger:
    """Read both files of a machine."""
    read = "cd /opt/ledger; stat -c %s entries; cat count"
    size, index = in_guest(sandbox, instance, read).split()
    return Ledger(int(size) // ENTRY_BYTES, int(index))


def runs(sandbox: Sandbox, service: str) -> bool:
    """Whether a service runs on the machine that is cloned."""
    done = sandbox.cli("ssh", INSTANCE, "systemctl", "is-active", service, check=False)
    return done.stdout.strip() == "active"


def frozen_and_thawed(sandbox: Sandbox) -> list[str]:
    """What was asked of the file system of the machine that is cloned, in order."""
    return in_guest(sandbox, INSTANCE, "cat /run/fsfreeze.record || true").splitlines()


def snapshot(sandbox: Sandbox, name: str) -> dict[str, str]:
    """Read one of the snapshots: `id`, `status`, and how the machine stood (`quiesce`)."""
    described = sandbox.client("gcloud", "compute", "snapshots", "describe", name, "--format=json")
    document = json.loads(described.stdout)
    quiesce = document["labels"]["cloudspill-quiesce"]
    return {"id": document["id"], "status": document["status"], "quiesce": quiesce}


def fault(sandbox: Sandbox, *words: str) -> str:
    """Arm a fault of the next snapshot; return its id."""
    method = ("--method", "compute.disks.createSnapshot", "--step", "freeze")
    return str(sandbox.cli("faults", "add", *words, *method).stdout.strip())


@pytest.fixture(scope="module", autouse=True)
def before(running: Sandbox) -> dict[str, list[str]]:
    """What the project held before part 1."""
    return running.resources()


@pytest.fixture(scope="module")
def timing(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The file for the times."""
    return tmp_path_factory.mktemp("timing") / "TIMING.md"


@pytest.fixture(scope="module")
def machine(running: Sandbox, before: dict[str, list[str]]) -> Sandbox:
    """The machine of part 1, with an entry on its board and a second service."""
    made = running.play("part1.yml")
    assert made.status == 0, made.output
    flask = "cd /opt/flask-app/source; runuser -u flask-app -- ../venv/bin/flask"
    in_guest(running, INSTANCE, f"{flask} --app board:create_app add-entry '{ENTRY}'")
    in_guest(running, INSTANCE, LEDGER)
    eventually(lambda: ledger(running, INSTANCE).index > 5, within=20, what="the ledger is kept")
    return running


@pytest.fixture(scope="module")
def part2(machine: Sandbox, timing: Path) -> Play:
    """Part 2 as it is without options, but for the second service."""
    return machine.play("part2.yml", "-e", f"timing_file={timing}", "-e", QUIESCED)


def test_three_clones_serve_what_was_written_before_the_snapshot(
    machine: Sandbox, part2: Play
) -> None:
    assert part2.status == 0, part2.output
    known = machine.inventory()
    assert known.keys() == {INSTANCE, *CLONES}
    for clone in CLONES:
        address = known[clone]["ansible_host"]
        assert f"http://{address}:5000/" in part2.output
        status, body = page(address)
        assert status == 200
        assert ENTRY in body
        assert f"from {clone}" in body


def test_every_clone_is_a_machine_of_its_own(machine: Sandbox, part2: Play) -> None:
    names = [INSTANCE, *CLONES]
    said = [in_guest(machine, name, IDENTITIES).split() for name in names]
    assert [one[0] for one in said] == names
    for each in zip(*said, strict=True):
        assert len(set(each)) == len(names)
    answered = machine.run("ansible", ",".join(CLONES), "-m", "ansible.builtin.ping").stdout
    assert answered.count("SUCCESS") == 3, "ssh verifies the key that each published"


def test_progress_is_told_for_every_clone(part2: Play) -> None:
    for clone in CLONES:
        assert re.search(rf"^  {clone}: RUNNING after [\d.]+ s in us-west1-b", part2.output, re.M)
        assert re.search(rf"^  {clone}: flask after [\d.]+ s$", part2.output, re.M)


def test_the_clones_hold_what_services_keep_in_step(machine: Sandbox, part2: Play) -> None:
    for clone in CLONES:
        held = ledger(machine, clone)
        assert held.entries == held.index > 5
    assert runs(machine, "ledger")
    assert runs(machine, "flask-app")
    assert snapshot(machine, f"base-snapshot-{INSTANCE}")["quiesce"] == "stopped"


def test_the_times_are_written_down(part2: Play, timing: Path) -> None:
    text = timing.read_text()
    rows = [line.split("|") for line in text.splitlines() if line.startswith("| flask-1-clone")]
    assert [row[1].strip() for row in rows] == CLONES
    took = [[float(cell.removesuffix(" s ")) for cell in row[4:8]] for row in rows]
    assert all(0 < api <= up <= flask for api, up, _, flask in took)
    figures = dict(re.findall(r"^- (.+?): ([\d.]+)", text, re.M))
    makespan = float(figures["makespan (first request to last page)"])
    assert float(figures["slowest"]) == max(flask for *_, flask in took) <= makespan
    assert 1 <= float(figures["makespan / slowest"]) < 2
    assert "- target: the sandbox, project cloudspill-sandbox, us-west1-b\n" in text
    assert "- machine type: f1-micro\n" in text


def test_a_second_run_changes_nothing_and_writes_nothing(
    machine: Sandbox, part2: Play, timing: Path
) -> None:
    written = timing.stat()
    play = machine.play("part2.yml", "-e", f"timing_file={timing}", "-e", QUIESCED)
    assert (play.status, play.changed) == (0, 0), play.output
    assert timing.stat().st_mtime_ns == written.st_mtime_ns


def test_without_quiescing_a_clone_is_torn(machine: Sandbox, part2: Play, timing: Path) -> None:
    options = {
        "snapshot_quiesce": "none",
        "snapshot_name": "torn",
        "clones_instance": "torn",
        "clones_count": 1,
        "clones_image_threshold": 0,  # by way of an image, at that
        "timing_file": str(timing),
    }
    play = machine.play("part2.yml", "-e", json.dumps(options))
    assert play.status == 0, play.output
    held = ledger(machine, "torn-clone-1")
    assert held.entries < held.index
    assert snapshot(machine, "torn")["quiesce"] == "none"
    assert "1 from an image of torn" in timing.read_text().split("## ")[1], "the newest first"


def test_services_run_again_when_the_snapshot_fails(machine: Sandbox, part2: Play) -> None:
    fault(machine, "operation-fails")
    play = machine.play("part2.yml", "--tags", "snapshot", "-e", "snapshot_name=failed")
    assert play.status != 0
    assert "createSnapshot: Internal error" in play.output
    assert runs(machine, "flask-app")


@pytest.mark.slow
def test_a_snapshot_that_takes_too_long_is_given_up(machine: Sandbox, part2: Play) -> None:
    fault(machine, "operation-slow", "--delay", "10")
    options = ("-e", "snapshot_name=late", "-e", "snapshot_freeze_timeout=5")
    play = machine.play("part2.yml", "--tags", "snapshot", *options)
    assert play.status != 0
    said = " ".join(play.output.split())
    assert "went on by itself before the content of the snapshot late was fixed" in said
    assert "set snapshot_freeze_timeout to more than 5" in said
    assert runs(machine, "flask-app")
    listed = machine.client("gcloud", "compute", "snapshots", "list", "--format=value(name)")
    assert "late" not in listed.stdout.split()


@pytest.mark.slow
def test_an_interrupted_run_lets_the_machine_go_on_and_the_next_begins_anew(
    machine: Sandbox, part2: Play
) -> None:
    options = ("--tags", "snapshot", "-e", "snapshot_name=cut", "-e", "snapshot_freeze_timeout=10")
    in_guest(machine, INSTANCE, FREEZER)
    slow = fault(machine, "operation-slow", "--delay", "12")
    play = machine.start("part2.yml", *options)
    try:
        frozen = ["--freeze /"]
        eventually(lambda: frozen_and_thawed(machine) == frozen, within=60, what="it is frozen")
        assert not runs(machine, "flask-app")
        machine.cli("faults", "wait", slow, "--timeout", "60")
    finally:
        play.kill()
        play.wait()
    eventually(lambda: runs(machine, "flask-app"), within=30, what="the service runs again")
    assert frozen_and_thawed(machine) == ["--freeze /", "--unfreeze /"]
    left = snapshot(machine, "cut")
    assert left["quiesce"] == "pending"
    again = machine.play("part2.yml", *options)
    assert again.status == 0, again.output
    taken = snapshot(machine, "cut")
    assert taken["quiesce"] == "frozen"
    assert taken["id"] != left["id"]


def test_teardown_leaves_the_project_as_it_was(
    machine: Sandbox, part2: Play, before: dict[str, list[str]]
) -> None:
    first = machine.play("teardown.yml")
    assert first.status == 0, first.output
    assert machine.resources() == before
    second = machine.play("teardown.yml")
    assert (second.status, second.changed) == (0, 0), second.output
