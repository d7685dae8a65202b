"""The Open Inference Protocol v2 over REST, with JSON tensors.

https://github.com/kserve/open-inference-protocol, ``specification/protocol/inference_rest.md``.
"""

from collections.abc import Sequence
from importlib.metadata import version as installed_version
from typing import Any

from fastapi import FastAPI
from starlette.requests import Request
from starlette.responses import Response

from service import errors, schemas
from service.api.documentation import add, add_unlisted, reference
from service.api.exchange import json_answer, parse_json, read_body, service_of, while_connected
from service.api.repository import tensor
from service.errors import InvalidRequest
from service.predictor import Tensors
from service.signature import Signature, TensorSpec
from service.tensors import brief, decode_tensor, encode_tensor

PLATFORM = "onnx_onnxv1"

_BINARY_HEADER = "inference-header-content-length"
_LOOK_UP = (errors.ModelNotFound, errors.VersionNotFound, errors.ModelNotReady, errors.NotReady)
_INFER = (
    *_LOOK_UP,
    errors.InvalidJSON,
    errors.InvalidRequest,
    errors.InvalidTensor,
    errors.BatchTooLarge,
    errors.BodyTooLarge,
    errors.UnsupportedEncoding,
    errors.QueueFull,
    errors.InferenceFailed,
    errors.OutputNotFinite,
    errors.ShuttingDown,
    errors.DeadlineExceeded,
)
_BODY = {"application/json": {"schema": reference(schemas.InferenceRequest)}}


def add_endpoints(app: FastAPI) -> None:
    """Add the endpoints of this module."""
    add(app, "GET", "/v2", server, answer=schemas.ServerMetadata)
    add_unlisted(app, "/v2/", server)
    for prefix in ("/v2/models/{name}", "/v2/models/{name}/versions/{version}"):
        add(app, "GET", prefix, metadata, answer=schemas.ModelMetadata, errors=_LOOK_UP)
        add(app, "GET", f"{prefix}/ready", ready, answer=schemas.ModelReady, errors=_LOOK_UP)
        add(
            app,
            "POST",
            f"{prefix}/infer",
            infer,
            answer=schemas.InferenceResponse,
            errors=_INFER,
            body=_BODY,
        )


async def server(_request: Request) -> Response:
    """Say what the server is."""
    return json_answer(
        {"name": "foldserve", "version": installed_version("foldserve"), "extensions": []}
    )


async def metadata(request: Request) -> Response:
    """Show the signature of a model."""
    repository = service_of(request).repository
    entry, predictor = repository.serving(**request.path_params)
    signature = predictor.model.signature
    return json_answer(
        {
            "name": entry.name,
            "versions": [each.version for each in repository.versions(entry.name).values()],
            "platform": PLATFORM,
            "inputs": [tensor(spec) for spec in signature.inputs],
            "outputs": [tensor(spec) for spec in signature.outputs],
        }
    )


async def ready(request: Request) -> Response:
    """Say whether a model can answer."""
    entry, _ = service_of(request).repository.serving(**request.path_params)
    return json_answer({"name": entry.name, "ready": True})


async def infer(request: Request) -> Response:
    """Run a model on tensors; the body is JSON whatever its content type says."""
    entry, predictor = service_of(request).repository.serving(**request.path_params)
    if _BINARY_HEADER in request.headers:
        raise InvalidRequest("Inference-Header-Content-Length: tensors are taken as JSON data only")
    document = _object("the request", parse_json(await read_body(request)))
    signature = predictor.model.signature
    request_id = _request_id(document)
    wanted = _wanted_outputs(document, signature)
    outputs = await while_connected(request, predictor.infer(_inputs(document, signature)))
    return json_answer(
        {
            "model_name": entry.name,
            "model_version": entry.version,
            **({} if request_id is None else {"id": request_id}),
            "outputs": [encode_tensor(spec, outputs[spec.name]) for spec in wanted],
        }
    )


def _request_id(document: dict[str, Any]) -> str | None:
    request_id = document.get("id")
    if request_id is not None and not isinstance(request_id, str):
        raise InvalidRequest(f"id must be a string, not {brief(request_id)}")
    return request_id


def _inputs(document: dict[str, Any], signature: Signature) -> Tensors:
    """Return every input of the signature; each once, none missing, none unknown."""
    tensors = _named_objects("inputs", document.get("inputs"), signature.inputs)
    missing = [spec.name for spec in signature.inputs if spec.name not in tensors]
    if missing:
        raise InvalidRequest(f"inputs lacks {', '.join(map(repr, missing))}")
    return {spec.name: decode_tensor(*tensors[spec.name], spec=spec) for spec in signature.inputs}


def _wanted_outputs(document: dict[str, Any], signature: Signature) -> Sequence[TensorSpec]:
    """Return the outputs that are asked for, in the order of the request."""
    asked = document.get("outputs")
    if asked is None or asked == []:
        return signature.outputs
    by_name = {spec.name: spec for spec in signature.outputs}
    return [by_name[name] for name in _named_objects("outputs", asked, signature.outputs)]


def _named_objects(
    field: str, items: object, specs: Sequence[TensorSpec]
) -> dict[str, tuple[str, dict[str, Any]]]:
    """Return by name where each object of a list stands, and the object."""
    if not isinstance(items, list):
        raise InvalidRequest(f"{field} must be a list")
    known = {spec.name for spec in specs}
    found: dict[str, tuple[str, dict[str, Any]]] = {}
    for i, item in enumerate(items):
        where = f"{field}[{i}]"
        name = _object(where, item).get("name")
        if not isinstance(name, str) or name not in known:
            raise InvalidRequest(
                f"{where}.name {brief(name)} is none of {', '.join(map(repr, sorted(known)))}"
            )
        if name in found:
            raise InvalidRequest(f"{where}.name {name!r} is there twice")
        found[name] = (where, item)
    return found


def _object(field: str, item: object) -> dict[str, Any]:
    if not isinstance(item, dict):
        raise InvalidRequest(f"{field} must be a JSON object")
    return item
