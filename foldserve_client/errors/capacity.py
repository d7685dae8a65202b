"""What is fine and could not be answered now."""

from foldserve_client.errors.roots import ServiceError


class CapacityError(ServiceError):
    """The request is fine, and the server cannot answer it now."""


class QueueFull(CapacityError):
    """The queue is full; the request was refused at once."""

    code = "queue_full"


class Overloaded(CapacityError):
    """So much waits that the request would be late; it was refused at once."""

    code = "overloaded"


class ModelNotReady(CapacityError):
    """The model is in the repository and cannot answer now."""

    code = "model_not_ready"


class NotReady(CapacityError):
    """The server takes no requests now: it is starting or shutting down."""

    code = "not_ready"


class ShuttingDown(CapacityError):
    """The server is shutting down and admits nothing new."""

    code = "shutting_down"


class TooManyConnections(CapacityError):
    """The server has as many connections as it takes."""

    code = "too_many_connections"


class DeadlineExceeded(CapacityError):
    """The request was not answered within its time."""

    code = "deadline_exceeded"
