"""Health in the protocol's words, and the metrics."""

from fastapi import FastAPI
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response

from service import errors
from service.api import schemas
from service.api.documentation import add
from service.api.exchange import json_answer, service_of
from service.telemetry.metrics import CONTENT_TYPE


def add_endpoints(app: FastAPI) -> None:
    """Add the endpoints of this module."""
    add(app, "GET", "/v2/health/live", live, answer=schemas.Live)
    add(
        app,
        "GET",
        "/v2/health/ready",
        ready,
        answer=schemas.Ready,
        errors=(errors.NotReady,),
    )
    add(app, "GET", "/metrics", metrics, response_class=PlainTextResponse)


async def live(_request: Request) -> Response:
    """Say that the process answers."""
    return json_answer({"live": True})


async def ready(request: Request) -> Response:
    """Say whether new requests should be sent here; a broken model does not count against it."""
    service_of(request).require_ready()
    return json_answer({"live": True, "ready": True})


async def metrics(request: Request) -> Response:
    """Show the metrics in Prometheus' text format."""
    exposition = service_of(request).metrics.exposition()
    return Response(exposition, headers={"Content-Type": CONTENT_TYPE})
