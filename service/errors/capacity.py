"""What is fine and cannot be answered now."""

from service.errors.roots import ServiceError, TryLater


class CapacityError(ServiceError):
    """The request is fine, and the server cannot answer it now."""


class QueueFull(TryLater, CapacityError):
    """The queue is full; the request was refused at once."""

    code = "queue_full"
    status = 429


class Overloaded(TryLater, CapacityError):
    """So much waits that the request would be late; it was refused at once."""

    code = "overloaded"
    status = 429


class ModelNotReady(CapacityError):
    """The model is in the repository and cannot answer now."""

    code = "model_not_ready"
    status = 503


class NotReady(CapacityError):
    """The server takes no requests now: it is starting or shutting down."""

    code = "not_ready"
    status = 503


class ShuttingDown(CapacityError):
    """The server is shutting down and admits nothing new."""

    code = "shutting_down"
    status = 503


class TooManyConnections(TryLater, CapacityError):
    """The server has as many connections as it takes."""

    code = "too_many_connections"
    status = 503


class DeadlineExceeded(CapacityError):
    """The request was not answered within its time."""

    code = "deadline_exceeded"
    status = 504
