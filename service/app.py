"""The composition root: settings in, an ASGI app out. Nothing happens before the lifespan."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from importlib.metadata import version

from fastapi import FastAPI

from service.api import failures, health, open_inference, pages, predict, repository
from service.api.direct import DirectLane, direct_routes
from service.api.documentation import add_components
from service.lifecycle import Service
from service.loading import OpenModel
from service.middleware import Observation, SecurityHeaders
from service.model import open_model
from service.settings import Settings


def create_app(settings: Settings, open_model: OpenModel = open_model) -> FastAPI:
    """Return the app; its lifespan loads the models and, at the end, drains them.

    Args:
        settings: the operator's.
        open_model: opens one model file.
    """
    service = Service(settings, open_model)

    @asynccontextmanager
    async def lifespan(_app: FastAPI) -> AsyncIterator[None]:
        await service.start()
        try:
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
    )
    app.state.service = service
    for module in (predict, repository, open_inference, health):
        module.add_endpoints(app)
    pages.add_pages(app)
    failures.add_handlers(app)
    add_components(app)
    app.add_middleware(SecurityHeaders)
    app.add_middleware(DirectLane, routes=direct_routes(app))
    app.add_middleware(Observation, metrics=service.metrics, access_log=settings.access_log)
    return app
