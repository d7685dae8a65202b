"""What every error of this package is one of, and those that are not the server's."""


class FoldserveError(Exception):
    """Every error that a call raises on purpose."""


class InvalidCall(FoldserveError, ValueError):
    """What was given cannot be sent; nothing was."""


class CertificateRefused(FoldserveError):
    """The server's certificate is not one that is trusted; nothing was sent."""


class ConnectionFailed(FoldserveError, ConnectionError):
    """No answer came: the connection could not be opened, or it ended before."""


class TimedOut(FoldserveError, TimeoutError):
    """No answer came within the time of the call."""


class InvalidAnswer(FoldserveError):
    """What came is no answer of a Foldserve server."""


class ServiceError(FoldserveError):
    """The server answered with an error.

    Args:
        detail: the server's sentence.
        status: of HTTP.
        code: the server's word for it; None where a proxy, say, answered in its place.
        request_id: the server's log has the request under it.
        retry_after_s: seconds after which the server wants to be asked again, if it says so.
    """

    code: str | None = None

    def __init__(
        self,
        detail: str,
        status: int,
        code: str | None = None,
        request_id: str | None = None,
        retry_after_s: float | None = None,
    ) -> None:
        # All of them, in this order: so an exception is copied and pickled.
        super().__init__(detail, status, code, request_id, retry_after_s)
        self.detail = detail
        self.status = status
        self.code = code
        self.request_id = request_id
        self.retry_after_s = retry_after_s

    def __str__(self) -> str:
        what = f"{self.status} {self.code}" if self.code else str(self.status)
        whose = f", request {self.request_id}" if self.request_id else ""
        return f"{self.detail} ({what}{whose})"
