"""Requests that are to be answered, and whether the answer is right."""

import gzip
from collections.abc import Callable

import grpc  # type: ignore[import-untyped]  # it has no types
import numpy as np
import orjson

from tests.chaos.asks import (
    LABELS,
    MILL,
    PREDICT,
    WIDE,
    Ask,
    Call,
    Rng,
    data,
    document,
    good,
    infer,
    large_picture,
    row,
)
from tests.chaos.load import get_request
from tests.chaos.roads import post
from tests.service.pictures import grey
from tests.service.rpc.clients import arrays, request


def in_place(rng: Rng) -> Ask:
    x = row(rng)
    named = document(x) | {"id": rng.bytes(int(rng.integers(1, 40))).hex()}
    return good(
        infer("m", named),
        lambda body: (
            data(body) == (2 * x).ravel().tolist() and orjson.loads(body)["id"] == named["id"]
        ),
    )


def by_the_app(rng: Rng) -> Ask:
    x = np.concatenate([row(rng) for _ in range(int(rng.integers(1, 9)))])
    request = infer("m", document(x), query="?by=the-app")
    return good(request, lambda body: data(body) == (2 * x).ravel().tolist())


def as_bytes(rng: Rng) -> Ask:
    x = np.concatenate([row(rng) for _ in range(int(rng.integers(1, 9)))])
    tensor = {"name": "x", "shape": [*x.shape], "datatype": "FP32"}
    head = orjson.dumps(
        {
            "inputs": [tensor | {"parameters": {"binary_data_size": x.nbytes}}],
            "parameters": {"binary_data_output": True},
        }
    )
    length = f"Inference-Header-Content-Length: {len(head)}"
    request = post("/v2/models/m/infer", head + x.tobytes(), length)
    return good(request, lambda body: body[-x.nbytes :] == (2 * x).tobytes())


def packed(rng: Rng) -> Ask:
    x = row(rng)
    body = gzip.compress(orjson.dumps(document(x)), compresslevel=1)
    return good(
        post("/v2/models/m/infer", body, "Content-Encoding: gzip"),
        lambda body: data(body) == (2 * x).ravel().tolist(),
    )


def wide(rng: Rng) -> Ask:
    x = np.concatenate([row(rng, WIDE) for _ in range(int(rng.integers(1, 5)))])
    request = infer("wide", document(x), "Accept-Encoding: gzip")
    return good(request, lambda body: data(gzip.decompress(body)) == (2 * x).ravel().tolist())


def v1(rng: Rng) -> Ask:
    x = np.concatenate([row(rng) for _ in range(int(rng.integers(1, 9)))])
    request = post("/v1/models/m:predict", orjson.dumps({"instances": x.tolist()}))
    return good(request, lambda body: orjson.loads(body)["predictions"] == (2 * x).tolist())


def milled(rng: Rng) -> Ask:
    x = row(rng, MILL)
    return good(infer("mill", document(x)), lambda body: data(body) == x.ravel().tolist())


def picture(rng: Rng) -> Ask:
    level = int(rng.choice(list(LABELS)))
    side = int(rng.integers(1, 65))
    return good(post(PREDICT, grey(level, (side, side))), _label(level))


def form(rng: Rng) -> Ask:
    level = int(rng.choice(list(LABELS)))
    body = (
        b'--x\r\nContent-Disposition: form-data; name="file"; filename="%b"\r\n\r\n%b\r\n--x--'
        % (rng.bytes(8).hex().encode(), large_picture(level, rng))
    )
    return good(post(PREDICT, body, "Content-Type: multipart/form-data; boundary=x"), _label(level))


def pages(rng: Rng) -> Ask:
    path = str(
        rng.choice(
            [
                "/metrics",
                "/v2/health/live",
                "/v2/health/ready",
                "/v2/models/m",
                "/v2/models/m/ready",
                "/v2/models/m/stats",
                "/v2/models/stats",
                "/v1/models",
                "/docs",
            ]
        )
    )
    return good(get_request(path), lambda body: bool(body) or path.startswith("/v2/health"))


def called(rng: Rng) -> Call:
    x = row(rng)
    message = request("m", {"x": x}, id=rng.bytes(int(rng.integers(1, 40))).hex())
    return Call(
        message,
        grpc.StatusCode.OK,
        lambda answer: answer.id == message.id and arrays(answer)["y"] == (2 * x).tolist(),
    )


def _label(level: int) -> Callable[[bytes], bool]:
    return lambda body: bool(orjson.loads(body)["predictions"][0]["label"] == LABELS[level])
