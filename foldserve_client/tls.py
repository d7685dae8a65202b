"""Whom to trust, and who one is, over TLS: as httpx takes it, an ``ssl.SSLContext``."""

import os
import ssl

import httpx

from foldserve_client.errors import InvalidCall

Path = str | os.PathLike[str]
Verify = bool | Path | ssl.SSLContext
Certificate = Path | tuple[Path, Path]


def tls_context(verify: Verify, cert: Certificate | None) -> ssl.SSLContext | bool:
    """Return what httpx is given as ``verify``.

    Args:
        verify: True trusts the authorities that are known; a file of PEM those in it, and no
            others; False anyone, which is for tests alone; a context is taken as it is.
        cert: for servers that ask for one: a file of PEM with the certificate and its key, or
            one of each.

    Raises:
        InvalidCall: a certificate is given beside a context, which has its own.
        OSError: a file cannot be read, or is none of PEM (``ssl.SSLError``).
    """
    if isinstance(verify, ssl.SSLContext):
        if cert is not None:
            raise InvalidCall("cert beside a context: load it with its load_cert_chain")
        return verify
    if isinstance(verify, bool):
        if cert is None:
            return verify
        context = httpx.create_ssl_context(verify=verify)
    else:
        context = ssl.create_default_context(cafile=verify)
    if cert is not None:
        context.load_cert_chain(*(cert if isinstance(cert, tuple) else (cert,)))
    return context
