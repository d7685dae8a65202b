"""Certificates for tests: an authority, a server's files, a client's."""

import ssl
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import trustme
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric.ec import EllipticCurvePrivateKey
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    PrivateFormat,
    load_pem_private_key,
)
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from service.settings import Settings
from tests.service.apps import settings

NAMES = ("localhost", "127.0.0.1")
TODAY = datetime.now(UTC)
YESTERDAY, TOMORROW = TODAY - timedelta(days=1), TODAY + timedelta(days=1)


@dataclass(frozen=True)
class Files:
    """The two files of a server, and who has signed them.

    Args:
        authority: that clients trust.
        certificate: the chain.
        key: of its first certificate.
    """

    authority: trustme.CA
    certificate: Path
    key: Path

    def choices(self, **more: Any) -> dict[str, Any]:
        """The settings as environment variables name them."""
        return {"TLS_CERTIFICATE": self.certificate, "TLS_KEY": self.key, **more}

    def settings(self, models: Path, **more: Any) -> Settings:
        return settings(models, tls_certificate=self.certificate, tls_key=self.key, **more)

    def rotate(self, authority: trustme.CA) -> None:
        """Put others in their places, one after the other, as tools for it do."""
        issued = authority.issue_cert(*NAMES)
        replace(self.key, issued.private_key_pem.bytes())
        replace(self.certificate, chain(issued))


def files(folder: Path, authority: trustme.CA | None = None, **options: Any) -> Files:
    """Write the files of a server on this machine; ``options`` are those of trustme."""
    authority = trustme.CA() if authority is None else authority
    issued = authority.issue_cert(*NAMES, **options)
    written = Files(authority, folder / "server.pem", folder / "server.key")
    written.certificate.write_bytes(chain(issued))
    issued.private_key_pem.write_to_path(str(written.key))
    written.key.chmod(0o600)
    return written


def only_for_clients(folder: Path) -> Files:
    """Write files of a certificate that says that it is for no server (RFC 5280, 4.2.1.12)."""
    written = files(folder)
    key = load_pem_private_key(written.key.read_bytes(), None)
    assert isinstance(key, EllipticCurvePrivateKey)
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "client")])
    use = x509.ExtendedKeyUsage([ExtendedKeyUsageOID.CLIENT_AUTH])
    made = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(YESTERDAY)
        .not_valid_after(TOMORROW)
        .add_extension(use, critical=False)
        .sign(key, hashes.SHA256())
    )
    written.certificate.write_bytes(made.public_bytes(Encoding.PEM))
    return written


def chain(issued: trustme.LeafCert) -> bytes:
    return b"".join(pem.bytes() for pem in issued.cert_chain_pems)


def encrypted(key: bytes) -> bytes:
    """The same private key, behind a password."""
    return load_pem_private_key(key, None).private_bytes(
        Encoding.PEM, PrivateFormat.PKCS8, BestAvailableEncryption(b"secret")
    )


def replace(path: Path, content: bytes) -> None:
    """Put another file in the place of one: its time may be that of the old one."""
    new = path.with_name(f"{path.name}.new")
    new.touch(0o600)
    new.write_bytes(content)
    new.rename(path)


def put(folder: Path, authority: trustme.CA) -> Path:
    """Write an authority's own certificate."""
    path = folder / "authority.pem"
    replace(path, authority.cert_pem.bytes())
    return path


def client(authority: trustme.CA, identity: trustme.CA | None = None) -> ssl.SSLContext:
    """What a client of a server needs, with a certificate of its own if somebody signs it."""
    context = ssl.create_default_context()
    authority.configure_trust(context)
    if identity is not None:
        identity.issue_cert("client@example.org").configure_cert(context)
    return context
