"""The composition root: settings in, an ASGI app out. Nothing happens before the lifespan."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from importlib.metadata import version

from fastapi import FastAPI
from starlette.middleware.cors import CORSMiddleware

from service.access.guard import Guard
from service.access.key_file import KeyFile
from service.access.secrets import Secrets
from service.api import (
    failures,
    health,
    open_inference,
    pages,
    playground,
    predict,
    repository,
    triton,
    v1,
)
from service.api.access import Access
from service.api.control_port import ControlPort
from service.api.direct import DirectLane, direct_routes
from service.api.documentation import add_components
from service.api.express import ExpressLane
from service.api.keys_document import describe_keys
from service.api.middleware import Observation, SecurityHeaders
from service.api.problems import CODE_HEADER
from service.inference.loading import OpenModel
from service.inference.model import open_model
from service.lifecycle import Service
from service.machine.plan import Plan
from service.repository.hub import Hub
from service.rpc.lifespan import grpc_beside
from service.settings import Settings
from service.telemetry.metrics import Metrics
from service.telemetry.observation import Observer
from service.tls.rotation import open_rotation

# What a page of another origin may send, and see of an answer, beside what any page may.
_ASKED_HEADERS = (
    "Authorization",
    "Content-Type",
    "Inference-Header-Content-Length",
    "X-API-Key",
    "X-Request-ID",
)
_TOLD_HEADERS = (
    CODE_HEADER,
    "Inference-Header-Content-Length",
    "Retry-After",
    "Server-Timing",
    "X-Request-ID",
)

_NONE_YET = Secrets()


def create_app(
    settings: Settings,
    open_model: OpenModel = open_model,
    *,
    hub: Hub | None = None,
    plan: Plan | None = None,
    metrics: Metrics | None = None,
    secrets: Secrets = _NONE_YET,
) -> FastAPI:
    """Return the app; its lifespan loads the models and, at the end, drains them.

    Args:
        settings: the operator's.
        open_model: opens one model file.
        hub: carries commands to every worker; by default this one is alone.
        plan: of processes and threads; by default that of a process that is alone.
        metrics: of this worker; by default it is alone.
        secrets: what their files held when they were last of use; by default the files are read.
    """
    service = Service(settings, open_model, hub, plan, metrics)
    guard = _guard(service, secrets)
    tls = open_rotation(settings, secrets.credentials)

    @asynccontextmanager
    async def lifespan(_app: FastAPI) -> AsyncIterator[None]:
        await service.start()
        try:
            async with grpc_beside(service, guard, tls):
                yield
        finally:
            await service.close()

    app = FastAPI(
        title="Foldserve",
        summary="CNNs with folded batch normalization over HTTP.",
        version=version("foldserve"),
        lifespan=lifespan,
        docs_url=None,
        redoc_url=None,
        redirect_slashes=False,
        telemetry={"tracing": False, "metrics": False, "logs": False},
    )
    app.state.service = service
    for module in (predict, repository, triton, open_inference, v1, health):
        module.add_endpoints(app)
    pages.add_pages(app)
    playground.add_page(app)
    failures.add_handlers(app)
    add_components(app)
    app.add_middleware(SecurityHeaders)
    app.add_middleware(DirectLane, routes=direct_routes(app))
    if guard is not None:
        app.add_middleware(Access, guard=guard)
        describe_keys(app)
    if settings.control_port is not None:
        app.add_middleware(ControlPort, port=settings.control_port)
    observer = Observer(service.metrics, settings.access_log, service.tracing)
    app.add_middleware(Observation, observer=observer)
    if settings.cors_origins:
        _let_pages_call(app, settings.cors_origins)
    app.state.observer = observer
    app.state.tls = tls
    app.state.express_lane = ExpressLane(service, observer, guard)
    return app


def _guard(service: Service, secrets: Secrets) -> Guard | None:
    path = service.settings.api_keys
    if path is None:
        return None
    return Guard(KeyFile(path, secrets.keys), service.metrics.board.rates)


def _let_pages_call(app: FastAPI, origins: tuple[str, ...]) -> None:
    """Let browsers give our answers to pages of other origins.

    It is outside of the API keys: a browser asks whether it may ask, and sends no key with it.
    """
    app.add_middleware(
        CORSMiddleware,
        allow_origins=origins,
        allow_methods=("GET", "POST"),
        allow_headers=_ASKED_HEADERS,
        expose_headers=_TOLD_HEADERS,
    )
