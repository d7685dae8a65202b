"""The control port: the same app, asked from this machine alone; only there commands are taken."""

from starlette.requests import Request
from starlette.types import ASGIApp, Receive, Scope, Send

from service.access.loopback import LOOPBACK, require_local
from service.errors import ControlPlaneOff
from service.repository.commands import ELSEWHERE


class ControlPort:
    """Middleware that tells what came over the control port from what did not.

    Args:
        app: the app inside.
        port: of the listener on the loopback address.
    """

    def __init__(self, app: ASGIApp, port: int) -> None:
        self._app = app
        self._address = (LOOPBACK, port)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one connection.

        Raises:
            NotLocal: it came over the control port, and not from here.
        """
        if scope["type"] != "lifespan" and tuple(scope["server"] or ()) == self._address:
            require_local(scope["scheme"], scope["headers"])
            scope.setdefault("state", {})["takes_commands"] = True
        await self._app(scope, receive, send)


def takes_commands(request: Request) -> bool:
    """Return whether a request came over the control port."""
    return getattr(request.state, "takes_commands", False)


def require_control_port(request: Request) -> None:
    """Return if a request came over the control port.

    Raises:
        ControlPlaneOff: it did not.
    """
    if not takes_commands(request):
        raise ControlPlaneOff(ELSEWHERE)
