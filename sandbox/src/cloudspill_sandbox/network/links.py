# SPDX-License-Identifier: GPL-3.0-or-later
"""Links that carry packets from the moment they are reported up.

The kernel opens the queue of a link that came up in the background, and drops what is sent before
that; the sender would try again after a second. Asking for the carrier by ethtool makes it finish
first (linkwatch_sync_dev in the kernel's net/core/link_watch.c).
"""

from __future__ import annotations

import ctypes
import fcntl
import socket
import struct

_SIOCETHTOOL = 0x8946
_ETHTOOL_GLINK = 0x0000000A


def settle(*interfaces: str) -> None:
    """Return when packets pass on interfaces (both of whose ends are up) of this namespace.

    Raises:
        OSError: there is no such interface.
    """
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as control:
        for interface in interfaces:
            command = ctypes.create_string_buffer(struct.pack("II", _ETHTOOL_GLINK, 0), 8)
            request = struct.pack("16sP16x", interface.encode(), ctypes.addressof(command))
            fcntl.ioctl(control, _SIOCETHTOOL, request)
