"""What holds for every call of a client."""

from collections.abc import Callable
from dataclasses import dataclass

from foldserve_client.errors import InvalidCall
from foldserve_client.exchange import Answer, Call, Found
from foldserve_client.problems import error_of
from foldserve_client.retries import Attempts, Retries

# Twice what a server takes by default, so that it has the last word and says why.
TIMEOUT_S = 60.0

# A server that is there answers a connection within a round trip or two, lost packets included.
CONNECT_TIMEOUT_S = 5.0

_OK = 200


@dataclass(frozen=True, slots=True)
class Rules:
    """The time and the attempts of calls.

    Args:
        timeout_s: of a call with all its attempts, where it has none of its own.
        connect_timeout_s: until a connection is there.
        retries: of a call.
        clock: seconds that never go backwards.
    """

    timeout_s: float
    connect_timeout_s: float
    retries: Retries
    clock: Callable[[], float]

    def __post_init__(self) -> None:
        _require_time("timeout_s", self.timeout_s)
        _require_time("connect_timeout_s", self.connect_timeout_s)

    def attempts(self, timeout_s: float | None, retries: Retries | None = None) -> Attempts:
        """Begin with the attempts of a call that may have a time and a rule of its own."""
        timeout_s = self.timeout_s if timeout_s is None else timeout_s
        _require_time("timeout_s", timeout_s)
        return Attempts(retries or self.retries, timeout_s, self.clock)


def outcome(call: Call[Found], answer: Answer) -> Found:
    """Return what a call found.

    Raises:
        ServiceError: the server says that something went wrong.
        InvalidAnswer: what it says is not what was asked for.
    """
    if answer.status != _OK:
        raise error_of(answer)
    return call.read(answer)


def _require_time(name: str, seconds: float) -> None:
    if not seconds > 0:  # NaN is not, either
        raise InvalidCall(f"{name} must be more than 0, not {seconds}")
