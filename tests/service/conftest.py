"""What the service's tests share."""

import logging
import os
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import httpx
import pytest
import structlog

from tests.service import zoo
from tests.service.apps import serving


@pytest.fixture(autouse=True)
def _no_settings_from_outside(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in [name for name in os.environ if name.upper().startswith("FOLDSERVE_")]:
        monkeypatch.delenv(name)


@pytest.fixture
def _logs_as_before() -> Iterator[None]:
    handlers, level = logging.root.handlers[:], logging.root.level
    yield
    logging.root.handlers[:] = handlers
    logging.root.setLevel(level)
    logging.captureWarnings(False)
    logging.getLogger("uvicorn.error").filters.clear()
    structlog.reset_defaults()


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


@pytest.fixture
def models(tmp_path: Path) -> Path:
    """A repository with an image model and a plain tensor model in two versions."""
    zoo.put(tmp_path, "brightness", 1, zoo.brightness_classifier())
    zoo.put(tmp_path, "doubler", 1, zoo.doubler())
    zoo.put(tmp_path, "doubler", 12, zoo.doubler())
    return tmp_path


@pytest.fixture
async def client(models: Path) -> AsyncIterator[httpx.AsyncClient]:
    async with serving(models) as client:
        yield client
