"""An app whose lifespan runs, with a client that reaches it without a socket."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import httpx
from fastapi import FastAPI

from service.app import create_app
from service.lifecycle import Service
from service.settings import Settings


def settings(models: Path, **choices: Any) -> Settings:
    return Settings(models=models, intra_op_threads=1, decode_threads=1, **choices)


@asynccontextmanager
async def running(app: FastAPI) -> AsyncIterator[httpx.AsyncClient]:
    """Run the lifespan in this task and give a client of the app, of its control port if any."""
    control = app.state.service.settings.control_port
    url = "http://test" if control is None else control_url(control)
    async with app.router.lifespan_context(app), client_of(app, url) as client:
        yield client


@asynccontextmanager
async def serving(models: Path, **choices: Any) -> AsyncIterator[httpx.AsyncClient]:
    async with running(create_app(settings(models, **choices))) as client:
        yield client


def control_url(port: int) -> str:
    """What makes a client's requests those that came over the control port."""
    return f"http://127.0.0.1:{port}"


def client_of(app: FastAPI, url: str = "http://test") -> httpx.AsyncClient:
    return httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url=url)


def service_of(app: FastAPI) -> Service:
    service: Service = app.state.service
    return service
