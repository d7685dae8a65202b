"""Before every endpoint there is: who may ask for it. What is not named needs a key."""

from starlette.types import ASGIApp, Receive, Scope, Send

from service.access.guard import Guard
from service.access.scopes import scope_of_path
from service.errors import Unauthorized

# What a browser opens by itself, with no key in a header. It asks a person for a name and a
# password when it is challenged so, and sends both with all that it asks of this server, for
# whichever page it does. So they open the pages, which only read, and nothing else.
_PAGE = frozenset({"/", "/docs", "/openapi.json"})
_ASSETS = ("/docs/assets/", "/playground/")
_READING = frozenset({"GET", "HEAD"})
_CHALLENGE = 'Basic realm="Foldserve: an API key as the password", charset="UTF-8"'


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
        if scope["type"] != "lifespan":
            self._require(scope)
        await self._app(scope, receive, send)

    def _require(self, scope: Scope) -> None:
        needed = scope_of_path(scope["path"])
        if needed is None:
            return
        if not _is_page(scope):
            self._guard.require(scope["headers"], needed)
            return
        try:
            self._guard.require(scope["headers"], needed, as_password=True)
        except Unauthorized as error:
            raise Unauthorized(str(error), _CHALLENGE) from None


def _is_page(scope: Scope) -> bool:
    path: str = scope["path"]
    if scope["type"] != "http" or scope["method"] not in _READING:
        return False
    return path in _PAGE or path.startswith(_ASSETS)
