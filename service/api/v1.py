"""TensorFlow Serving's REST protocol, which is KServe's first one as well.

https://github.com/tensorflow/serving, ``tensorflow_serving/g3doc/api_rest.md``;
https://kserve.github.io/website/docs/concepts/architecture/data-plane/v1-protocol
"""

import functools
from typing import Any

from fastapi import FastAPI
from starlette.requests import Request
from starlette.responses import Response

from service import errors
from service.api import v1_schemas as schemas
from service.api.direct import add_direct
from service.api.documentation import DECODE, LOOK_UP, READ_BODY, RUN, add, reference
from service.api.exchange import Exchange, json_answer, service_of
from service.api.inference import run, written
from service.repository.entries import Entry
from service.wire.v1_request import read_v1_request
from service.wire.v1_response import write_v1_response

_KNOWN = (errors.ModelNotFound, errors.VersionNotFound, errors.NotReady)
_PREDICT = (
    *LOOK_UP,
    errors.InvalidJSON,
    errors.InvalidRequest,
    errors.InvalidTensor,
    errors.BatchTooLarge,
    *DECODE,
    *READ_BODY,
    *RUN,
)
_BODY = {"application/json": {"schema": reference(schemas.V1Request)}}

# A version that is not served is at its end, and its error says why.
_STATES = {"ready": "AVAILABLE", "loading": "LOADING"}


def add_endpoints(app: FastAPI) -> None:
    """Add the endpoints of this module."""
    add(app, "GET", "/v1/models", models, answer=schemas.V1Models, errors=(errors.NotReady,))
    for prefix in ("/v1/models/{name}", "/v1/models/{name}/versions/{version}"):
        # Before the endpoint of a model, whose path has room for the colon and what is behind it.
        add_direct(
            app,
            f"{prefix}:predict",
            predict,
            answer=schemas.V1Answer,
            errors=_PREDICT,
            body=_BODY,
        )
        add(app, "GET", prefix, status, answer=schemas.V1Status, errors=_KNOWN)


async def models(request: Request) -> Response:
    """List the names of the models."""
    return json_answer({"models": list(service_of(request).repository.models)})


async def status(request: Request) -> Response:
    """Say whether a model can answer, and in which state its versions are."""
    repository = service_of(request).repository
    name, version = request.path_params["name"], request.path_params.get("version")
    entry = repository.entry(name, version)
    versions = [entry] if version else list(repository.versions(name).values())[::-1]
    return json_answer(
        {
            "name": name,
            "ready": entry.predictor is not None and not entry.predictor.model.hangs,
            "model_version_status": [_state(each) for each in versions],
        }
    )


async def predict(exchange: Exchange) -> None:
    """Run a model on `instances`, row by row, or on `inputs`, tensor by tensor."""
    entry, predictor = exchange.serving()
    model = predictor.model
    image = model.manifest.image if model.manifest else None
    with entry.in_use:
        body = await exchange.read_body()
        read = functools.partial(read_v1_request, body, model.signature, image)
        asked, outputs = await run(exchange, predictor, len(body), read)
        specs = model.signature.outputs
        write = functools.partial(write_v1_response, asked.rows, specs, outputs)
        answer = await written(exchange, predictor, outputs, write)
    await exchange.answer(answer)


def _state(entry: Entry) -> dict[str, Any]:
    failed = entry.state == "failed"
    return {
        "version": entry.version,
        "state": _STATES.get(entry.state, "END"),
        "status": {
            "error_code": "UNKNOWN" if failed else "OK",
            "error_message": entry.reason or "",
        },
    }
