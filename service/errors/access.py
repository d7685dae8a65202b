"""Who may not."""

from collections.abc import Mapping
from types import MappingProxyType

from service.errors.roots import ServiceError, TryLater


class AccessError(ServiceError):
    """The client may not do what it asks for."""


class Unauthorized(AccessError):
    """The request has no API key, or one that is not known here."""

    code = "unauthorized"
    status = 401
    # RFC 9110 demands a challenge with every 401; a key is sent as RFC 6750's bearer token.
    headers: Mapping[str, str] = MappingProxyType({"WWW-Authenticate": "Bearer"})

    def __init__(self, message: str, challenge: str = "Bearer") -> None:
        """Have a client read the message; the challenge says how the key may be sent."""
        super().__init__(message)
        self.headers = {"WWW-Authenticate": challenge}


class NotLocal(AccessError):
    """The control port takes nothing that comes from elsewhere than this machine."""

    code = "not_local"
    status = 403


class Forbidden(AccessError):
    """The API key is not for what is asked."""

    code = "forbidden"
    status = 403


class RateLimited(TryLater, AccessError):
    """The API key has asked more often than it may."""

    code = "rate_limited"
    status = 429
