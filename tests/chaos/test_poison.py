"""An item that makes a run fail fails alone; NaN and infinity have one answer on each road."""

import asyncio
import math
import threading
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import grpc  # type: ignore[import-untyped]  # it has no types
import httpx
import numpy as np
import orjson
import pytest

from service.rpc.messages import SERVICE, protocol
from tests.chaos.load import LONG, PATIENCE_S, Found, closed_loop
from tests.chaos.workers import Metrics, metrics
from tests.service import zoo
from tests.service.servers import Server, server

SECONDS = 20 if LONG else 2
GOOD = 2  # where the table has 20
POISON = 7  # where it has nothing


def pick(index: int) -> bytes:
    tensor = {"name": "x", "shape": [1, 1], "datatype": "INT64", "data": [index]}
    body = orjson.dumps({"inputs": [tensor]})
    head = b"POST /v2/models/picker/infer HTTP/1.1\r\nHost: localhost\r\n"
    return head + b"Content-Length: %d\r\n\r\n" % len(body) + body


@pytest.mark.anyio
@pytest.mark.parametrize("warm_up", [True, False], ids=["in place", "runners"])
async def test_a_poison_item_fails_alone(
    tmp_path: Path, warm_up: bool, figure: Callable[..., None]
) -> None:
    """The batch is held until it is full, so that poison and the others share their runs."""
    zoo.put(tmp_path, "picker", 1, zoo.picker())
    # What was not measured is run by threads.
    choices = {"MAX_QUEUE_DELAY_MS": 50, "MAX_BATCH_SIZE": 8, "WARM_UP": warm_up}
    with server(tmp_path, **choices) as running:
        assert running.process.stderr is not None  # each failed run is a line of the log
        threading.Thread(target=running.process.stderr.read).start()
        good, poison = await asyncio.gather(
            closed_loop(running.port, [pick(GOOD)], clients=14, seconds=SECONDS),
            closed_loop(running.port, [pick(POISON)], clients=2, seconds=SECONDS),
        )
        rows = rows_of_a_run(await metrics(running))
        assert running.stop() == 0
    assert set(good.statuses) == {200}
    assert set(poison.statuses) == {500}
    assert b'{"error":"the model failed on this input"}' in poison.first[500]
    assert b'"data":[20.0]' in good.first[200]
    assert good.lost == poison.lost == 0
    # Of eight together, and each again alone, 16/9; of none together 1: the poison had mates.
    assert rows > 1.5
    note(figure, "in place" if warm_up else "in threads", good, poison)


def rows_of_a_run(told: Metrics) -> float:
    """Return how many rows a run had on average."""
    name = 'foldserve_batch_rows_%s{model="picker",version="1"}'
    return told[name % "sum"] / told[name % "count"]


def note(figure: Callable[..., None], road: str, good: Found, poison: Found) -> None:
    figure(
        f"Poison fails alone, runs {road}",
        requests=good.requests,
        poison=poison.requests,
        mates_failed=0,
    )


NUMBERS = (math.nan, math.inf, -math.inf)


@pytest.fixture(scope="module")
def doubling(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """Doubles, and takes logarithms: of 0, which is finite, that is none."""
    models = tmp_path_factory.mktemp("models")
    zoo.put(models, "doubler", 1, zoo.doubler())
    zoo.put(models, "log", 1, zoo.logarithm())
    with server(models, GRPC_PORT=0, WORKERS=2) as running:
        running.grpc  # noqa: B018 -- the line is read before it is asked for
        yield running


def post(running: Server, path: str, body: bytes, **headers: str) -> httpx.Response:
    return httpx.post(running.url + path, content=body, headers=headers, timeout=PATIENCE_S)


@pytest.mark.parametrize(
    "written", [b"NaN", b"Infinity", b"-Infinity", b"1e999", b'"NaN"', b"null"]
)
@pytest.mark.parametrize(
    ("path", "form"),
    [
        (
            "/v2/models/doubler/infer",
            b'{"inputs":[{"name":"x","shape":[1,3],"datatype":"FP32","data":[1,%s,2]}]}',
        ),
        ("/v1/models/doubler:predict", b'{"instances":[[1,%s,2]]}'),
    ],
)
def test_json_has_no_numbers_that_are_not_finite(
    doubling: Server, path: str, form: bytes, written: bytes
) -> None:
    answer = post(doubling, path, form % written)
    assert answer.status_code == 400
    assert answer.json()["error"]


@pytest.mark.parametrize("number", NUMBERS)
def test_bytes_carry_every_number_both_ways(doubling: Server, number: float) -> None:
    given = np.array([[1, number, -0.0]], np.float32)
    tensor = {"name": "x", "shape": [1, 3], "datatype": "FP32"}
    document = {
        "inputs": [tensor | {"parameters": {"binary_data_size": given.nbytes}}],
        "parameters": {"binary_data_output": True},
    }
    head = orjson.dumps(document)
    answer = post(
        doubling,
        "/v2/models/doubler/infer",
        head + given.tobytes(),
        **{"Inference-Header-Content-Length": str(len(head))},
    )
    assert answer.status_code == 200
    assert answer.content[-given.nbytes :] == (given + given).tobytes()


@pytest.mark.parametrize("number", NUMBERS)
def test_bytes_in_and_json_out_is_refused_where_the_output_is_not_finite(
    doubling: Server, number: float
) -> None:
    given = np.array([[1, number, 0]], np.float32)
    parameters = {"binary_data_size": given.nbytes}
    tensor = {"name": "x", "shape": [1, 3], "datatype": "FP32", "parameters": parameters}
    head = orjson.dumps({"inputs": [tensor]})
    lengths = {"Inference-Header-Content-Length": str(len(head))}
    answer = post(doubling, "/v2/models/doubler/infer", head + given.tobytes(), **lengths)
    assert answer.status_code == 500
    assert answer.json() == {"error": "output 'y' holds NaN or infinity"}


def test_a_finite_input_whose_output_is_not_is_named(doubling: Server) -> None:
    v2 = b'{"inputs":[{"name":"x","shape":[1,3],"datatype":"FP32","data":[1,0,2]}]}'
    for path, body in (
        ("/v2/models/log/infer", v2),
        ("/v1/models/log:predict", b'{"instances":[[1,0,2]]}'),
    ):
        answer = post(doubling, path, body)
        assert answer.status_code == 500
        assert answer.json() == {"error": "output 'y' holds NaN or infinity"}


@pytest.mark.parametrize("number", NUMBERS)
@pytest.mark.parametrize("raw", [True, False])
def test_grpc_carries_every_number_both_ways(doubling: Server, number: float, raw: bool) -> None:
    messages = protocol().messages
    given = np.array([[1, number, 2]], np.float32)
    tensor: dict[str, Any] = {"name": "x", "datatype": "FP32", "shape": [1, 3]}
    fields: Mapping[str, Any] = {"raw_input_contents": [given.tobytes()]} if raw else {}
    if not raw:
        tensor["contents"] = {"fp32_contents": given.ravel().tolist()}
    with grpc.insecure_channel(doubling.grpc) as channel:
        answer = channel.unary_unary(
            f"/{SERVICE}/ModelInfer",
            request_serializer=messages.ModelInferRequest.SerializeToString,
            response_deserializer=messages.ModelInferResponse.FromString,
        )(
            messages.ModelInferRequest(model_name="doubler", inputs=[tensor], **fields),
            timeout=PATIENCE_S,
        )
    found = np.frombuffer(answer.raw_output_contents[0], np.float32)
    np.testing.assert_array_equal(found, (given + given).ravel())
