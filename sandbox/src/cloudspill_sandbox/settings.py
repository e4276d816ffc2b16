# SPDX-License-Identifier: GPL-3.0-or-later
"""Where a sandbox lives on its host and what it is called."""

from __future__ import annotations

import dataclasses
import enum
import os
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from types import MappingProxyType
from typing import Any

NAME_PATTERN = re.compile(r"[a-z][a-z0-9]{0,11}")
"""Short, because namespaces and interfaces carry it (an interface name has 15 characters)."""

RESERVED_NAMES = frozenset({"ca", "images"})
"""Folders beside those of the sandboxes."""

RUN_ROOT = Path("/run/cloudspill")

PROJECT_PATTERN = re.compile(r"[a-z][a-z0-9-]{4,28}[a-z0-9]")
"""https://cloud.google.com/resource-manager/docs/creating-managing-projects#before_you_begin"""

DEFAULT_PROJECT, _DEFAULT_NUMBER = "cloudspill-sandbox", 415104041262


def number_of(project: str) -> int:
    """Return the number of a project, by its id: the same in every sandbox."""
    if project == DEFAULT_PROJECT:
        return _DEFAULT_NUMBER
    digest = sha256(project.encode()).digest()
    return 10**11 + int.from_bytes(digest[:5], "big") % (9 * 10**11)


class LatencyProfile(enum.StrEnum):
    """How long operations take: see compute/latency.py."""

    INSTANT = "instant"
    GCE = "gce"


def _absolute(text: str) -> Path:
    return Path(text).absolute()


def _words(text: str) -> tuple[str, ...]:
    return tuple(filter(None, text.split(",")))


def _text(value: Any) -> str:
    if isinstance(value, bool):
        return str(int(value))
    return ",".join(value) if isinstance(value, tuple) else str(value)


ENVIRONMENT: Mapping[str, tuple[str, Callable[[str], Any]]] = MappingProxyType(
    {
        "name": ("CLOUDSPILL_SANDBOX", str),
        "port": ("CLOUDSPILL_SANDBOX_PORT", int),
        "state_root": ("CLOUDSPILL_STATE_ROOT", _absolute),
        "run_root": ("CLOUDSPILL_RUN_ROOT", _absolute),
        "in_memory": ("CLOUDSPILL_SANDBOX_IN_MEMORY", lambda text: bool(int(text))),
        "keep_state": ("CLOUDSPILL_SANDBOX_KEEP_STATE", lambda text: bool(int(text))),
        "latency": ("CLOUDSPILL_SANDBOX_LATENCY", LatencyProfile),
        "seed": ("CLOUDSPILL_SANDBOX_SEED", int),
        "projects": ("CLOUDSPILL_SANDBOX_PROJECTS", _words),
        "quotas": ("CLOUDSPILL_SANDBOX_QUOTAS", str),
        "witness": ("CLOUDSPILL_SANDBOX_WITNESS", _absolute),
    }
)
"""Fields that the environment may set, their variables, and how each is read."""


