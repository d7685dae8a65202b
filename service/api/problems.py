"""How an error looks on the wire: one shape for our endpoints, one for the protocols'."""

from dataclasses import dataclass

import orjson

from service.errors import ServiceError

PROBLEM_JSON = "application/problem+json"
PLAIN_JSON = "application/json"

# The protocols' error has one member, a sentence; programs tell errors apart by this header.
CODE_HEADER = "Foldserve-Error"

_PROTOCOLS = {"/v1": "TensorFlow Serving", "/v2": "Open Inference Protocol"}


@dataclass(frozen=True)
class Answer:
    """An answer before any framework has it."""

    status: int
    headers: dict[str, str]
    body: bytes

    @property
    def raw_headers(self) -> list[tuple[bytes, bytes]]:
        """The headers as ASGI sends them."""
        return [
            (name.lower().encode(), value.encode("latin-1")) for name, value in self.headers.items()
        ]


def protocol(path: str) -> str | None:
    """Return the protocol that a path belongs to, None for an endpoint of our own."""
    return _PROTOCOLS.get(path[:3]) if path[3:4] in ("", "/") else None


def problem(error: ServiceError, path: str, request_id: str) -> Answer:
    """Return the answer to a failed request.

    Under ``/v1`` and ``/v2`` it is the protocols' ``{"error": …}``, elsewhere problem details
    (RFC 9457) with the error's ``code`` and the ``request_id``. A header names the code in both.
    """
    plain = protocol(path) is not None
    content_type = PLAIN_JSON if plain else PROBLEM_JSON
    headers = {**error.headers, CODE_HEADER: error.code, "Content-Type": content_type}
    body = {"error": str(error)} if plain else _details(error, request_id)
    return Answer(error.status, headers, orjson.dumps(body))


def title(error: type[ServiceError]) -> str:
    """Return the sentence that an error class stands for, the same for every occurrence."""
    return (error.__doc__ or "").split("\n", 1)[0].rstrip(".")


def _details(error: ServiceError, request_id: str) -> dict[str, object]:
    return {
        "type": f"urn:foldserve:problem:{error.code}",
        "title": title(type(error)),
        "status": error.status,
        "detail": str(error),
        "code": error.code,
        "request_id": request_id,
    }
