"""How OpenTelemetry names a server's spans and their attributes (semantic conventions).

https://opentelemetry.io/docs/specs/semconv/http/http-spans/
https://opentelemetry.io/docs/specs/semconv/rpc/grpc/

Who asked is not among them: addresses and agents are personal data, and the proxy knows them.
"""

from collections.abc import Mapping

Span = tuple[str, Mapping[str, str | int]]
"""A name and attributes."""


def http_span(scheme: str, method: str, path: str, route: str, status: int) -> Span:
    """Return what a request over HTTP is called.

    Args:
        scheme: "http", or "https" where the server itself speaks TLS.
        method: one that the server knows.
        path: as it was asked for.
        route: the template of the path.
        status: of the answer.
    """
    return f"{method} {route}", {
        "http.request.method": method,
        "http.response.status_code": status,
        "http.route": route,
        "url.path": path,
        "url.scheme": scheme,
    }


def rpc_span(method: str, status: str) -> Span:
    """Return what a call over gRPC is called.

    Args:
        method: with its service, ``package.Service/Method``.
        status: the name of gRPC's code.
    """
    return method, {
        "rpc.system.name": "grpc",
        "rpc.method": method,
        "rpc.response.status_code": status,
    }
