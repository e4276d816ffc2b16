# SPDX-License-Identifier: GPL-3.0-or-later
# GNU General Public License v3.0+ (see https://www.gnu.org/licenses/gpl-3.0.txt)
"""Shows the progress of gce_instances while it runs, and of what meta/runtime.yml leads here.

A module is heard only when it ends. So it writes its lines into a file, and this end of it, on the
controller, shows them as they come.
"""

from __future__ import annotations

import tempfile
import threading
from pathlib import Path
from typing import Any

from ansible import constants
from ansible.plugins.action import ActionBase
from ansible.utils.display import Display

_INTERVAL = 0.2


class ActionModule(ActionBase):
    """Runs the module; with progress where that is the controller itself, and waits for it."""

    _supports_check_mode = True
    _supports_async = True

    def run(self, tmp: str | None = None, task_vars: dict[str, Any] | None = None) -> Any:
        """Run the module and return its result."""
        result = super().run(tmp, task_vars)
        arguments = dict(self._task.args)
        away = self._connection.transport != "local" or bool(self._task.async_val)
        if away or arguments.get("progress_file"):
            return {**result, **self._execute(arguments, task_vars)}
        with tempfile.TemporaryDirectory(dir=_folder()) as folder:
            path = Path(folder) / "progress"
            path.touch()
            ended = threading.Event()
            reader = threading.Thread(target=_follow, args=(path, ended))
            reader.start()
            try:
                executed = self._execute({**arguments, "progress_file": str(path)}, task_vars)
            finally:
                ended.set()
                reader.join()
        return {**result, **executed}

    def _execute(self, arguments: dict[str, Any], task_vars: dict[str, Any] | None) -> Any:
        return self._execute_module(
            module_args=arguments, task_vars=task_vars, wrap_async=self._task.async_val
        )


def _folder() -> str:
    """The controller's own temporary folder, which it removes even where it is interrupted."""
    return str(constants.DEFAULT_LOCAL_TMP)  # type: ignore[attr-defined]  # made at run time


def _follow(path: Path, ended: threading.Event) -> None:
    """Show the lines of a file as they are added, until the event and the file's end."""
    display = Display()
    with path.open(encoding="utf-8") as file:
        while True:
            last = ended.wait(_INTERVAL)
            for line in file:
                display.display(f"  {line.rstrip()}")
            if last:
                return
