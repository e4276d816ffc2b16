# SPDX-License-Identifier: GPL-3.0-or-later
"""nft without its process: the library behind the command, held open in one namespace.

A firewall change is part of every instance's creation; this takes a quarter of the command's
time. The library comes with the command (Debian's nftables depends on libnftables1).
"""

from __future__ import annotations

import ctypes
import threading

from cloudspill_sandbox.network.interface import NetworkError

_LIBRARY = "libnftables.so.1"


class Nftables:
    """Loads scripts into the namespace in which it was made, from whichever thread it is called.

    The library knows nothing of threads: a lock keeps them, and close(), apart.

    Raises:
        NetworkError: the library is missing.
    """

    def __init__(self) -> None:
        try:
            self._library = ctypes.CDLL(_LIBRARY)
        except OSError as error:
            raise NetworkError(f"{_LIBRARY} is missing: apt-get install libnftables1") from error
        self._library.nft_ctx_new.restype = ctypes.c_void_p
        self._library.nft_ctx_get_error_buffer.restype = ctypes.c_char_p
        self._lock = threading.Lock()
        # The context opens its netlink socket here, in the caller's namespace, and keeps it.
        self._context: ctypes.c_void_p | None = ctypes.c_void_p(
            self._library.nft_ctx_new(ctypes.c_uint32(0))
        )
        self._library.nft_ctx_buffer_output(self._context)
        self._library.nft_ctx_buffer_error(self._context)

    def load(self, script: str) -> None:
        """Load a script as one transaction: all of it or nothing.

        Raises:
            NetworkError: it was refused, or close() came first; nothing has changed.
        """
        with self._lock:
            if self._context is None:
                raise NetworkError("the VPC is not running")
            if self._library.nft_run_cmd_from_buffer(self._context, script.encode()) != 0:
                told: bytes = self._library.nft_ctx_get_error_buffer(self._context)
                reason = told.decode(errors="replace").strip().partition("\n")[0]
                raise NetworkError(f"nft refused the ruleset: {reason}")

    def close(self) -> None:
        """Let go of the namespace, after what is being loaded; load() then refuses."""
        with self._lock:
            if self._context is not None:
                self._library.nft_ctx_free(self._context)
                self._context = None
