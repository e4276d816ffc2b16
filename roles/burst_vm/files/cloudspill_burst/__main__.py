# SPDX-License-Identifier: GPL-3.0-or-later
"""The command line: `cloudspill-burst keeper | call | stream | farewell`."""

import sys


def main(arguments: "list[str]") -> int:
    """Do what the one argument names; returns the exit status."""
    if arguments == ["call"]:
        from .client import call

        return call()
    if arguments == ["stream"]:
        from .client import stream

        return stream()
    if arguments == ["keeper"]:
        from .service import main as keep

        return keep()
    if arguments == ["farewell"]:
        from .client import farewell

        return farewell()
    sys.stderr.write("usage: cloudspill-burst keeper | call | stream | farewell\n")
    return 2


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
