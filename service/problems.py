"""How an error looks on the wire: one shape for our endpoints, one for the protocol's."""

from dataclasses import dataclass

import orjson

from service.errors import ServiceError

PROBLEM_JSON = "application/problem+json"
PLAIN_JSON = "application/json"


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


def is_open_inference(path: str) -> bool:
    """Return whether a path belongs to the Open Inference Protocol."""
    return path == "/v2" or path.startswith("/v2/")


def problem(error: ServiceError, path: str, request_id: str) -> Answer:
    """Return the answer to a failed request.

    Under ``/v2`` it is the protocol's ``{"error": …}``, elsewhere problem details
    (RFC 9457) with the error's ``code`` and the ``request_id``.
    """
    protocol = is_open_inference(path)
    headers = {**error.headers, "Content-Type": PLAIN_JSON if protocol else PROBLEM_JSON}
    body = {"error": str(error)} if protocol else _details(error, request_id)
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
