"""What every error of this package is one of."""

import math
from collections.abc import Mapping
from types import MappingProxyType
from typing import ClassVar

_NONE: Mapping[str, str] = MappingProxyType({})

# Characters: five lines of a terminal, and more than the runtime's own words are given.
_LONGEST = 500


class FoldserveError(Exception):
    """Every error that this package raises on purpose."""


class StartError(FoldserveError):
    """The service cannot start; the message is one line that says why and what to do."""

    exit_status: ClassVar[int] = 2


class ModelLoadError(FoldserveError):
    """A model file cannot be served; the message names no path.

    Args:
        message: why, cut to what a list of models can show: the file's own names may be in it.
    """

    def __init__(self, message: str) -> None:
        super().__init__(message if len(message) <= _LONGEST else message[:_LONGEST] + "...")


class BoardFull(FoldserveError):
    """The memory that workers share has no room to count something new."""


class ServiceError(FoldserveError):
    """An error with an HTTP answer; what its ``headers`` say may be another for each."""

    code: ClassVar[str]
    status: ClassVar[int]
    headers: Mapping[str, str] = _NONE


class TryLater(Exception):
    """What an error has that is over in a while.

    Args:
        message: what a client reads.
        retry_after_s: seconds after which a new attempt may be answered; the header has room
            for whole ones alone (RFC 9110, 10.2.3), and 0 would be an invitation.
    """

    headers: Mapping[str, str] = MappingProxyType({"Retry-After": "1"})

    def __init__(self, message: str, retry_after_s: float = 1.0) -> None:
        super().__init__(message)
        self.headers = {"Retry-After": str(max(1, math.ceil(retry_after_s)))}
