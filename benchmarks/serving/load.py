"""What a load of requests found."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Load:
    """A server under load.

    Attributes:
        requests: Answered with status 200.
        errors: Answered otherwise, not in time, or not at all.
        seconds: That it took.
        p50_ms: Median latency.
        p99_ms: The latency that one of a hundred exceeds.
        late_p99_ms: By how much the generator itself was late, all but one of a hundred times at
            most; a request that waits for a connection is the server's affair.
    """

    requests: int
    errors: int
    seconds: float
    p50_ms: float
    p99_ms: float
    late_p99_ms: float | None = None

    @property
    def rate(self) -> float:
        """Requests answered in a second."""
        return self.requests / self.seconds
