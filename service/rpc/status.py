"""Which gRPC status a failed call ends with; the message is the error's own."""

from collections.abc import Mapping
from types import MappingProxyType

from grpc import StatusCode  # type: ignore[import-untyped]  # the wheel has no types

from service import errors
from service.errors import ServiceError

# The nearest class of an error counts, so a leaf stands here only where it differs.
_CODES: Mapping[type[Exception], StatusCode] = MappingProxyType(
    {
        errors.Unauthorized: StatusCode.UNAUTHENTICATED,
        errors.Forbidden: StatusCode.PERMISSION_DENIED,
        errors.NotLocal: StatusCode.PERMISSION_DENIED,
        errors.RateLimited: StatusCode.RESOURCE_EXHAUSTED,
        errors.BodyError: StatusCode.INVALID_ARGUMENT,
        errors.BodyTooLarge: StatusCode.RESOURCE_EXHAUSTED,  # gRPC's own word for it
        errors.BodyTimeout: StatusCode.DEADLINE_EXCEEDED,
        errors.ContentError: StatusCode.INVALID_ARGUMENT,
        errors.RoutingError: StatusCode.NOT_FOUND,
        errors.CapacityError: StatusCode.UNAVAILABLE,
        errors.QueueFull: StatusCode.RESOURCE_EXHAUSTED,
        errors.Overloaded: StatusCode.RESOURCE_EXHAUSTED,
        errors.DeadlineExceeded: StatusCode.DEADLINE_EXCEEDED,
        errors.RunError: StatusCode.INTERNAL,
        errors.RunTimedOut: StatusCode.DEADLINE_EXCEEDED,
        errors.OutOfMemory: StatusCode.RESOURCE_EXHAUSTED,
        errors.ControlPlaneOff: StatusCode.PERMISSION_DENIED,
        ServiceError: StatusCode.INTERNAL,
    }
)


def status_code(error: type[ServiceError]) -> StatusCode:
    """Return the status of an error's class."""
    return next(_CODES[each] for each in error.__mro__ if each in _CODES)
