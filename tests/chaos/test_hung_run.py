"""A run that never ends is ended: its worker lives, its batch mates and the others are answered."""

import asyncio
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import orjson
import pytest

from tests.chaos.load import LONG, Client, Found, closed_loop, get_request, infer_request
from tests.service import zoo
from tests.service.servers import server

pytestmark = pytest.mark.anyio

HANGS = 20 if LONG else 2
RUN_TIMEOUT_S = 0.5
ONE = infer_request("counter", [1])
OTHER = infer_request("m", [3])
MODEL_READY = get_request("/v2/models/counter/ready")


def endless() -> bytes:
    """The request whose number is how many turns the model's loop makes."""
    body = b'{"inputs":[{"name":"x","shape":[1,1],"datatype":"FP32","data":[1e18]}]}'
    head = b"POST /v2/models/counter/infer HTTP/1.1\r\nHost: localhost\r\n"
    return head + b"Content-Length: %d\r\n\r\n" % len(body) + body


async def test_runs_that_hang_are_ended_and_everybody_else_is_answered(
    root: Path, figure: Callable[..., None]
) -> None:
    """The first holds up the event loop, since the model was short; the others do so no more."""
    zoo.put(root, "counter", 1, zoo.counter())
    hung, ready, mates, others = Found(), Found(), Found(), Found()
    choices = {"RUN_TIMEOUT_S": RUN_TIMEOUT_S, "WORKERS": 2, "RUNNERS": 1}
    with (
        server(root, **choices) as running,
        closing(Client(running.port, hung)) as client,
        closing(Client(running.port, ready)) as another,
    ):
        workers = running.workers
        for _ in range(HANGS):
            load = asyncio.gather(
                closed_loop(running.port, [ONE], clients=4, seconds=2 * RUN_TIMEOUT_S),
                closed_loop(running.port, [OTHER], clients=4, seconds=2 * RUN_TIMEOUT_S),
            )
            await client.ask(endless())
            for found, more in zip((mates, others), await load, strict=True):
                found.statuses += more.statuses
                found.lost += more.lost
                found.good += more.good
        await until_ready(another)
        assert running.workers == workers
        assert running.stop() == 0
    assert hung.statuses == {504: HANGS}
    answer = orjson.loads(hung.first[504].partition(b"\r\n\r\n")[2])
    assert answer == {"error": "the model took too long on this input, and was ended"}
    assert set(mates.statuses) == set(others.statuses) == {200}
    assert mates.lost == others.lost == 0
    figure(
        "Hung runs are ended; mates and other models are answered",
        hangs=HANGS,
        requests=mates.requests + others.requests,
        lost=0,
        workers_restarted=0,
    )


async def until_ready(client: Client) -> None:
    """After a run that went well the model is ready, in the worker that the connection has."""
    while b"200 OK" not in await client.ask(MODEL_READY):
        await client.ask(ONE)


async def test_the_readiness_of_a_model_says_that_a_run_of_it_was_ended(root: Path) -> None:
    zoo.put(root, "counter", 1, zoo.counter())
    with (
        server(root, RUN_TIMEOUT_S=RUN_TIMEOUT_S) as running,
        closing(Client(running.port, Found())) as client,
    ):
        assert b" 504 " in await client.ask(endless())
        told = await client.ask(MODEL_READY)
        assert b" 503 " in told
        assert b"a run of model counter version 1 took too long" in told
        assert b" 200 OK" in await client.ask(ONE)
        assert b" 200 OK" in await client.ask(MODEL_READY)
        assert running.stop() == 0
