"""One handler for every error: ours, the framework's, and what the framework refuses."""

import structlog
from fastapi import FastAPI
from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response

from service.api.problems import Answer, problem
from service.errors import (
    InternalError,
    InvalidParameter,
    InvalidRequest,
    MethodNotAllowed,
    NotFound,
    RunError,
    ServiceError,
)

log = structlog.get_logger()

_FRAMEWORK: dict[int, tuple[type[ServiceError], str]] = {
    NotFound.status: (NotFound, "there is nothing at this path; GET /docs lists what there is"),
    MethodNotAllowed.status: (MethodNotAllowed, "this path does not take this method"),
}


def add_handlers(app: FastAPI) -> None:
    """Answer every error in the shape of its path."""
    app.add_exception_handler(ServiceError, _answer)
    app.add_exception_handler(HTTPException, _answer)
    app.add_exception_handler(RequestValidationError, _answer)


def answer_of(error: ServiceError, path: str, request_id: str) -> Answer:
    """Return the answer to a failed request; a failed run is logged with its cause."""
    if isinstance(error, RunError):
        cause = repr(error.__cause__)
        log.error(
            "run failed", code=error.code, reason=str(error), cause=cause, request_id=request_id
        )
    return problem(error, path, request_id)


async def _answer(request: Request, error: Exception) -> Response:
    ours = request.state.error = _ours(error)
    answer = answer_of(ours, request.scope["path"], request.state.request_id)
    headers = dict(getattr(error, "headers", None) or {}) | answer.headers
    if headers.get("Allow") == "GET":  # the framework names the methods of one route of the path
        headers["Allow"] = "GET, HEAD"
    return Response(answer.body, answer.status, headers)


def _ours(error: Exception) -> ServiceError:
    """Return an error of the framework as one of ours."""
    if isinstance(error, ServiceError):
        return error
    if isinstance(error, RequestValidationError):
        detail = error.errors()[0]
        return InvalidParameter(f"{detail['loc'][-1]}: {detail['msg']}")
    status = getattr(error, "status_code", InternalError.status)
    kind, message = _FRAMEWORK.get(status, (InvalidRequest, "the request cannot be read"))
    return kind(message)
