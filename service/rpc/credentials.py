"""TLS of gRPC, with the certificate of today for each new connection."""

from typing import Any

import grpc  # type: ignore[import-untyped]  # the wheel has no types

from service.tls.credentials import Credentials
from service.tls.rotation import Rotation


def server_credentials(tls: Rotation) -> Any:
    """Return what a server of gRPC listens with.

    Args:
        tls: asked with each connection, by a thread of gRPC's.
    """
    given = tls.current

    def new() -> Any:
        """Return the configuration if it is another than the last time, or else None."""
        nonlocal given
        found = tls.current
        if found is given:
            return None
        given = found
        return _configuration(found)

    # Whether clients need a certificate is a setting, and stays as it is.
    return grpc.dynamic_ssl_server_credentials(
        _configuration(given), new, require_client_authentication=given.client_ca is not None
    )


def _configuration(credentials: Credentials) -> Any:
    pair = (credentials.key, credentials.chain)
    return grpc.ssl_server_certificate_configuration([pair], credentials.client_ca)
