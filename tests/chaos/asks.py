"""What a request of the mixture is made of, and what may be answered to it."""

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import grpc  # type: ignore[import-untyped]  # it has no types
import numpy as np
import orjson
from numpy.typing import NDArray
from PIL import Image
from PIL.Image import Resampling

from tests.chaos.roads import post
from tests.service.pictures import encoded

Rng = np.random.Generator
Numbers = NDArray[np.float32]

WIDE = 20_000
"""Numbers whose JSON is read, and written, by a thread."""

MILL = 512
"""Numbers of a row of the model that is run by a thread."""

LABELS = {0: "dark", 100: "grey", 255: "bright"}  # of the classifier, by the level

PREDICT = "/models/brightness/predict"

_SIDES = (100, 800)  # pixels; pictures of these sizes are decoded by a thread


class Ask(NamedTuple):
    """One request over HTTP.

    Args:
        request: whole.
        statuses: one of which the answer has.
        holds: whether the body of an answer 200 is right.
    """

    request: bytes
    statuses: frozenset[int]
    holds: Callable[[bytes], bool]


class Call(NamedTuple):
    """One call of gRPC's ``ModelInfer``.

    Args:
        message: of the protocol.
        code: that it ends with.
        holds: whether the answer is right.
    """

    message: Any
    code: grpc.StatusCode
    holds: Callable[[Any], bool]


def row(rng: Rng, count: int = 3) -> Numbers:
    """Numbers that JSON, float32 and their doubles hold exactly."""
    return rng.integers(-(2**20), 2**20, (1, count)).astype(np.float32)


def good(request: bytes, holds: Callable[[bytes], bool]) -> Ask:
    return Ask(request, frozenset({200}), holds)


def bad(request: bytes, *statuses: int) -> Ask:
    return Ask(request, frozenset(statuses), lambda _body: False)


def document(x: Numbers, **parameters: object) -> dict[str, Any]:
    tensor = {"name": "x", "shape": [*x.shape], "datatype": "FP32", "data": x.ravel().tolist()}
    return {"inputs": [tensor], "parameters": parameters}


def infer(model: str, document: Mapping[str, Any], *headers: str, query: str = "") -> bytes:
    return post(f"/v2/models/{model}/infer{query}", orjson.dumps(document), *headers)


def data(body: bytes) -> list[float]:
    found: list[float] = orjson.loads(body)["outputs"][0]["data"]
    return found


def large_picture(level: int, rng: Rng) -> bytes:
    """A JPEG that is one level but for a little noise, which its mean has nothing of."""
    noise = rng.integers(-9, 10, (40, 40))
    values = np.clip(level + noise, 0, 255).astype(np.uint8)
    side = int(rng.integers(*_SIDES))
    return encoded(Image.fromarray(values).resize((side, side), Resampling.NEAREST), "JPEG")
