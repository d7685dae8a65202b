"""Who may not."""

from foldserve_client.errors.roots import ServiceError


class AccessError(ServiceError):
    """The client may not do what it asks for."""


class Unauthorized(AccessError):
    """The request has no API key, or one that is not known here."""

    code = "unauthorized"


class NotLocal(AccessError):
    """The control port takes nothing that comes from elsewhere than this machine."""

    code = "not_local"


class Forbidden(AccessError):
    """The API key is not for what is asked."""

    code = "forbidden"


class RateLimited(AccessError):
    """The API key has asked more often than it may."""

    code = "rate_limited"
