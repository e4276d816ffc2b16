# SPDX-License-Identifier: GPL-3.0-or-later
"""The host's authority and the front's certificate."""

from __future__ import annotations

import asyncio
import contextlib
import datetime
import ssl
from pathlib import Path

import pytest
import trustme
from cryptography import x509

from cloudspill_sandbox.front.tls import (
    AuthorityError,
    ServerCertificate,
    client_bundle,
    ensure_authority,
)


def test_the_authority_is_made_once(tmp_path: Path) -> None:
    directory = tmp_path / "state" / "ca"
    first = ensure_authority(directory).cert_pem.bytes()
    assert ensure_authority(directory).cert_pem.bytes() == first
    assert (directory / "ca.pem").read_bytes() == first
    assert (directory / "ca.key").stat().st_mode & 0o777 == 0o600
    assert list(directory.parent.iterdir()) == [directory]


async def test_two_sandboxes_that_start_at_once_share_one_authority(tmp_path: Path) -> None:
    directory = tmp_path / "ca"
    made = await asyncio.gather(*(asyncio.to_thread(ensure_authority, directory) for _ in range(8)))
    assert len({authority.cert_pem.bytes() for authority in made}) == 1


def test_a_damaged_authority_says_what_to_do(tmp_path: Path) -> None:
    ensure_authority(tmp_path / "ca")
    (tmp_path / "ca" / "ca.key").write_text("damaged")
    with pytest.raises(AuthorityError, match="remove the directory"):
        ensure_authority(tmp_path / "ca")


def test_the_bundle_has_the_system_s_authorities_and_ours(
    ca_directory: Path, tmp_path: Path
) -> None:
    extra = tmp_path / "corporate.pem"
    extra.write_bytes(trustme.CA().cert_pem.bytes())
    bundle = client_bundle(ca_directory / "ca.pem", [extra, extra, tmp_path / "absent.pem"])
    loaded = ssl.create_default_context(cadata=bundle.decode())
    assert bundle.count(extra.read_bytes().strip()) == 1
    assert bundle.endswith((ca_directory / "ca.pem").read_bytes())
    assert len(loaded.get_ca_certs()) >= 2


def shown(context: ssl.SSLContext) -> x509.Certificate:
    """Shake hands in memory; return the certificate that the server shows."""
    client = ssl.create_default_context()
    client.check_hostname = False
    client.verify_mode = ssl.CERT_NONE  # its dates lie in the test's future
    one, other = ssl.MemoryBIO(), ssl.MemoryBIO()
    ends = [client.wrap_bio(one, other), context.wrap_bio(other, one, server_side=True)]
    for end in ends * 3:
        with contextlib.suppress(ssl.SSLWantReadError):
            end.do_handshake()
    certificate = ends[0].getpeercert(binary_form=True)
    assert certificate is not None
    return x509.load_der_x509_certificate(certificate)


def test_the_certificate_is_renewed_before_it_expires(authority: trustme.CA) -> None:
    clock = [datetime.datetime.now(datetime.UTC)]
    certificate = ServerCertificate(authority, ["git.test"], lambda: clock[0])
    first = shown(certificate.context)
    clock[0] += datetime.timedelta(days=360)
    assert shown(certificate.context) == first
    clock[0] += datetime.timedelta(days=10)
    second = shown(certificate.context)
    assert second.not_valid_before_utc < clock[0] < first.not_valid_after_utc
    assert second.not_valid_after_utc > clock[0] + datetime.timedelta(days=390)


def test_the_certificate_holds_again_when_the_clock_is_set_back(authority: trustme.CA) -> None:
    """A host whose clock was wrong when the sandbox started, until its time service mended it."""
    right = datetime.datetime.now(datetime.UTC)
    clock = [right + datetime.timedelta(days=100)]
    certificate = ServerCertificate(authority, ["git.test"], lambda: clock[0])
    assert shown(certificate.context).not_valid_before_utc > right
    clock[0] = right
    assert shown(certificate.context).not_valid_before_utc < right


def test_the_certificate_names_google_s_hosts_and_our_own(authority: trustme.CA) -> None:
    certificate = ServerCertificate(
        authority, ["git.test"], lambda: datetime.datetime.now(datetime.UTC)
    )
    names = shown(certificate.context).extensions.get_extension_for_class(
        x509.SubjectAlternativeName
    )
    assert set(names.value.get_values_for_type(x509.DNSName)) == {
        "*.googleapis.com",
        "*.storage.googleapis.com",
        "googleapis.com",
        "accounts.google.com",
        "metadata.google.internal",
        "localhost",
        "git.test",
    }
