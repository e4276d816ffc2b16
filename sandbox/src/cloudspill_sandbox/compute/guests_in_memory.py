# SPDX-License-Identifier: GPL-3.0-or-later
"""What a guest tells of itself that exists in memory only: as Google's guest agent, its host key.

https://github.com/GoogleCloudPlatform/guest-agent: at boot it writes the host keys to guest
attributes, `hostkeys/ssh-ed25519`, where metadata enable them.
"""

from __future__ import annotations

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from cloudspill_sandbox.compute.metadata_view import MetadataView

_NAMESPACE, _KEY = "hostkeys", "ssh-ed25519"


def publish_host_key(view: MetadataView, address: str) -> None:
    """Publish a host key of the instance with this internal address, where metadata enable that.

    It keeps the one it has. Nobody has the private half, for there is no machine to connect to.
    """
    held = view.guest_attributes(address)
    if held is None or _KEY in held.get(_NAMESPACE, {}):
        return
    public = Ed25519PrivateKey.generate().public_key()
    _, _, value = public.public_bytes(Encoding.OpenSSH, PublicFormat.OpenSSH).partition(b" ")
    view.put_guest_attribute(address, _NAMESPACE, _KEY, value.decode())
