# SPDX-License-Identifier: GPL-3.0-or-later
"""Builds the guest image with mmdebstrap: whole or not at all, and once for all sandboxes."""

from __future__ import annotations

import asyncio
import contextlib
import fcntl
import logging
import os
import platform
import shutil
import sys
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

from cloudspill_sandbox.runtime.guest_image.in_use import is_there, remove_unused
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
from cloudspill_sandbox.runtime.guest_image.steps import GuestImageError, Progress, run_step
from cloudspill_sandbox.runtime.interface import VolumeError
from cloudspill_sandbox.runtime.mounts import mounts_below
from cloudspill_sandbox.runtime.trees import remove_tree
from cloudspill_sandbox.runtime.volume_records import images_in_use
from cloudspill_sandbox.settings import Settings

_DRAFT = ".building"
_LOG = ".build.log"
_PACKAGE_CACHE = ".packages"
_CRAMPED = 256 << 20
"""Bytes; with fewer left, a failed build has probably met a full disk."""

_log = logging.getLogger(__name__)


async def ensure_guest_image(
    settings: Settings, extra_cas: Sequence[Path], progress: Progress
) -> Path:
    """Return the guest's root file system, after building it if it is not there.

    What a killed build downloaded is used by the next one. Images that nothing needs and nobody
    has used for a while are removed.

    Args:
        settings: where images are kept.
        extra_cas: PEM files of certificate authorities that guests trust, beside the host's own.
        progress: called with a sentence at each step of a build.

    Raises:
        GuestImageError: it could not be built.
    """
    images = settings.images_dir
    recipe = Recipe.for_this_host(extra_cas)
    target = images / recipe.digest
    try:
        images.mkdir(mode=0o700, parents=True, exist_ok=True)
        images.chmod(0o700)  # its setuid programs are the guests', not this host's
        if not is_there(target):
            with await asyncio.to_thread(_locked, images, wait=True):
                if not is_there(target):  # another process may have built it meanwhile
                    await _build(images, recipe, progress)
    except (GuestImageError, OSError) as error:
        raise GuestImageError(_sentence(error, images)) from error
    await asyncio.to_thread(_remove_unused, settings, time.time())
    return target


def _sentence(error: GuestImageError | OSError, images: Path) -> str:
    """Tell why there is no image; programs on a full disk seldom name that as the reason."""
    reason = error.args[0][0][2] if isinstance(error, shutil.Error) else error
    sentence = f"the guest image could not be built: {reason}"
    with contextlib.suppress(OSError):
        free = shutil.disk_usage(images).free
        if free < _CRAMPED:
            sentence += f"; {images} has only {free >> 20} MiB free: free some space there"
    return sentence


def _locked(images: Path, *, wait: bool) -> contextlib.AbstractContextManager[None]:
    """Take the lock of all images.

    Raises:
        BlockingIOError: it is taken, and `wait` is not set.
    """
    descriptor = os.open(images / ".lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | (0 if wait else fcntl.LOCK_NB))
    except BaseException:
        os.close(descriptor)
        raise

    @contextlib.contextmanager
    def held() -> Iterator[None]:
        try:
            yield
        finally:
            os.close(descriptor)

    return held()


def _remove_unused(settings: Settings, now: float) -> None:
    """Remove images that nobody uses, unless somebody builds one; the next call tries again."""
    try:
        with _locked(settings.images_dir, wait=False):
            remove_unused(settings.images_dir, lambda: images_in_use(settings.state_root), now)
    except BlockingIOError:
        return
    except (OSError, VolumeError) as error:
        _log.warning("unused guest images stay: %s", error)


async def _build(images: Path, recipe: Recipe, progress: Progress) -> None:
    draft, packages = images / _DRAFT, images / _PACKAGE_CACHE
    await asyncio.to_thread(salvage, draft, packages)
    seed = draft / "seed"
    await asyncio.to_thread(_prepare_seed, seed, recipe)
    (seed / "packages").symlink_to(packages)
    progress("Guest image: building (once a host; about a minute)")
    log = images / _LOG
    log.unlink(missing_ok=True)
    try:
        async with asyncio.TaskGroup() as group:
            group.create_task(_debootstrap(draft / "root", seed, log, progress))
            group.create_task(_download_wheels(draft / "wheels", log))
    except* (GuestImageError, OSError) as errors:
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


async def _debootstrap(root: Path, seed: Path, log: Path, progress: Progress) -> None:
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
    await run_step("mmdebstrap", isolated, log, progress)


async def _download_wheels(target: Path, log: Path) -> None:
    machine = platform.machine()
    command = [
        *(sys.executable, "-m", "pip", "download", "--quiet", "--dest", str(target)),
        *("--only-binary=:all:", "--implementation=cp", f"--python-version={PYTHON}"),
        *(f"--platform=manylinux_2_{minor}_{machine}" for minor in (28, 17)),
        f"--platform=manylinux2014_{machine}",
        *WHEELS_AT_HAND,
    ]
    await run_step("pip download", command, log, lambda _sentence: None)


def _finish(draft: Path, target: Path) -> None:
    root = draft / "root"
    shutil.copytree(draft / "wheels", root / "var/cache/wheels")
    (root / "var/cache/wheels").chmod(0o755)
    os.sync()
    root.rename(target)
    remove_tree(draft)
