"""Who may use the control port: programs of this machine, and pages that it serves itself.

A browser sends what any page tells it to, and a name of the page's own may lead to this machine
(DNS rebinding). Such a request names the page's host, or its origin, and is refused.
"""

import re
from collections.abc import Iterable

from service.errors import NotLocal

LOOPBACK = "127.0.0.1"
"""The only address that the control port is bound to."""

# With any port, as behind a tunnel: nobody else's name is resolved to these.
_OWN_NAME = re.compile(rb"(localhost|127\.0\.0\.1|\[::1\])(:[0-9]{1,5})?", re.IGNORECASE)

# What browsers say of a request that a page of this server, or a person, has made.
_OWN_PAGE = frozenset({b"same-origin", b"none"})


def require_local(scheme: str, headers: Iterable[tuple[bytes, bytes]]) -> None:
    """Return if a request is from a program of this machine, or a page of this server.

    Args:
        scheme: of the connection.
        headers: with names in lower case.

    Raises:
        NotLocal: it is not.
    """
    found: dict[bytes, list[bytes]] = {b"host": [], b"origin": [], b"sec-fetch-site": []}
    for name, value in headers:
        if name in found:
            found[name].append(value)
    match found[b"host"]:
        case [host] if _OWN_NAME.fullmatch(host):
            own = b"%b://%b" % (scheme.encode(), host)
        case _:
            raise NotLocal("the control port is asked as localhost or 127.0.0.1 alone")
    if any(origin != own for origin in found[b"origin"]):
        raise NotLocal("the control port takes nothing from pages of other origins")
    if not _OWN_PAGE.issuperset(found[b"sec-fetch-site"]):
        raise NotLocal("the control port takes nothing from pages of other sites")
