"""An answer that is none of what was asked for, as the exception that it is."""

import functools
import json
from collections.abc import Iterator, Mapping
from typing import Any

from foldserve_client.errors import (
    AccessError,
    BodyError,
    CapacityError,
    ContentError,
    FoldserveError,
    InvalidAnswer,
    RoutingError,
    RunError,
    ServiceError,
)
from foldserve_client.exchange import Answer
from foldserve_client.retry_after import retry_after_s

# Of answers without a code that is known here.
_BRANCHES: Mapping[int, type[ServiceError]] = {
    401: AccessError,
    403: AccessError,
    404: RoutingError,
    405: RoutingError,
    408: BodyError,
    413: BodyError,
    414: BodyError,
    429: CapacityError,
    431: BodyError,
    502: CapacityError,
    503: CapacityError,
    504: CapacityError,
}
_FIRST_ERROR, _FIRST_OF_SERVER, _END = 400, 500, 600

# A page of a proxy is no sentence; its beginning tells whose it is.
_LONGEST_DETAIL = 500


def error_of(answer: Answer) -> FoldserveError:
    """Return what an answer stands for whose status is not 200.

    The code is the one of the problem details (RFC 9457), or else that of the header
    ``Foldserve-Error``, which stands beside the protocols' ``{"error": "…"}``.
    """
    if not _FIRST_ERROR <= answer.status < _END:
        where = answer.headers.get("location")
        more = f"; it points to {where!r}" if where else ""
        return InvalidAnswer(f"the server answered with status {answer.status}{more}")
    body = _object(answer.body)
    code = _text(body, "code") or answer.headers.get("foldserve-error")
    detail = _text(body, "detail") or _text(body, "error") or _beginning(answer.body)
    request_id = answer.headers.get("x-request-id") or _text(body, "request_id")
    kind = _leaves().get(code or "") or _branch(answer.status)
    return kind(detail, answer.status, code, request_id, retry_after_s(answer.headers))


def _object(body: bytes) -> Mapping[str, Any]:
    try:
        found = json.loads(body)
    except (ValueError, RecursionError):  # a proxy's page, or nothing
        return {}
    return found if isinstance(found, dict) else {}


def _text(body: Mapping[str, Any], name: str) -> str | None:
    value = body.get(name)
    return value if isinstance(value, str) else None


def _beginning(body: bytes) -> str:
    return body[:_LONGEST_DETAIL].decode(errors="replace").strip() or "an error without a word"


def _branch(status: int) -> type[ServiceError]:
    return _BRANCHES.get(status) or (RunError if status >= _FIRST_OF_SERVER else ContentError)


@functools.cache
def _leaves() -> Mapping[str, type[ServiceError]]:
    return {kind.code: kind for kind in _below(ServiceError) if kind.code}


def _below(kind: type[ServiceError]) -> Iterator[type[ServiceError]]:
    for child in kind.__subclasses__():
        yield child
        yield from _below(child)
