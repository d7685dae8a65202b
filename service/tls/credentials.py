"""The certificate, its key, the clients' authorities: read, and held against each other.

What is wrong with them is found here. Otherwise OpenSSL would find it with each client anew, and
tell the clients alone.
"""

import ssl
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from service.environment import variable
from service.errors import StartError
from service.settings import Settings

# A bundle of every public authority is a quarter of it.
_LARGEST_FILE = 2**20

# RFC 9325, 3.1.1: what is older must not be spoken.
_OLDEST = ssl.TLSVersion.TLSv1_2

# Of OpenSSL, for a key of the wrong value, and for one of the wrong kind.
_OTHERS_KEY = frozenset({"KEY_VALUES_MISMATCH", "KEY_TYPE_MISMATCH", "NO_CERTIFICATE_ASSIGNED"})


@dataclass(frozen=True)
class Credentials:
    """By what clients know the server, and the server its clients.

    Args:
        chain: PEM of certificates, the server's own first.
        key: PEM of its private key.
        client_ca: PEM of those who sign clients' certificates; None if clients need none.
        context: for the server's side of handshakes with all this. It is never changed: sessions
            that it has begun cannot be resumed with another one, which may trust other clients.
        expires: the end of the certificate's time, in its own words.
    """

    chain: bytes
    key: bytes = field(repr=False)
    client_ca: bytes | None
    context: ssl.SSLContext = field(compare=False)
    expires: str


def paths(settings: Settings) -> Sequence[Path]:
    """Return the files that the settings name."""
    named = (settings.tls_certificate, settings.tls_key, settings.tls_client_ca)
    return [path for path in named if path is not None]


def read_credentials(settings: Settings) -> Credentials | None:
    """Return what the files hold; None where the settings name none.

    Raises:
        StartError: a file cannot be read, is not what it should be, or does not go with the
            others; the message names the setting.
    """
    certificate, key, client_ca = (
        settings.tls_certificate,
        settings.tls_key,
        settings.tls_client_ca,
    )
    if certificate is None or key is None:
        return None
    files = _read(certificate, key, client_ca)
    chain, secret, authorities = files
    context = _context(certificate, key, chain)
    expires = _try(context, certificate, chain)
    if client_ca is not None and authorities is not None:
        _trust(context, "tls_client_ca", client_ca, authorities)
        context.verify_mode = ssl.CERT_REQUIRED
    if _read(certificate, key, client_ca) != files:  # OpenSSL reads the two for itself
        raise _refusal("tls_certificate", certificate, "it changed while it was read")
    return Credentials(chain, secret, authorities, context, expires)


def _read(
    certificate: Path, key: Path, client_ca: Path | None
) -> tuple[bytes, bytes, bytes | None]:
    authorities = None if client_ca is None else _bytes("tls_client_ca", client_ca)
    return _bytes("tls_certificate", certificate), _bytes("tls_key", key), authorities


def _bytes(setting: str, path: Path) -> bytes:
    try:
        with path.open("rb") as file:
            found = file.read(_LARGEST_FILE + 1)
    except OSError as error:
        raise _refusal(setting, path, error.strerror or "it cannot be read") from None
    if len(found) > _LARGEST_FILE:
        raise _refusal(setting, path, f"it is larger than {_LARGEST_FILE} bytes")
    return found


def _context(certificate: Path, key: Path, chain: bytes) -> ssl.SSLContext:
    """Return a context of a certificate and its key, for clients without certificates."""
    _trust(ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT), "tls_certificate", certificate, chain)
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.minimum_version = _OLDEST
    context.options |= ssl.OP_NO_RENEGOTIATION  # the default of OpenSSL 3, not of 1.1.1
    context.set_alpn_protocols(["http/1.1"])

    def password(*_: object) -> str:
        # A password beside the file would protect it from nobody.
        raise _refusal("tls_key", key, "the key is encrypted; give one that is not")

    try:
        context.load_cert_chain(certificate, key, password)
    except OSError as error:  # an SSLError is one
        reason = getattr(error, "reason", None)
        if reason in _OTHERS_KEY:
            told = f"it is not the key of the first certificate in {certificate}"
            raise _refusal("tls_key", key, told) from None
        if reason:
            raise _refusal("tls_certificate", certificate, _in_words(reason)) from None
        raise _refusal("tls_key", key, "it holds no private key in PEM") from None
    return context


def _try(context: ssl.SSLContext, certificate: Path, chain: bytes) -> str:
    """Shake hands in memory with a client that knows the certificate; return when it expires.

    So the certificate is looked at as clients will do it: its time, and what it is for.
    """
    client = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    client.check_hostname = False  # by which name clients ask is their matter
    client.verify_flags |= ssl.VERIFY_X509_PARTIAL_CHAIN  # whoever has signed it
    _trust(client, "tls_certificate", certificate, chain)
    to_server, to_client = ssl.MemoryBIO(), ssl.MemoryBIO()
    asking = client.wrap_bio(to_client, to_server)
    answering = context.wrap_bio(to_server, to_client, server_side=True)
    try:
        for side in (asking, answering, asking, answering):
            try:
                side.do_handshake()
            except ssl.SSLWantReadError:
                continue
    except ssl.SSLCertVerificationError as error:
        raise _refusal("tls_certificate", certificate, error.verify_message) from None
    except ssl.SSLError as error:
        raise _refusal("tls_certificate", certificate, _in_words(error.reason)) from None
    return str((asking.getpeercert() or {})["notAfter"])


def _trust(context: ssl.SSLContext, setting: str, path: Path, certificates: bytes) -> None:
    # What stands around certificates may be text of any kind.
    text = certificates.decode("ascii", "ignore")
    try:
        context.load_verify_locations(cadata=text)
    except (ssl.SSLError, ValueError):  # the latter of an empty one
        raise _refusal(setting, path, "it holds no certificates in PEM, or damaged ones") from None


def _in_words(reason: str) -> str:
    return f"OpenSSL takes it not: {reason.replace('_', ' ').lower()}"


def _refusal(setting: str, path: Path, reason: str) -> StartError:
    return StartError(f"{variable(setting)}={path}: {reason}")
