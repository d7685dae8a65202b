"""One real server for the tests of the clients, and both clients."""

from collections.abc import Iterator

import pytest

from tests.clients import zoo
from tests.foldserve_client.fakes import Ask, Make, Time, blocking, fake_clients, waiting
from tests.service import servers

KINDS = {"blocking": blocking, "async": waiting}


@pytest.fixture(scope="session")
def url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The server, in a process of its own, with a model for every datatype and form."""
    with servers.server(zoo.build(tmp_path_factory.mktemp("models"))) as server:
        yield server.url
        assert server.stop() == 0


@pytest.fixture(params=KINDS)
def ask(request: pytest.FixtureRequest, url: str) -> Ask:
    """A call of either client to the real server."""
    return KINDS[request.param](url)


@pytest.fixture(params=KINDS)
def make(request: pytest.FixtureRequest, time: Time) -> Make:
    """Makes calls of either client to a fake server, in the fake's time."""
    return fake_clients(time)[request.param]


@pytest.fixture
def time() -> Time:
    return Time()
