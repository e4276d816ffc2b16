# SPDX-License-Identifier: GPL-3.0-or-later
"""A Podman of the sandbox's own: storage, configuration and locks apart from the host's."""

from __future__ import annotations

import asyncio
import contextlib
import json
import logging
import os
import re
import resource
import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from cloudspill_sandbox.runtime.boot_id import boot_id_hook
from cloudspill_sandbox.runtime.interface import MachineError, MachineSpec
from cloudspill_sandbox.runtime.processes import ProcessId

OCI_RUNTIMES = ("crun", "runc")
"""In order of preference; which of them works depends on the host's control groups and limits."""

_REMOVAL_TRIES = 5
_CONCURRENT_COMMANDS = 4
_CONSOLE_LIMIT = 8 << 20
_PROCESS_LIMIT = 8192
"""Of a machine; also stays below the ceiling that Podman gives itself (the kernel's pid_max)."""

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Container:
    """A started container.

    Attributes:
        id: Podman's id of it.
        name: its name.
        init: its init, in the host's numbering.
        monitor: conmon, which ends when the container has ended and is cleaned up.
    """

    id: str
    name: str
    init: ProcessId
    monitor: ProcessId


@dataclass(frozen=True, slots=True)
class ContainerRequest:
    """How to start a machine's container.

    Attributes:
        spec: the machine.
        root: its mounted root file system.
        data: (device name, mounted directory) of further disks.
        console: file that collects what it writes to its console.
    """

    spec: MachineSpec
    root: Path
    data: tuple[tuple[str, Path], ...]
    console: Path


