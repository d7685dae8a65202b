"""What is known of every request once it is answered: its id, a count, a line in the log."""

from typing import TYPE_CHECKING, Literal
from urllib.parse import quote

import structlog

from service.errors import AccessError, Overloaded, QueueFull, ServiceError, TooManyConnections
from service.telemetry.metrics import Metrics
from service.telemetry.refusals import Refusals
from service.telemetry.request_id import RequestIds

if TYPE_CHECKING:
    from service.telemetry.spans import Trace, Tracing

log = structlog.get_logger()

AccessLog = Literal["all", "errors", "none"]

CLIENT_CLOSED_REQUEST = 499
"""nginx's number for a client that went away before its answer; it is only counted and logged."""

# Answers from here on are errors: of the client's, and from 500 on of ours.
_FIRST_ERROR = 400

# They come in any number.
_REFUSED_UNREAD = (AccessError, Overloaded, QueueFull, TooManyConnections)


class Observer:
    """Names requests, counts them and logs them.

    Args:
        metrics: told of each request.
        access_log: which requests are a line in the log.
        tracing: makes traces of inference requests, where they are wanted.
    """

    def __init__(
        self, metrics: Metrics, access_log: AccessLog, tracing: "Tracing | None" = None
    ) -> None:
        self.tracing = tracing
        self._metrics = metrics
        self._access_log = access_log
        self._refusals = Refusals()
        self.request_id = RequestIds().choose

    def record(
        self,
        method: str,
        path: str,
        route: str,
        status: int,
        request_id: str,
        seconds: float,
        error: ServiceError | None = None,
        trace: "Trace | None" = None,
    ) -> None:
        """Count an answered request and log it.

        Args:
            method: the request's.
            path: the request's, decoded.
            route: the template of the path.
            status: of the answer.
            request_id: as ``request_id`` returned it.
            seconds: from the request's head to its answer.
            error: that the client was told of. Refusals of who may not ask, and of what is too
                much, come in any number, and are counted in the log.
            trace: of the request, named in its line.
        """
        self._metrics.request(route, status, seconds)
        if error is not None:
            self._metrics.error(error.code)
            if isinstance(error, _REFUSED_UNREAD) and self._access_log == "errors":
                self._refusals.add(error.code, request_id)
                return
        if self._access_log == "all" or (self._access_log == "errors" and status >= _FIRST_ERROR):
            log.info(
                "request",
                method=method,
                path=quote(path),  # decoded, it could steer the terminal that shows it
                status=status,
                request_id=request_id,
                **({} if error is None else {"code": error.code}),
                **({} if trace is None else {"trace_id": trace.trace_id}),
                milliseconds=round(seconds * 1000, 3),
            )
