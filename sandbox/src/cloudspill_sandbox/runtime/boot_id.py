# SPDX-License-Identifier: GPL-3.0-or-later
"""What tells one boot of a machine from another: its /proc/sys/kernel/random/boot_id.

The kernel's file is the host's, in every machine and at every boot. So each container gets a file
of its own over it, before its init runs: systemd and journald read it once, at their start. It is
mounted by a hook, since OCI runtimes refuse a volume there:
https://github.com/opencontainers/runtime-spec/blob/main/config.md#createcontainer-hooks
"""

from __future__ import annotations

import json
import shutil
import uuid
from pathlib import Path

_BOOT_ID = "proc/sys/kernel/random/boot_id"


def boot_id_hook(folder: Path, root: Path) -> Path:
    """Write a new boot id and the hook that mounts it, for one container.

    The hook runs in the container's mounts, which are private to it, before they have become its
    root: the program is the host's, and where the guest's disk leads astray, nobody else sees it.

    Args:
        folder: of the container; stays as long as it.
        root: the container's root file system.

    Returns:
        The directory for Podman's --hooks-dir.

    Raises:
        OSError: it cannot be written, or this host has no mount(8).
    """
    if (program := shutil.which("mount")) is None:
        raise FileNotFoundError("no program `mount` on the PATH")
    boot_id = folder / "boot_id"
    boot_id.write_text(f"{uuid.uuid4()}\n")
    boot_id.chmod(0o444)
    words = [program, "--bind", "--options", "ro", str(boot_id), str(root / _BOOT_ID)]
    hook = {
        "version": "1.0.0",
        "hook": {"path": program, "args": words},
        "when": {"always": True},
        "stages": ["createContainer"],
    }
    hooks = folder / "hooks"
    hooks.mkdir()
    (hooks / "boot-id.json").write_text(json.dumps(hook))
    return hooks