class Podman:
    """Runs podman commands.

    Args:
        directory: everything that Podman keeps; must not outlive a boot of the host.
        cgroup_parent: control group of all containers.
    """

    def __init__(self, directory: Path, cgroup_parent: str) -> None:
        self._directory = directory
        self._cgroup_parent = cgroup_parent
        self._slots = asyncio.Semaphore(_CONCURRENT_COMMANDS)
        self._doomed: asyncio.Queue[str] = asyncio.Queue()

    @property
    def containers(self) -> Path:
        """Holds a folder for each container that was begun and not removed, by its name."""
        return self._directory / "containers"

    async def start(self, probe_root: Path) -> None:
        """Write the configuration and find out which OCI runtime works here.

        What an earlier life found out holds as long as its directory: until the next boot.

        Args:
            probe_root: a root file system with /bin/true that may be written to.

        Raises:
            MachineError: none does; the message has each one's answer.
        """
        self._directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        proven, answers = self._directory / "proven.conf", []
        for candidate in OCI_RUNTIMES:
            if shutil.which(candidate) is None:
                continue
            configuration = self._configuration(candidate)
            if proven.exists() and proven.read_text() == configuration:
                return
            (self._directory / "containers.conf").write_text(configuration)
            options = [*self._options("probe"), "--rm", "--network", "none", "--no-hosts"]
            try:
                await self._run("run", *options, "--rootfs", str(probe_root), "/bin/true")
            except MachineError as error:
                answers.append(str(error))
                continue
            proven.write_text(configuration)
            _log.info("machines run with %s", candidate)
            return
        raise MachineError(
            "no container starts on this host: "
            + ("; ".join(answers) or f"none of {', '.join(OCI_RUNTIMES)} is installed")
        )

    def _configuration(self, oci_runtime: str) -> str:
        limits = [
            _ulimit("nofile", resource.RLIMIT_NOFILE, 1 << 20),
            _ulimit("nproc", resource.RLIMIT_NPROC, _PROCESS_LIMIT),
        ]
        # Files as locks: Podman's shared memory is the host's Podman's too.
        lines = [
            "[containers]",
            f"default_ulimits = {json.dumps(limits)}",
            f"pids_limit = {_PROCESS_LIMIT}",
            "[engine]",
            f'runtime = "{oci_runtime}"',
            'cgroup_manager = "cgroupfs"',
            'events_logger = "none"',
            'lock_type = "file"',
            "[network]",
            f'network_config_dir = "{self._directory}/networks"',
        ]
        if _has_netavark():
            lines.append('network_backend = "netavark"')
        return "\n".join(lines) + "\n"

    async def run(self, request: ContainerRequest, name: str) -> Container:
        """Start a container; returns when its init runs.

        Raises:
            MachineError: it could not be started; the message has Podman's answer.
        """
        try:
            return await self._start_watchable(request, name)
        except (OSError, ValueError) as error:
            self._doomed.put_nowait(name)
            raise MachineError(f"container {name} could not be started: {error}") from error
        except BaseException:
            self._doomed.put_nowait(name)
            raise

    async def _start_watchable(self, request: ContainerRequest, name: str) -> Container:
        spec = request.spec
        pids = self.containers / name
        pids.mkdir(parents=True)
        options = [
            *self._options(name),
            *("--detach", "--tty"),
            *("--network", f"ns:{spec.nic.namespace}", "--no-hosts", "--dns", "none"),
            *("--hostname", spec.name),
            *("--cpus", f"{spec.vcpus:g}", "--memory", f"{spec.memory_mb}m"),
            *("--pidfile", str(pids / "init"), "--conmon-pidfile", str(pids / "conmon")),
            *("--log-driver", "k8s-file", "--log-opt", f"path={request.console}"),
            *("--log-opt", f"max-size={_CONSOLE_LIMIT}"),
        ]
        for device, directory in request.data:
            mode = "ro" if device in spec.read_only else "rw"
            options += ["--volume", f"{directory}:/mnt/disks/{device}:{mode}"]
        hooks = boot_id_hook(pids, request.root)
        command = ("run", *options, "--rootfs", str(request.root), *_init(spec))
        answer = await self._run(*command, hooks=hooks)
        init, monitor = (
            ProcessId.of(int((pids / part).read_text())) for part in ("init", "conmon")
        )
        return Container(answer.strip(), name, init, monitor)

    def _options(self, name: str) -> list[str]:
        # SYS_BOOT acts on the container's own process namespace: init then ends with a status
        # that tells a reboot from a power-off. Identity in the VPC is the source address, hence
        # no raw packets.
        return [
            *("--name", name, "--systemd", "always"),
            *("--cgroup-parent", self._cgroup_parent),
            *("--cap-add", "SYS_BOOT", "--cap-drop", "NET_RAW"),
        ]

    async def exit_code(self, container: Container) -> int:
        """Return the exit code of a container that has ended.

        Raises:
            MachineError: it is not known: the container runs, or its conmon was killed.
        """
        state = "{{.State.Status}} {{.State.ExitCode}}"
        answer = await self._run("container", "inspect", "--format", state, container.id)
        ended = re.fullmatch(r"(?:exited|stopped) (\d+)", answer.strip())
        if ended is None:
            raise MachineError(f"container {container.name} ended with {answer.strip()!r}")
        return int(ended[1])

    def discard(self, name: str) -> None:
        """Remove an ended container some time soon, see remove_discarded()."""
        self._doomed.put_nowait(name)

    async def remove_discarded(self) -> None:
        """Remove what was discarded, one by one, for ever: removals at the same time fail."""
        while True:
            name = await self._doomed.get()
            for attempt in range(_REMOVAL_TRIES):
                try:
                    await self._run("rm", "--force", "--ignore", name)
                    shutil.rmtree(self.containers / name, ignore_errors=True)
                    break
                except MachineError as error:
                    _log.warning("%s", error)
                    await asyncio.sleep(0.2 * 2**attempt)

    def console_command(self, container: Container, tty: bool) -> list[str]:
        """Return the words that, with a command appended, run it in a container as root."""
        terminal = ["--interactive", "--tty"] if tty else ["--interactive"]
        configuration = f"CONTAINERS_CONF={self._directory}/containers.conf"
        return [
            *("env", configuration, "podman"),
            *self._global_options(),
            *("exec", *terminal, container.id),
        ]

    async def _run(self, *arguments: str, hooks: Path | None = None) -> str:
        """Run one podman command and return its output.

        Args:
            hooks: directory of OCI hooks; None for the host's.

        Raises:
            MachineError: it failed.
        """
        environment = {**os.environ, "CONTAINERS_CONF": str(self._directory / "containers.conf")}
        async with self._slots:
            try:
                # A podman whose sandbox was killed must not go on to start a machine.
                process = await asyncio.create_subprocess_exec(
                    *("setpriv", "--pdeathsig", "KILL", "podman"),
                    *self._global_options(),
                    *(("--hooks-dir", str(hooks)) if hooks else ()),
                    *arguments,
                    stdin=asyncio.subprocess.DEVNULL,
                    stdout=asyncio.subprocess.PIPE,
                    stderr=asyncio.subprocess.PIPE,
                    env=environment,
                )
            except OSError as error:
                raise MachineError(f"`podman {arguments[0]}` did not start: {error}") from error
            try:
                output, complaint = await process.communicate()
            except asyncio.CancelledError:
                with contextlib.suppress(ProcessLookupError):
                    process.kill()
                await process.wait()
                raise
        if process.returncode:
            reason = _last_line(complaint.decode(errors="replace"))
            raise MachineError(f"`podman {arguments[0]}` failed: {reason}")
        return output.decode()

    def _global_options(self) -> Sequence[str]:
        return [
            *("--root", f"{self._directory}/root"),
            *("--runroot", f"{self._directory}/run"),
            *("--tmpdir", f"{self._directory}/tmp"),
            *("--storage-driver", "vfs"),  # root file systems are ours; nothing is stored here
        ]


def _init(spec: MachineSpec) -> list[str]:
    """Return the init's words; its options are those of a kernel command line on real machines.

    https://www.freedesktop.org/software/systemd/man/systemd.html#--unit=
    """
    return ["/sbin/init", *(["--unit=emergency.target"] if spec.emergency else [])]


def _ulimit(name: str, limit: int, wanted: int) -> str:
    """Return a limit no higher than this process may give: some OCI runtimes fail on more."""
    hard = resource.getrlimit(limit)[1]
    value = wanted if hard == resource.RLIM_INFINITY else min(wanted, hard)
    return f"{name}={value}:{value}"


def _has_netavark() -> bool:
    return any(
        Path(folder, "netavark").exists()
        for folder in ("/usr/lib/podman", "/usr/libexec/podman", "/usr/local/libexec/podman")
    )


def _last_line(text: str) -> str:
    lines = text.strip().splitlines()
    return lines[-1].removeprefix("Error: ") if lines else "no reason given"
