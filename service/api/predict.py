"""``POST /models/{name}/predict``: an image in, ranked labels out."""

import orjson
from fastapi import FastAPI
from starlette.datastructures import QueryParams

from service import errors
from service.api import schemas
from service.api.direct import add_direct
from service.api.documentation import DECODE, LOOK_UP, READ_BODY, RUN
from service.api.exchange import Exchange
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
    *LOOK_UP,
    *READ_BODY,
    errors.InvalidMultipart,
    *DECODE,
    errors.InvalidParameter,
    errors.ModelTakesNoImages,
    *RUN,
)
# Bytes of an image that is answered before its client could go away.
_SMALL_IMAGE = 4096

# Longer numbers are refused before they are read: int() of a long text is slow by design.
_TOP_K_DIGITS = 6


def add_endpoints(app: FastAPI) -> None:
    """Add the endpoints of this module."""
    for path in ("/models/{name}/predict", "/models/{name}/versions/{version}/predict"):
        add_direct(
            app,
            path,
            predict,
            answer=schemas.PredictAnswer,
            errors=_ERRORS,
            query=[_TOP_K],
            body=_BODY,
        )


async def predict(exchange: Exchange) -> None:
    """Classify an image, sent as the raw body or as the part `file` of a multipart form."""
    entry, predictor = exchange.serving()
    top_k = _top_k(exchange.scope["query_string"], exchange.service.settings.top_k)
    with entry.in_use:
        image = _image(await exchange.read_body(), exchange.header(b"content-type"))
        work = predictor.classify(image, top_k, exchange.timing)
        at_once = predictor.runs_at_once and len(image) <= _SMALL_IMAGE
        predictions = await (work if at_once else exchange.while_connected(work))
    content = {"model": entry.name, "version": entry.version, "predictions": predictions}
    await exchange.answer(orjson.dumps(content))


def _image(body: bytes, content_type: bytes | None) -> bytes:
    stated = (content_type or b"").decode("latin-1")
    return file_part(body, stated) if is_multipart(stated) else body


def _top_k(query: bytes, default: int) -> int:
    text = QueryParams(query).get("top_k") if query else None
    if text is None:
        return default
    if not (text.isascii() and text.isdecimal() and len(text) <= _TOP_K_DIGITS and int(text) > 0):
        raise errors.InvalidParameter("top_k must be a whole number from 1 to 999999")
    return int(text)
