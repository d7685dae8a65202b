"""What a call sends and what comes back, apart from whatever carries it."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Generic, TypeVar

Found = TypeVar("Found")


@dataclass(frozen=True, slots=True)
class Request:
    """One request.

    Args:
        method: of HTTP.
        path: behind the server's URL, quoted, with its query.
        headers: beside those that every request has.
        body: None for a request without.
    """

    method: str
    path: str
    headers: Mapping[str, str] = field(default_factory=dict)
    body: bytes | None = None


@dataclass(frozen=True, slots=True)
class Answer:
    """One whole answer.

    Args:
        status: of HTTP.
        headers: with names in lower case.
        body: without its encoding.
    """

    status: int
    headers: Mapping[str, str]
    body: bytes


@dataclass(frozen=True, slots=True)
class Call(Generic[Found]):
    """Something to ask the server.

    Asking twice is as good as asking once: no call changes anything at the server.

    Args:
        request: makes the request of an attempt that has so many seconds left.
        read: makes the result of an answer with status 200; raises ``InvalidAnswer``.
    """

    request: Callable[[float], Request]
    read: Callable[[Answer], Found]
