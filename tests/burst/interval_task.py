#!/usr/bin/python3 -IS
# SPDX-License-Identifier: GPL-3.0-or-later
"""A task that counts, and tells when it ran: a file for each process, outside of its checkpoint.

Its one argument is the folder of these files, which is made if there is none. The counter is the
file `progress` in the working directory, which is the checkpoint. Each file begins with a line of
JSON; every other line is a time (CLOCK_BOOTTIME) and the counter that was safe on disk then, and
the last one begins with `end` if it ended in order. It ends by itself when there is a file
`INTERVALS_END`, where that is set.
"""

import json
import os
import signal
import sys
import time

PERIOD = 0.01  # seconds
SAVED_EVERY = 10  # periods


def now() -> float:
    """CLOCK_BOOTTIME: the same in a container as on its host."""
    return time.clock_gettime(time.CLOCK_BOOTTIME)


def saved() -> int:
    """The counter that the checkpoint holds."""
    try:
        with open("progress") as file:  # noqa: PTH123 - pathlib takes longer than all of the rest
            return int(file.read())
    except FileNotFoundError:
        return 0


def save(counter: int) -> int:
    """Whole or not at all; returns it."""
    with open("progress.new", "w") as file:  # noqa: PTH123
        file.write(str(counter))
    os.replace("progress.new", "progress")  # noqa: PTH105
    return counter


def say(line: str) -> None:
    """Write to the task's log."""
    os.write(1, f"{line}\n".encode())


def main() -> None:
    begun = now()
    asked: list[int] = []
    signal.signal(signal.SIGTERM, lambda number, _: asked.append(number))
    task, run = os.environ["CLOUDSPILL_TASK"], os.environ["CLOUDSPILL_RUN"]
    counter = saved_counter = saved()
    name = f"{task}.{run}.{os.getpid()}.{begun:.6f}"
    os.makedirs(sys.argv[1], exist_ok=True)  # noqa: PTH103
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_APPEND
    told = os.open(os.path.join(sys.argv[1], name), flags, 0o644)  # noqa: PTH118
    head = {"task": task, "run": int(run), "place": os.getcwd(), "counter": counter}  # noqa: PTH109
    os.write(told, f"{json.dumps(head)}\n{begun:.6f} {counter}\n".encode())
    say(f"{task} goes on from {counter}")
    end = os.environ.get("INTERVALS_END", "")
    while not asked and not os.path.exists(end):  # noqa: PTH110
        time.sleep(PERIOD)
        counter += 1
        if counter % SAVED_EVERY == 0:
            saved_counter = save(counter)
        os.write(told, f"{now():.6f} {saved_counter}\n".encode())
        if counter % 50 == 0:
            say(f"{task} {counter}")
    save(counter)
    say(f"{task} stops at {counter}")
    os.write(told, f"end {now():.6f} {counter}\n".encode())


if __name__ == "__main__":
    main()
