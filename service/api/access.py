"""Before every endpoint there is: who may ask for it. What is not named here needs a key."""

from starlette.types import ASGIApp, Receive, Scope, Send

from service.access import keys
from service.access.guard import Guard

_OPEN = frozenset({"/v2/health/live", "/v2/health/ready"})
_INDEX = "/v2/repository/index"


class Access:
    """Middleware that hands on what may be asked; nothing of a body is read before.

    Args:
        app: the app inside.
        guard: knows the keys.
    """

    def __init__(self, app: ASGIApp, guard: Guard) -> None:
        self._app = app
        self._guard = guard

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one connection.

        Raises:
            AccessError: it is not for this client.
        """
        if scope["type"] != "lifespan" and scope["path"] not in _OPEN:
            self._guard.require(scope["headers"], needed_scope(scope["path"]))
        await self._app(scope, receive, send)


def needed_scope(path: str) -> keys.Scope:
    """Return the scope that a path needs, for the stricter one where it has an odd form.

    Args:
        path: decoded, as the router reads it, which overlooks a line feed at the end.
    """
    path = path.rstrip()
    if path.startswith("/v2/repository") and path != _INDEX:
        return "control"
    if path.startswith("/metrics") or path.endswith("/stats"):
        return "metrics"
    return "predict"
