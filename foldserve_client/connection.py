"""What both clients tell httpx, and what its errors mean."""

import gzip
import math
import ssl
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from importlib.metadata import version
from typing import Any

import httpx

from foldserve_client.errors import (
    CertificateRefused,
    ConnectionFailed,
    FoldserveError,
    InvalidAnswer,
    InvalidCall,
    TimedOut,
)
from foldserve_client.exchange import Request
from foldserve_client.tls import Certificate, Verify, tls_context

# Below it a packed body is as many packets, and packing takes longer than sending.
_SMALLEST_PACKED = 4096

# The fastest: what is packed again for each attempt must not take longer than it saves.
_LEVEL = 1


def httpx_options(
    url: str,
    api_key: str | None,
    verify: Verify,
    cert: Certificate | None,
    *,
    packed: bool,
    headers: Mapping[str, str] | None,
) -> dict[str, Any]:
    """Return the arguments that ``httpx.Client`` and ``httpx.AsyncClient`` share.

    Raises:
        InvalidCall: the URL or the key cannot be used; the message does not show the key.
    """
    sent = {
        "Accept": "application/json, application/octet-stream",
        # The server packs what is asked for: more time of both than most networks save.
        "Accept-Encoding": "gzip" if packed else "identity",
        "User-Agent": f"foldserve-client/{version('foldserve')}",
        **(headers or {}),
    }
    if api_key is not None:
        if not api_key.isascii() or not api_key.isprintable() or api_key != api_key.strip():
            raise InvalidCall("the API key holds a character that no header takes, or a space")
        sent["Authorization"] = f"Bearer {api_key}"
    return {
        "base_url": _checked(url),
        "headers": sent,
        "verify": tls_context(verify, cert),
        "follow_redirects": False,
    }


def httpx_request(
    request: Request, left_s: float, connect_timeout_s: float, *, packed: bool
) -> dict[str, Any]:
    """Return the arguments of ``stream`` for a request that has so many seconds left."""
    headers, body = dict(request.headers), request.body
    if packed and body is not None and len(body) >= _SMALLEST_PACKED:
        headers["Content-Encoding"] = "gzip"
        body = gzip.compress(body, _LEVEL)
    left = left_s if math.isfinite(left_s) else None
    return {
        "method": request.method,
        "url": request.path,
        "headers": headers,
        "content": body,
        "timeout": httpx.Timeout(left, connect=min(connect_timeout_s, left_s)),
    }


@contextmanager
def translated() -> Iterator[None]:
    """Raise what httpx raises in the block as an error of this package."""
    try:
        yield
    except (httpx.HTTPError, httpx.InvalidURL, ssl.SSLError) as error:
        raise _failure(error) from error


def _failure(error: Exception) -> FoldserveError:
    what = str(error) or type(error).__name__
    match error:
        case httpx.ConnectTimeout():
            return ConnectionFailed("no connection came about in its time")
        case httpx.TimeoutException():
            return TimedOut("no answer came within the time of the call")
        # httpx lets an error of TLS through that comes behind the handshake.
        case (
            httpx.NetworkError() | httpx.RemoteProtocolError() | httpx.ProxyError() | ssl.SSLError()
        ):
            return CertificateRefused(what) if _of_certificate(error) else ConnectionFailed(what)
        case httpx.DecodingError():
            return InvalidAnswer(f"the answer cannot be unpacked: {what}")
        case _:  # a URL, a header or a scheme that does not exist
            return InvalidCall(what)


def _of_certificate(error: BaseException | None) -> bool:
    """Whether an error came about because the server's certificate is not trusted."""
    while error is not None:
        if isinstance(error, ssl.SSLCertVerificationError):
            return True
        error = error.__cause__ or error.__context__
    return False


def _checked(url: str) -> httpx.URL:
    try:
        found = httpx.URL(url)
    except (httpx.InvalidURL, TypeError) as error:
        raise InvalidCall(f"{url!r} is no URL: {error}") from None
    if found.scheme not in ("http", "https") or not found.host or found.query or found.fragment:
        raise InvalidCall(f"a server's URL is such as http://127.0.0.1:8000, not {url!r}")
    return found