@dataclass(frozen=True, slots=True)
class Settings:
    """The names, paths and port of one sandbox; every host resource carries `name`.

    Attributes:
        name: matches NAME_PATTERN; several sandboxes may exist, one may run at a time.
        projects: ids of the projects that exist in it; clients get the first unless they choose.
        port: TCP port on 127.0.0.1 of the CONNECT proxy, the one door of the API.
        state_root: holds what must survive a restart; outside any checkout.
        run_root: holds what must not.
        in_memory: machines and the VPC exist in memory only; needs no root.
        keep_state: with `in_memory`, the documents and volumes last, as they do without it.
        latency: how long operations take.
        seed: with the same one, `gce` takes the same times.
        quotas: limits that every region has, `CPUS=24,IN_USE_ADDRESSES=8`; no others are held to.
        witness: file that keeps a line of each call that was answered (engine/witness.py).
    """

    name: str = "cloudspill"
    projects: tuple[str, ...] = (DEFAULT_PROJECT,)
    port: int = 8460
    state_root: Path = Path("/var/lib/cloudspill")
    run_root: Path = RUN_ROOT
    in_memory: bool = False
    keep_state: bool = False
    latency: LatencyProfile = LatencyProfile.INSTANT
    seed: int = 0
    quotas: str = ""
    witness: Path | None = None

    def __post_init__(self) -> None:
        """Refuse a name that host resources could not carry, and one that is no project's.

        Raises:
            ValueError: a bad value; the message names the variable that sets it.
        """
        if not NAME_PATTERN.fullmatch(self.name) or self.name in RESERVED_NAMES:
            raise ValueError(
                f"sandbox name {self.name!r} must match {NAME_PATTERN.pattern} and be none of "
                f"{', '.join(sorted(RESERVED_NAMES))} (set CLOUDSPILL_SANDBOX)"
            )
        if not 0 < self.port < 1 << 16:
            raise ValueError(f"port {self.port} is not one (set CLOUDSPILL_SANDBOX_PORT)")
        for project in self.projects or ("",):
            if not PROJECT_PATTERN.fullmatch(project):
                raise ValueError(
                    f"project id {project!r} must match {PROJECT_PATTERN.pattern} "
                    "(set --project or CLOUDSPILL_SANDBOX_PROJECTS)"
                )

    @classmethod
    def from_environment(cls) -> Settings:
        """Read what ENVIRONMENT names, else the defaults.

        Raises:
            ValueError: a value is not of its kind; the message names the variable.
        """
        values: dict[str, Any] = {}
        for field, (variable, parse) in ENVIRONMENT.items():
            if variable in os.environ:
                try:
                    values[field] = parse(os.environ[variable])
                except ValueError as error:
                    raise ValueError(f"{variable}={os.environ[variable]!r}: {error}") from error
        return cls(**values)

    def to_environment(self) -> dict[str, str]:
        """Return the variables from which from_environment() reads these settings."""
        values = {variable: getattr(self, field) for field, (variable, _) in ENVIRONMENT.items()}
        return {name: _text(value) for name, value in values.items() if value is not None}

    @property
    def project(self) -> str:
        """Id of the first project."""
        return self.projects[0]

    @property
    def project_number(self) -> int:
        """Number of the first project, as Google shows it in service-account addresses."""
        return number_of(self.project)

    def of(self, project: str) -> Settings:
        """Return the same settings with this project alone."""
        return dataclasses.replace(self, projects=(project,))

    @property
    def owns_host(self) -> bool:
        """Whether namespaces, links and machines of this name on the host are this sandbox's.

        They carry the name alone, so the lock must be found by the name alone.
        """
        return not self.in_memory and self.run_root == RUN_ROOT

    @property
    def state_dir(self) -> Path:
        """Documents, volumes, keys of this sandbox."""
        return self.state_root / self.name

    @property
    def run_dir(self) -> Path:
        """Admin socket, lock, pid, environment file of the running sandbox."""
        return self.run_root / self.name

    @property
    def ca_dir(self) -> Path:
        """The certificate authority: one a host, so that guest images can trust it."""
        return self.state_root / "ca"

    @property
    def images_dir(self) -> Path:
        """Guest images, built once a host."""
        return self.state_root / "images"

    @property
    def lasting(self) -> bool:
        """Whether documents and what belongs to them outlive the process."""
        return self.keep_state or not self.in_memory

    @property
    def database(self) -> Path:
        """The SQLite file with every document, apart for machines in memory: they cannot meet."""
        return self.state_dir / ("memory.sqlite3" if self.in_memory else "state.sqlite3")

    @property
    def volumes_dir(self) -> Path:
        """Root of the overlay layers; short, because overlay mount options are one page long."""
        return self.state_dir / ("memory" if self.in_memory else "v")

    @property
    def objects_dir(self) -> Path:
        """The bytes of Cloud Storage's objects; without documents that last, they do not either."""
        return (self.state_dir if self.lasting else self.run_dir) / "objects"

    @property
    def repositories_dir(self) -> Path:
        """Bare git repositories that guests can clone."""
        return self.state_dir / "git"

    @property
    def client_dir(self) -> Path:
        """What a client needs: key file (0600), CA file, CA bundle."""
        return self.state_dir / "client"

    @property
    def credentials(self) -> Path:
        """Service-account key file of the project's owner, mode 0600."""
        return self.client_dir / "credentials.json"

    def credentials_of(self, project: str) -> Path:
        """Key file of a project's owner."""
        if project == self.project:
            return self.credentials
        return self.client_dir / f"credentials.{project}.json"

    @property
    def client_ca(self) -> Path:
        """The sandbox's CA certificate alone."""
        return self.client_dir / "ca.pem"

    @property
    def client_bundle(self) -> Path:
        """The system's CA certificates and the sandbox's."""
        return self.client_dir / "ca-bundle.pem"

    @property
    def lock_file(self) -> Path:
        """Held locked by the running daemon; its content is the daemon's pid."""
        return self.run_dir / "lock"

    @property
    def admin_socket(self) -> Path:
        """Unix socket of the admin API, mode 0600."""
        return self.run_dir / "admin.sock"

    @property
    def environment_file(self) -> Path:
        """JSON object of the environment variables that point a Google client here."""
        return self.run_dir / "environment.json"

    def environment_file_of(self, project: str) -> Path:
        """The same for any of the projects."""
        if project == self.project:
            return self.environment_file
        return self.run_dir / f"environment.{project}.json"

    @property
    def call_log(self) -> Path:
        """Every API call, newest last; the one before it has `.1` at its end."""
        return self.state_dir / "calls.jsonl"

    @property
    def log_file(self) -> Path:
        """The daemon's log."""
        return self.state_dir / "sandbox.log"
