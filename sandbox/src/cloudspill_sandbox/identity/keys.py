# SPDX-License-Identifier: GPL-3.0-or-later
"""RSA key pairs with self-signed certificates, as Google makes them for service accounts."""

from __future__ import annotations

import base64
import datetime
import hashlib
from dataclasses import dataclass
from typing import cast

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.x509.oid import NameOID

from cloudspill_sandbox.engine.call import Document

_FOR_EVER = datetime.datetime(9999, 12, 31, 23, 59, 59, tzinfo=datetime.UTC)
"""Google's keys do not expire: https://cloud.google.com/iam/docs/keys-create-delete"""

ALGORITHM_BITS = (1024, 2048)
"""Sizes that Google's API has names for, `KEY_ALG_RSA_2048`."""


@dataclass(frozen=True, slots=True)
class KeyPair:
    """A private key and the certificate of its public half.

    Attributes:
        private: RSA.
        certificate: self-signed.
    """

    private: rsa.RSAPrivateKey
    certificate: x509.Certificate

    @classmethod
    def generate(cls, subject: str, now: float, bits: int = 2048) -> KeyPair:
        """Make a pair for a subject (an account's unique id); takes some 50 ms."""
        private = rsa.generate_private_key(public_exponent=65537, key_size=bits)
        name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, subject)])
        builder = x509.CertificateBuilder(
            issuer_name=name,
            subject_name=name,
            public_key=private.public_key(),
            serial_number=x509.random_serial_number(),
            not_valid_before=datetime.datetime.fromtimestamp(int(now), datetime.UTC),
            not_valid_after=_FOR_EVER,
        )
        return cls(private, builder.sign(private, hashes.SHA256()))

    @classmethod
    def from_pem(cls, pem: bytes) -> KeyPair:
        """Read what to_pem() wrote. Raises ValueError when it is something else."""
        private = serialization.load_pem_private_key(pem, None)
        if not isinstance(private, rsa.RSAPrivateKey):
            raise ValueError("the key is no RSA key")  # noqa: TRY004 - its content is wrong
        return cls(private, x509.load_pem_x509_certificate(pem))

    @property
    def id(self) -> str:
        """What names the pair: its certificate's fingerprint."""
        return fingerprint(self.certificate)

    def private_pem(self) -> str:
        """The private key as key files carry it."""
        return self.private.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.NoEncryption(),
        ).decode()

    def certificate_pem(self) -> str:
        """The certificate."""
        return self.certificate.public_bytes(serialization.Encoding.PEM).decode()

    def to_pem(self) -> bytes:
        """Both, for a file of mode 0600."""
        return (self.private_pem() + self.certificate_pem()).encode()

    def resource(self, account: str) -> Document:
        """The public half as a key resource of an account, given by its relative name."""
        return certificate_resource(account, self.certificate, "GOOGLE_PROVIDED")


def fingerprint(certificate: x509.Certificate) -> str:
    """Return the forty hexadecimal digits that name a key: the SHA-1, as at Google."""
    der = certificate.public_bytes(serialization.Encoding.DER)
    return hashlib.sha1(der, usedforsecurity=False).hexdigest()


def certificate_resource(account: str, certificate: x509.Certificate, origin: str) -> Document:
    """Return a certificate as a key resource of an account.

    Args:
        account: relative name.
        certificate: of an RSA key.
        origin: `GOOGLE_PROVIDED` or `USER_PROVIDED`.
    """
    bits = cast("rsa.RSAPublicKey", certificate.public_key()).key_size
    return {
        "name": f"{account}/keys/{fingerprint(certificate)}",
        "keyAlgorithm": f"KEY_ALG_RSA_{bits}" if bits in ALGORITHM_BITS else "KEY_ALG_UNSPECIFIED",
        "keyOrigin": origin,
        "keyType": "USER_MANAGED",
        "validAfterTime": timestamp(certificate.not_valid_before_utc),
        "validBeforeTime": timestamp(certificate.not_valid_after_utc),
        "publicKeyData": base64.b64encode(
            certificate.public_bytes(serialization.Encoding.PEM)
        ).decode(),
    }


def load_public_key(resource: Document) -> rsa.RSAPublicKey:
    """Return the public key of a key resource."""
    certificate = x509.load_pem_x509_certificate(base64.b64decode(resource["publicKeyData"]))
    return cast("rsa.RSAPublicKey", certificate.public_key())


def timestamp(moment: datetime.datetime) -> str:
    """Return a moment in UTC as Google writes it, to the second."""
    return moment.strftime("%Y-%m-%dT%H:%M:%SZ")
