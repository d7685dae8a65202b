"""``POST /models/{name}/predict``: an image in, ranked labels out."""

from fastapi import FastAPI
from starlette.requests import Request
from starlette.responses import Response

from service import errors, schemas
from service.api.documentation import add
from service.api.exchange import json_answer, read_body, service_of, while_connected
from service.api.multipart import FIELD, file_part, is_multipart

_BINARY = {"schema": {"type": "string", "format": "binary"}}
_FORM = {
    "type": "object",
    "required": [FIELD],
    "properties": {FIELD: {"type": "string", "format": "binary"}},
}
_BODY = {
    "image/png": _BINARY,
    "image/jpeg": _BINARY,
    "image/webp": _BINARY,
    "application/octet-stream": _BINARY,
    "multipart/form-data": {"schema": _FORM},
}
_TOP_K = {
    "name": "top_k",
    "in": "query",
    "required": False,
    "description": "How many classes; more than there are means all of them.",
    "schema": {"type": "integer", "minimum": 1, "maximum": 999_999},
}
_ERRORS = (
    errors.InvalidMultipart,
    errors.InvalidImage,
    errors.ModelNotFound,
    errors.VersionNotFound,
    errors.BodyTooLarge,
    errors.BodyTimeout,
    errors.ImageTooLarge,
    errors.UnsupportedEncoding,
    errors.UnsupportedImage,
    errors.InvalidParameter,
    errors.ModelTakesNoImages,
    errors.QueueFull,
    errors.InferenceFailed,
    errors.OutputNotFinite,
    errors.ModelNotReady,
    errors.NotReady,
    errors.ShuttingDown,
    errors.DeadlineExceeded,
)
# Longer numbers are refused before they are read: int() of a long text is slow by design.
_TOP_K_DIGITS = 6


def add_endpoints(app: FastAPI) -> None:
    """Add the endpoints of this module."""
    for path in ("/models/{name}/predict", "/models/{name}/versions/{version}/predict"):
        add(
            app,
            "POST",
            path,
            predict,
            answer=schemas.PredictAnswer,
            errors=_ERRORS,
            query=[_TOP_K],
            body=_BODY,
        )


async def predict(request: Request) -> Response:
    """Classify an image, sent as the raw body or as the part `file` of a multipart form."""
    service = service_of(request)
    name, version = request.path_params["name"], request.path_params.get("version")
    entry, predictor = service.repository.serving(name, version)
    top_k = _top_k(request, service.settings.top_k)
    image = await read_body(request)
    content_type = request.headers.get("content-type", "")
    if is_multipart(content_type):
        image = file_part(image, content_type)
    predictions = await while_connected(request, predictor.classify(image, top_k))
    return json_answer(
        {
            "model": entry.name,
            "version": entry.version,
            "predictions": predictions,
        }
    )


def _top_k(request: Request, default: int) -> int:
    text = request.query_params.get("top_k")
    if text is None:
        return default
    if not (text.isascii() and text.isdecimal() and len(text) <= _TOP_K_DIGITS and int(text) > 0):
        raise errors.InvalidParameter("top_k must be a whole number from 1 to 999999")
    return int(text)
