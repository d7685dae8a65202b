"""Asks the server that this environment describes whether it is ready: for container engines.

It asks on this machine, so whose certificate the server shows is of no interest. Where clients
need one, it shows the server's own, which an authority of both takes; or it asks the control
port, where none is needed.
"""

import ssl
import sys
from http.client import HTTPConnection, HTTPException, HTTPSConnection

from service.access.loopback import LOOPBACK
from service.environment import read_settings, variable
from service.errors import StartError
from service.machine.addresses import reachable
from service.settings import Settings

# A container engine waits a second longer.
_PATIENCE_S = 2.0

_PATH = "/v2/health/ready"
_READY = 200

# 2, which other commands end with, Docker keeps for itself.
_UNHEALTHY = 1


def health_check() -> int:
    """Ask, and say in one line what is wrong; return the exit status."""
    try:
        settings = read_settings()
        connection = _connection(settings)
    except (StartError, OSError) as error:  # the latter of files that are missing
        return _unhealthy(str(error))
    try:
        status = _status(connection)
    except (OSError, HTTPException) as error:
        return _unhealthy(_told(error, settings))
    return 0 if status == _READY else _unhealthy(f"{_PATH} answers {status}")


def _unhealthy(reason: str) -> int:
    sys.stderr.write(f"foldserve-serve: not ready: {reason}\n")
    return _UNHEALTHY


def _told(error: Exception, settings: Settings) -> str:
    reason = str(error) or type(error).__name__
    if isinstance(error, ConnectionRefusedError):
        where = f"{reachable(settings.host)} port {settings.port}"
        return (
            f"nothing listens on {where} (Connection refused): start foldserve-serve,"
            f" or set {variable('host')} and {variable('port')} as the server has them"
        )
    if settings.tls_client_ca is None:
        return reason
    remedy = f"{variable('control_port')} opens a port that is asked without one"
    return f"{reason}; the server may not take its own certificate as a client's: {remedy}"


def _status(connection: HTTPConnection) -> int:
    try:
        connection.request("GET", _PATH)
        return connection.getresponse().status
    finally:
        connection.close()


def _connection(settings: Settings) -> HTTPConnection:
    if settings.tls_client_ca is not None and settings.control_port:
        return HTTPConnection(LOOPBACK, settings.control_port, timeout=_PATIENCE_S)
    if settings.port == 0:
        raise StartError(f"{variable('port')}=0: the server alone knows which port it has taken")
    host, port = reachable(settings.host), settings.port
    if settings.tls_certificate is None:
        return HTTPConnection(host, port, timeout=_PATIENCE_S)
    return HTTPSConnection(host, port, timeout=_PATIENCE_S, context=_context(settings))


def _context(settings: Settings) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    if settings.tls_client_ca is not None and settings.tls_certificate is not None:
        context.load_cert_chain(settings.tls_certificate, settings.tls_key)
    return context
