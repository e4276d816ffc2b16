# SPDX-License-Identifier: GPL-3.0-or-later
"""What Podman is asked for, answered by a script in its place."""

from __future__ import annotations

import asyncio
import contextlib
import json
import stat
import uuid
from pathlib import Path

import pytest

from cloudspill_sandbox.runtime.interface import MachineError, MachineNic, MachineSpec
from cloudspill_sandbox.runtime.podman import Container, ContainerRequest, Podman
from cloudspill_sandbox.runtime.processes import ProcessId

SPEC = MachineSpec(
    id="7",
    name="vm",
    hostname="vm.z.c.p.internal",
    boot_volume="d1",
    nic=MachineNic("/nowhere", "10.0.0.2", "42:01:0a:00:00:02"),
    vcpus=1.0,
    memory_mb=614,
    data_volumes=(("archive", "d2"), ("scratch", "d3")),
    read_only=frozenset({"archive"}),
)
GONE = ProcessId(4_194_305, 0)
"""One more than the kernel's largest process id."""

STARTS = """
for word; do
    case "$last" in
        --pidfile|--conmon-pidfile) echo 4194305 >"$word" ;;
    esac
    last=$word
done
echo 0123abcd
"""


class Script:
    """Stands on the PATH as setpriv, and so before podman; remembers how it was called."""

    def __init__(self, folder: Path) -> None:
        self._path = folder / "setpriv"
        self._calls = folder / "calls"

    def write(self, body: str) -> None:
        self._path.write_text(f'#!/bin/sh\necho "$@" >>"{self._calls}"\n{body}')
        self._path.chmod(0o755)

    @property
    def calls(self) -> list[str]:
        return self._calls.read_text().splitlines() if self._calls.exists() else []


@pytest.fixture
def script(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Script:
    folder = tmp_path / "bin"
    folder.mkdir()
    (folder / "mount").touch(mode=0o755)
    monkeypatch.setenv("PATH", str(folder))
    return Script(folder)


@pytest.fixture
def podman(tmp_path: Path) -> Podman:
    return Podman(tmp_path / "podman", "/cloudspill/test")


def request(tmp_path: Path) -> ContainerRequest:
    data = tuple((device, tmp_path / volume) for device, volume in SPEC.data_volumes)
    return ContainerRequest(SPEC, tmp_path / "root", data, tmp_path / "console")


async def test_nobody_else_can_reach_what_podman_mounts(script: Script, tmp_path: Path) -> None:
    with pytest.raises(MachineError, match="none of crun, runc is installed"):
        await Podman(tmp_path / "podman", "/cloudspill/test").start(tmp_path)
    assert stat.S_IMODE((tmp_path / "podman").stat().st_mode) == 0o700
    assert script.calls == []


async def test_a_disk_is_mounted_as_it_is_attached(
    script: Script, podman: Podman, tmp_path: Path
) -> None:
    script.write(STARTS)
    container = await podman.run(request(tmp_path), "vm-7-1")
    assert container == Container("0123abcd", "vm-7-1", GONE, GONE)
    assert f"--volume {tmp_path}/d2:/mnt/disks/archive:ro " in script.calls[0]
    assert f"--volume {tmp_path}/d3:/mnt/disks/scratch:rw " in script.calls[0]


async def test_every_container_gets_a_boot_id_of_its_own(
    script: Script, podman: Podman, tmp_path: Path
) -> None:
    script.write(STARTS)
    boot_ids = set()
    for name in ("vm-7-1", "vm-7-2"):
        await podman.run(request(tmp_path), name)
        folder = podman.containers / name
        assert f"--hooks-dir {folder}/hooks run " in script.calls[-1]
        (hook,) = [json.loads(path.read_text()) for path in (folder / "hooks").iterdir()]
        assert hook["stages"] == ["createContainer"]
        *words, source, target = hook["hook"]["args"]
        assert words == [hook["hook"]["path"], "--bind", "--options", "ro"]
        assert target == f"{tmp_path}/root/proc/sys/kernel/random/boot_id"
        assert stat.S_IMODE(Path(source).stat().st_mode) == 0o444
        boot_ids.add(uuid.UUID(Path(source).read_text().removesuffix("\n")))
    assert len(boot_ids) == 2


@pytest.mark.parametrize(
    ("body", "message"),
    [
        ("echo 0123abcd", r"vm-7-1 could not be started: .*init"),
        (STARTS.replace("echo 4194305", "echo"), "vm-7-1 could not be started: invalid literal"),
        ("echo Error: no luck >&2; exit 125", "`podman run` failed: no luck"),
    ],
    ids=["no process id", "empty process id", "refused"],
)
async def test_a_container_that_cannot_be_watched_is_removed(
    script: Script, podman: Podman, tmp_path: Path, body: str, message: str
) -> None:
    script.write(body)
    with pytest.raises(MachineError, match=message):
        await podman.run(request(tmp_path), "vm-7-1")
    remover = asyncio.create_task(podman.remove_discarded())
    try:
        for _ in range(1000):
            if script.calls[-1].endswith("rm --force --ignore vm-7-1"):
                break
            await asyncio.sleep(0.01)
        else:
            pytest.fail(f"not removed: {script.calls}")
    finally:
        remover.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await remover


@pytest.mark.usefixtures("script")  # not written: there is no such program
async def test_a_podman_that_cannot_be_started_is_a_machine_s_error(
    podman: Podman, tmp_path: Path
) -> None:
    with pytest.raises(MachineError, match=r"`podman run` did not start: .*setpriv"):
        await podman.run(request(tmp_path), "vm-7-1")
    with pytest.raises(MachineError, match="`podman container` did not start"):
        await podman.exit_code(Container("0123", "vm-7-1", GONE, GONE))


@pytest.mark.parametrize("answer", ["<no value>", "running 0", "exited -1"])
async def test_an_exit_code_that_is_none_is_a_machine_s_error(
    script: Script, podman: Podman, answer: str
) -> None:
    script.write(f"echo '{answer}'")
    with pytest.raises(MachineError, match=f"vm-7-1 ended with '{answer}"):
        await podman.exit_code(Container("0123", "vm-7-1", GONE, GONE))


async def test_the_exit_code_of_an_ended_container_is_known(script: Script, podman: Podman) -> None:
    script.write("echo exited 130")
    assert await podman.exit_code(Container("0123", "vm-7-1", GONE, GONE)) == 130
