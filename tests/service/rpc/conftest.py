"""A client of a service with the models of the neighbouring tests."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from tests.service.rpc.clients import Client, serving


@pytest.fixture(scope="session")
def anyio_backend() -> str:
    """As everywhere, and for fixtures of a whole module, too."""
    return "asyncio"


@pytest.fixture
async def rpc(models: Path) -> AsyncIterator[Client]:
    async with serving(models) as client:
        yield client
