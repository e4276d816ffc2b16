# SPDX-License-Identifier: GPL-3.0-or-later
"""One unit of `process_units.py`: leads its session, and starts the program again as it should."""

import json
import os
import subprocess
import sys
import time


def main(file: str, told: str) -> None:
    """Run the unit; `file` is what others know of it."""
    spec = json.loads(told)
    with open(f"/proc/{os.getpid()}/stat", "rb") as stat:  # noqa: PTH123
        ticks = int(stat.read().rpartition(b")")[2].split()[19])
    known = {"leader": os.getpid(), "ticks": ticks, "stop_signal": spec["stop_signal"]}
    restarts = 0
    while True:
        with open(spec["log"], "ab") as log:  # noqa: PTH123
            program = subprocess.Popen(
                spec["command"],
                cwd=spec["folder"],
                env=spec["environment"],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
            )
        known.update(pid=program.pid, restarts=restarts, exit_status=None)
        write(file, known)
        status = program.wait()
        known.update(exit_status=status)
        write(file, known)
        again = spec["restart"] == "always" or (spec["restart"] == "on-failure" and status != 0)
        if not again or os.path.exists(f"{file[:-5]}.stop"):  # noqa: PTH110
            return
        restarts += 1
        time.sleep(0.1)


def write(file: str, known: "dict[str, object]") -> None:
    """Whole or not at all."""
    with open(f"{file}.new", "w") as new:  # noqa: PTH123
        json.dump(known, new)
    os.replace(f"{file}.new", file)  # noqa: PTH105


if __name__ == "__main__":
    main(*sys.argv[1:])
