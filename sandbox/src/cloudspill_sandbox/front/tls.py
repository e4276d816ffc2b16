# SPDX-License-Identifier: GPL-3.0-or-later
"""The host's certificate authority, the front's certificate, and what clients must trust.

The authority is made once a host, so that guest images may trust it. The front's own certificate
lives in memory: it is issued at every start and again before it expires.
"""

from __future__ import annotations

import datetime
import shutil
import ssl
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path

import trustme

CERTIFICATE = "ca.pem"
KEY = "ca.key"
LIFETIME = datetime.timedelta(days=397)
RENEWAL = datetime.timedelta(days=30)
GOOGLE_NAMES = (
    "*.googleapis.com",
    "*.storage.googleapis.com",
    "googleapis.com",
    "accounts.google.com",
    "metadata.google.internal",
    "localhost",
    "127.0.0.1",
)

Clock = Callable[[], datetime.datetime]


class AuthorityError(RuntimeError):
    """The stored authority cannot be used; the message says which file and what to do."""


def ensure_authority(directory: Path) -> trustme.CA:
    """Return the authority kept in `directory` (ca.pem, ca.key 0600), made when it is missing.

    Two sandboxes that start at once get the same one.

    Raises:
        AuthorityError: its files are damaged or one of them is gone.
    """
    directory.parent.mkdir(parents=True, exist_ok=True)
    certificate, key = directory / CERTIFICATE, directory / KEY
    if not key.exists() and not certificate.exists():
        _create(directory)
    try:
        return trustme.CA.from_pem(certificate.read_bytes(), key.read_bytes())
    except (OSError, ValueError) as error:
        raise AuthorityError(
            f"the certificate authority in {directory} cannot be read ({error}): "
            "remove the directory to have a new one made (guest images are then rebuilt)"
        ) from error


def client_bundle(authority: Path, others: Sequence[Path] = ()) -> bytes:
    """Return PEM certificates of the system, of `others` that exist, and of the authority.

    Args:
        authority: the authority's certificate file.
        others: bundles that the environment already named, such as REQUESTS_CA_BUNDLE.
    """
    system = ssl.get_default_verify_paths()
    files = [Path(system.openssl_cafile), Path("/etc/ssl/certs/ca-certificates.crt"), *others]
    distinct = {file.resolve() for file in files if file.is_file()}
    blocks: dict[str, None] = {}
    for file in [*sorted(distinct), authority]:
        blocks |= dict.fromkeys(_certificates(file.read_text(errors="replace")))
    return "".join(blocks).encode()


class ServerCertificate:
    """The front's certificate, fresh whenever it is needed.

    Args:
        names: DNS names and addresses beside Google's.
        clock: now, with a time zone.
    """

    def __init__(self, authority: trustme.CA, names: Sequence[str], clock: Clock) -> None:
        self._authority = authority
        self._names = (*GOOGLE_NAMES, *names)
        self._clock = clock
        self._context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        self._context.options |= ssl.OP_NO_RENEGOTIATION
        self._context.set_alpn_protocols(["http/1.1"])
        self._issue()

    @property
    def context(self) -> ssl.SSLContext:
        """The one context for every connection; its certificate is renewed in place.

        Before it expires, and when the clock was set back to before it was valid.
        """
        if not self._begins <= self._clock() <= self._expires - RENEWAL:
            self._issue()
        return self._context

    def _issue(self) -> None:
        now = self._clock()
        self._begins, self._expires = now - datetime.timedelta(days=1), now + LIFETIME
        leaf = self._authority.issue_cert(
            *self._names,
            not_before=self._begins,
            not_after=self._expires,
            organization_name="cloudspill",
        )
        leaf.configure_cert(self._context)


def _create(directory: Path) -> None:
    authority = trustme.CA(
        organization_name="cloudspill", organization_unit_name="cloudspill sandbox"
    )
    # Both files appear at once, by one rename: whoever is first has made the authority.
    scratch = Path(tempfile.mkdtemp(prefix=f".{directory.name}-", dir=directory.parent))
    try:
        (scratch / KEY).touch(0o600)
        authority.private_key_pem.write_to_path(scratch / KEY)
        authority.cert_pem.write_to_path(scratch / CERTIFICATE)
        scratch.chmod(0o755)
        scratch.rename(directory)
    except OSError:
        shutil.rmtree(scratch)
        if not (directory / KEY).exists():
            raise


def _certificates(text: str) -> list[str]:
    end = "-----END CERTIFICATE-----\n"
    blocks = (text.rstrip() + "\n").split(end)[:-1]
    return [block[block.find("-----BEGIN CERTIFICATE-----") :] + end for block in blocks]
