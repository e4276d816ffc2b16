# SPDX-License-Identifier: GPL-3.0-or-later
"""Builds the guest image with mmdebstrap: whole or not at all, and once for all sandboxes."""

from __future__ import annotations

import asyncio
import contextlib
import fcntl
import os
import platform
import shutil
import sys
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

from cloudspill_sandbox.runtime.guest_image.recipe import (
    CUSTOMIZE,
    FILES,
    PACKAGES,
    PACKAGES_AT_HAND,
    PYTHON,
    SUITE,
    WHEELS_AT_HAND,
    Recipe,
    apt_transport_options,
    debian_sources,
)
from cloudspill_sandbox.runtime.mounts import mounts_below
from cloudspill_sandbox.runtime.trees import remove_tree
from cloudspill_sandbox.runtime.volume_records import images_in_use
from cloudspill_sandbox.settings import Settings

Progress = Callable[[str], None]

_DRAFT = ".building"
_PACKAGE_CACHE = ".packages"
_STEPS = {
    "running apt-get update": "Guest image: reading the package lists",
    "downloading packages": "Guest image: downloading packages",
    "extracting archives": "Guest image: unpacking the essential packages",
    "installing essential": "Guest image: installing the essential packages",
    "installing remaining": "Guest image: installing systemd, ssh and Google's guest agent",
    "running --customize-hook": "Guest image: settings, and packages kept at hand",
}
"""What mmdebstrap says, and what we say."""


class GuestImageError(RuntimeError):
    """The guest image could not be built; the message says at which step and why."""


async def ensure_guest_image(
    settings: Settings, extra_cas: Sequence[Path], progress: Progress
) -> Path:
    """Return the guest's root file system, after building it if it is not there.

    What a killed build downloaded is used by the next one. Images that no volume stands on any
    more are removed.

    Args:
        settings: where images are kept.
        extra_cas: PEM files of certificate authorities that guests trust, beside the host's own.
        progress: called with a sentence at each step of a build.

    Raises:
        GuestImageError: it could not be built.
    """
    images = settings.images_dir
    images.mkdir(parents=True, exist_ok=True)
    recipe = Recipe.for_this_host(extra_cas)
    target = images / recipe.digest
    if target.is_dir():
        return target
    with await asyncio.to_thread(_locked, images / ".lock"):
        if not target.is_dir():  # another process may have built it meanwhile
            await _build(images, recipe, progress)
            await asyncio.to_thread(_remove_unused, settings, keep=target)
    return target


def _locked(path: Path) -> contextlib.AbstractContextManager[None]:
    """Take the lock, waiting for another build to end."""
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    fcntl.flock(descriptor, fcntl.LOCK_EX)

    @contextlib.contextmanager
    def held() -> Iterator[None]:
        try:
            yield
        finally:
            os.close(descriptor)

    return held()


async def _build(images: Path, recipe: Recipe, progress: Progress) -> None:
    draft, packages = images / _DRAFT, images / _PACKAGE_CACHE
    await asyncio.to_thread(salvage, draft, packages)
    seed = draft / "seed"
    await asyncio.to_thread(_prepare_seed, seed, recipe)
    (seed / "packages").symlink_to(packages)
    progress("Guest image: building (once a host; about a minute)")
    try:
        async with asyncio.TaskGroup() as group:
            group.create_task(_debootstrap(draft / "root", seed, progress))
            group.create_task(_download_wheels(draft / "wheels"))
    except* GuestImageError as errors:
        raise errors.exceptions[0] from None
    await asyncio.to_thread(_finish, draft, images / recipe.digest)
    progress("Guest image: ready")


def salvage(draft: Path, packages: Path) -> None:
    """Remove what a killed build left, but keep the packages that it downloaded."""
    packages.mkdir(exist_ok=True)
    if mounted := mounts_below(draft):
        raise GuestImageError(f"{mounted[0]} is mounted; unmount it and try again")
    for package in draft.glob("root/var/cache/apt/archives/*.deb"):
        package.replace(packages / package.name)
    if draft.exists():
        remove_tree(draft)


def _prepare_seed(seed: Path, recipe: Recipe) -> None:
    shutil.copytree(FILES, seed / "files")
    certificates = seed / "certificates"
    certificates.mkdir()
    for number, path in enumerate(recipe.certificates):
        shutil.copyfile(path, certificates / f"sandbox-{number}.crt")


async def _debootstrap(root: Path, seed: Path, progress: Progress) -> None:
    sources = await asyncio.to_thread(debian_sources)
    archives = "$1/var/cache/apt/archives"
    at_hand = " ".join(PACKAGES_AT_HAND)
    command = [
        *("mmdebstrap", "--mode=root", "--format=directory", "--variant=apt"),
        f"--include={','.join(PACKAGES)}",
        "--skip=download/empty,essential/unlink,cleanup/apt",
        "--dpkgopt=force-unsafe-io",
        '--aptopt=Acquire::Languages "none"',
        '--aptopt=APT::Install-Recommends "false"',
        *(f"--aptopt={option}" for option in apt_transport_options()),
        f'--setup-hook=mkdir -p "{archives}"',
        f'--setup-hook=find "{seed}/packages/" -name "*.deb" -exec cp -lt "{archives}" {{}} +',
        f'--customize-hook="{CUSTOMIZE}" "$1" "{seed}" {at_hand}',
        *(SUITE, str(root), *sources),
    ]
    # In namespaces of its own: whatever happens to this process, no mount and no process stays.
    isolated = [
        *("setpriv", "--pdeathsig", "KILL"),
        *("unshare", "--pid", "--fork", "--kill-child", "--mount", "--mount-proc"),
        *command,
    ]
    await _run("mmdebstrap", isolated, progress)


async def _download_wheels(target: Path) -> None:
    machine = platform.machine()
    command = [
        *(sys.executable, "-m", "pip", "download", "--quiet", "--dest", str(target)),
        *("--only-binary=:all:", "--implementation=cp", f"--python-version={PYTHON}"),
        *(f"--platform=manylinux_2_{minor}_{machine}" for minor in (28, 17)),
        f"--platform=manylinux2014_{machine}",
        *WHEELS_AT_HAND,
    ]
    await _run("pip download", command, lambda _sentence: None)


async def _run(what: str, command: list[str], progress: Progress) -> None:
    """Run a command, reporting its steps.

    Raises:
        GuestImageError: it failed; the message ends with what it said last.
    """
    process = await asyncio.create_subprocess_exec(
        *command,
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
        env={**os.environ, "DEBIAN_FRONTEND": "noninteractive", "LC_ALL": "C.UTF-8"},
    )
    last: deque[str] = deque(maxlen=5)
    assert process.stdout is not None
    try:
        async for line in process.stdout:
            text = line.decode(errors="replace").strip()
            last.append(text)
            for said, sentence in _STEPS.items():
                if said in text:
                    progress(sentence)
        status = await process.wait()
    except asyncio.CancelledError:
        process.kill()
        await process.wait()
        raise
    if status:
        raise GuestImageError(f"{what} failed: {'; '.join(filter(None, last))}")


def _finish(draft: Path, target: Path) -> None:
    root = draft / "root"
    shutil.copytree(draft / "wheels", root / "var/cache/wheels")
    (root / "var/cache/wheels").chmod(0o755)
    os.sync()
    root.rename(target)
    remove_tree(draft)


def _remove_unused(settings: Settings, *, keep: Path) -> None:
    needed = {keep.name, *images_in_use(settings.state_root)}
    for folder in settings.images_dir.iterdir():
        if not folder.name.startswith(".") and folder.name not in needed:
            remove_tree(folder)
