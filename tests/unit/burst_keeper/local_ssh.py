# SPDX-License-Identifier: GPL-3.0-or-later
"""Stands in for ssh to a LocalVm: `local_ssh SOCKET … COMMAND`, which ends in call or stream."""

from __future__ import annotations

import os
import sys

from cloudspill_burst import client


def main(socket: str, command: str) -> int:
    """Do what the command would do there; a socket's path must not be long."""
    path = min(socket, os.path.relpath(socket), key=len)
    return client.call(path) if command.rsplit(maxsplit=1)[-1] == "call" else client.stream(path)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1], sys.argv[-1]))
