"""``GET /models``: what is in the repository, in which state, and what its files say."""

from typing import Any

from fastapi import FastAPI
from starlette.requests import Request
from starlette.responses import Response

from service import errors
from service.api import schemas
from service.api.documentation import add
from service.api.exchange import json_answer, service_of
from service.repository.entries import Entry
from service.repository.metadata import tensor_metadata


def add_endpoints(app: FastAPI) -> None:
    """Add the endpoints of this module."""
    add(app, "GET", "/models", models, answer=schemas.ModelList, errors=(errors.NotReady,))
    add(
        app,
        "GET",
        "/models/{name}",
        model,
        answer=schemas.ModelDetail,
        errors=(errors.ModelNotFound, errors.NotReady),
    )


async def models(request: Request) -> Response:
    """List every model with the state of its versions."""
    repository = service_of(request).repository
    summaries = [
        _head(repository.entry(name)) | {"versions": [_summary(each) for each in versions.values()]}
        for name, versions in repository.models.items()
    ]
    return json_answer({"models": summaries})


async def model(request: Request) -> Response:
    """Show one model: the signature, manifest, state and provider of each version."""
    repository = service_of(request).repository
    name = request.path_params["name"]
    details = [_detail(entry) for entry in repository.versions(name).values()]
    return json_answer(_head(repository.entry(name)) | {"versions": details})


def _head(default: Entry) -> dict[str, Any]:
    return {"name": default.name, "version": default.version, "state": default.state}


def _summary(entry: Entry) -> dict[str, Any]:
    return {"version": entry.version, "state": entry.state, "reason": entry.reason}


def _detail(entry: Entry) -> dict[str, Any]:
    if entry.predictor is None:
        unknown = ("provider", "batched", "inputs", "outputs", "manifest")
        return _summary(entry) | dict.fromkeys(unknown)
    served = entry.predictor.model
    return _summary(entry) | {
        "provider": served.provider,
        "batched": entry.predictor.batches,
        "inputs": [tensor_metadata(spec) for spec in served.signature.inputs],
        "outputs": [tensor_metadata(spec) for spec in served.signature.outputs],
        "manifest": served.manifest.model_dump() if served.manifest else None,
    }
