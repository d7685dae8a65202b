"""Damaged requests, pictures and commands: no answer but the intended, no crash, hang or growth."""

import re
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

import pytest

from tests.chaos.load import infer_request
from tests.security.fuzz import roads
from tests.security.fuzz.judgement import Search
from tests.security.fuzz.served import models
from tests.security.fuzz.target import (
    SECONDS,
    SEED,
    SETTLING_S,
    Watch,
    ask,
    corpus,
    keep,
    send_all,
    share,
    tell,
)
from tests.service.servers import Server, server

pytestmark = pytest.mark.anyio

KINDS: Mapping[str, Callable[[int], Iterator[bytes]]] = {
    "requests": roads.requests,
    "pictures": roads.pictures,
    "commands": roads.commands,
}

# Others come of the moment: 429, 503 and 504.
COMPARED = {b"200", b"400", b"404", b"413", b"415", b"422", b"500"}


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    bounds = {"MAX_BODY_BYTES": 2**20, "MAX_IMAGE_PIXELS": 10**6, "RUN_TIMEOUT_S": 2}
    folder = models(tmp_path_factory.mktemp("models"))
    with server(folder, WORKERS=2, CONTROL_PORT=0, ACCESS_LOG="none", **bounds) as process:
        yield process


@pytest.fixture(scope="module")
def watch(running: Server) -> Iterator[Watch]:
    found = Watch(running)
    yield found
    assert found.complaints() == []
    assert running.stop() == 0
    found.end()


async def test_every_road_gives_a_body_the_same_answer(
    running: Server, watch: Watch, tmp_path: Path, figure: Callable[..., None]
) -> None:
    """The event loop's own, and the app's."""
    found = Search("infer")
    watch.begin()

    async def one(data: bytes) -> bool:
        in_place = await ask(running.port, roads.of_tensors(data))
        through_app = await ask(running.port, roads.of_tensors(data, roads.CLOSE))
        found.take(data, in_place)
        found.take(data, through_app)
        ours, theirs = said(in_place), said(through_app)
        if ours != theirs and {ours[0], theirs[0]} <= COMPARED:
            found.blame(data, b"%r, %r" % (ours, theirs))
        return True

    await share(one, corpus("infer"), 3600.0)
    await share(one, roads.bodies(SEED), SECONDS)
    tell(found)
    assert not keep(found, tmp_path)
    assert watch.complaints() == []
    assert found.answers["200"]
    figure("Fuzzing of both roads", inputs=found.tried, different=0)


def said(answer: bytes | None) -> tuple[bytes, bytes, bytes]:
    """Return status, length of the JSON and body of an answer; the rest is of its moment."""
    head, _, body = (answer or b"").partition(b"\r\n\r\n")
    length = re.search(rb"(?i)\r\ninference-header-content-length: (\d+)", head)
    return head[9:12], length[1] if length else b"", re.sub(rb'"request_id":"[^"]*"', b"", body)


@pytest.mark.parametrize("name", KINDS)
async def test_damaged_bytes_have_the_intended_answers(
    running: Server, watch: Watch, tmp_path: Path, name: str, figure: Callable[..., None]
) -> None:
    port = int(running.control.rpartition(":")[2]) if name == "commands" else running.port
    kind, found = KINDS[name], Search(name)
    await send_all(found, port, kind(SEED + 1), SETTLING_S, watch.alive)
    watch.begin()
    await send_all(found, port, corpus(name), alive=watch.alive)
    await send_all(found, port, kind(SEED), SECONDS, watch.alive)
    tell(found)
    assert not keep(found, tmp_path)
    assert watch.complaints() == []
    assert found.answers["200"]  # some are not damaged where it matters
    assert found.answers["400"]
    figure(f"Fuzzing of {name}", inputs=found.tried, crashed=0, hung=0, wrong=0)


async def test_the_server_answers_as_before(running: Server, watch: Watch) -> None:
    found = Search("right")
    await send_all(found, running.port, [infer_request("m", [3])] * 20)
    assert found.answers == {"200": 20}
    assert watch.complaints() == []
