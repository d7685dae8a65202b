"""All that clients may ask at once, each with what may be answered to it: good, bad and slow.

Numbers, names and lengths differ from request to request, so that whatever the server keeps of
each of them is seen to grow.
"""

import gzip
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import grpc  # type: ignore[import-untyped]  # it has no types
import numpy as np
import orjson
from numpy.typing import NDArray
from PIL import Image
from PIL.Image import Resampling

from tests.chaos.load import get_request
from tests.chaos.roads import post
from tests.service import zoo
from tests.service.pictures import encoded, grey
from tests.service.rpc.clients import arrays, request

Rng = np.random.Generator
Numbers = NDArray[np.float32]

WIDE = 20_000
"""Numbers whose JSON is read, and written, by a thread."""

MILL = 512
"""Numbers of a row of the model that is run by a thread."""

_LABELS = {0: "dark", 100: "grey", 255: "bright"}  # of the classifier, by the level
_SIDES = (100, 800)  # pixels; pictures of these sizes are decoded by a thread
_PREDICT = "/models/brightness/predict"


class Ask(NamedTuple):
    """One request over HTTP.

    Args:
        request: whole, or in the pieces that it is sent in.
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


def put_models(root: Path) -> None:
    """Write the models beside ``m`` and ``brightness`` into a repository."""
    zoo.put(root, "wide", 1, zoo.doubler(shape=("batch", WIDE)))
    zoo.put(root, "mill", 1, zoo.mill(MILL, turns=60))
    zoo.put(root, "picker", 1, zoo.picker())


def _row(rng: Rng, count: int = 3) -> Numbers:
    """Numbers that JSON, float32 and their doubles hold exactly."""
    return rng.integers(-(2**20), 2**20, (1, count)).astype(np.float32)


def _good(request: bytes, holds: Callable[[bytes], bool]) -> Ask:
    return Ask(request, frozenset({200}), holds)


def _is_bad(request: bytes, *statuses: int) -> Ask:
    return Ask(request, frozenset(statuses), lambda _body: False)


def _document(x: Numbers, **parameters: object) -> dict[str, Any]:
    tensor = {"name": "x", "shape": [*x.shape], "datatype": "FP32", "data": x.ravel().tolist()}
    return {"inputs": [tensor], "parameters": parameters}


def _infer(model: str, document: Mapping[str, Any], *headers: str, query: str = "") -> bytes:
    return post(f"/v2/models/{model}/infer{query}", orjson.dumps(document), *headers)


def _data(body: bytes) -> list[float]:
    found: list[float] = orjson.loads(body)["outputs"][0]["data"]
    return found


def in_place(rng: Rng) -> Ask:
    x = _row(rng)
    named = _document(x) | {"id": rng.bytes(int(rng.integers(1, 40))).hex()}
    return _good(
        _infer("m", named),
        lambda body: (
            _data(body) == (2 * x).ravel().tolist() and orjson.loads(body)["id"] == named["id"]
        ),
    )


def by_the_app(rng: Rng) -> Ask:
    x = np.concatenate([_row(rng) for _ in range(int(rng.integers(1, 9)))])
    request = _infer("m", _document(x), query="?by=the-app")
    return _good(request, lambda body: _data(body) == (2 * x).ravel().tolist())


def as_bytes(rng: Rng) -> Ask:
    x = np.concatenate([_row(rng) for _ in range(int(rng.integers(1, 9)))])
    tensor = {"name": "x", "shape": [*x.shape], "datatype": "FP32"}
    head = orjson.dumps(
        {
            "inputs": [tensor | {"parameters": {"binary_data_size": x.nbytes}}],
            "parameters": {"binary_data_output": True},
        }
    )
    length = f"Inference-Header-Content-Length: {len(head)}"
    request = post("/v2/models/m/infer", head + x.tobytes(), length)
    return _good(request, lambda body: body[-x.nbytes :] == (2 * x).tobytes())


def packed(rng: Rng) -> Ask:
    x = _row(rng)
    body = gzip.compress(orjson.dumps(_document(x)), compresslevel=1)
    return _good(
        post("/v2/models/m/infer", body, "Content-Encoding: gzip"),
        lambda body: _data(body) == (2 * x).ravel().tolist(),
    )


def wide(rng: Rng) -> Ask:
    x = np.concatenate([_row(rng, WIDE) for _ in range(int(rng.integers(1, 5)))])
    request = _infer("wide", _document(x), "Accept-Encoding: gzip")
    return _good(request, lambda body: _data(gzip.decompress(body)) == (2 * x).ravel().tolist())


def v1(rng: Rng) -> Ask:
    x = np.concatenate([_row(rng) for _ in range(int(rng.integers(1, 9)))])
    request = post("/v1/models/m:predict", orjson.dumps({"instances": x.tolist()}))
    return _good(request, lambda body: orjson.loads(body)["predictions"] == (2 * x).tolist())


def milled(rng: Rng) -> Ask:
    x = _row(rng, MILL)
    return _good(_infer("mill", _document(x)), lambda body: _data(body) == x.ravel().tolist())


def picture(rng: Rng) -> Ask:
    level = int(rng.choice(list(_LABELS)))
    side = int(rng.integers(1, 65))
    return _good(post(_PREDICT, grey(level, (side, side))), _label(level))


def form(rng: Rng) -> Ask:
    level = int(rng.choice(list(_LABELS)))
    body = (
        b'--x\r\nContent-Disposition: form-data; name="file"; filename="%b"\r\n\r\n%b\r\n--x--'
        % (rng.bytes(8).hex().encode(), _large(level, rng))
    )
    return _good(
        post(_PREDICT, body, "Content-Type: multipart/form-data; boundary=x"), _label(level)
    )


def _label(level: int) -> Callable[[bytes], bool]:
    return lambda body: bool(orjson.loads(body)["predictions"][0]["label"] == _LABELS[level])


def _large(level: int, rng: Rng) -> bytes:
    """A JPEG that is one level but for a little noise, which its mean has nothing of."""
    noise = rng.integers(-9, 10, (40, 40))
    values = np.clip(level + noise, 0, 255).astype(np.uint8)
    side = int(rng.integers(*_SIDES))
    return encoded(Image.fromarray(values).resize((side, side), Resampling.NEAREST), "JPEG")


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
    return _good(get_request(path), lambda body: bool(body) or path.startswith("/v2/health"))


def no_json(rng: Rng) -> Ask:
    return _is_bad(post("/v2/models/m/infer", rng.bytes(int(rng.integers(1, 300)))), 400)


def wrong_shape(rng: Rng) -> Ask:
    return _is_bad(_infer("m", _document(_row(rng, int(rng.integers(4, 50))))), 400)


def nobody(rng: Rng) -> Ask:
    name = rng.bytes(int(rng.integers(1, 40))).hex()
    path = [f"/v2/models/{name}/infer", f"/models/{name}/predict", f"/{name}"][rng.integers(3)]
    return _is_bad(post(path, b"{}"), 404)


def cut_picture(rng: Rng) -> Ask:
    whole = _large(100, rng)
    return _is_bad(
        post(_PREDICT, whole[: int(rng.integers(len(whole) // 4, len(whole) // 2))]), 400
    )


def no_picture(rng: Rng) -> Ask:
    return _is_bad(post(_PREDICT, b"\0" + rng.bytes(int(rng.integers(1, 9000)))), 415)


def cut_form(rng: Rng) -> Ask:
    body = b"--x\r\nContent-Disposition: form-data\r\n\r\n" + rng.bytes(20)
    return _is_bad(post(_PREDICT, body, "Content-Type: multipart/form-data; boundary=x"), 400)


def no_http(rng: Rng) -> Ask:
    return _is_bad(b"\1" + rng.bytes(int(rng.integers(1, 300))) + b"\r\n\r\n", 400)


def too_large(_rng: Rng) -> Ask:
    """Nothing of its body is sent, so it is the last of its connection."""
    request = post("/v2/models/m/infer", b"", "Connection: close")
    return _is_bad(request.replace(b"Length: 0", b"Length: 999999999"), 413)


def poison(rng: Rng) -> Ask:
    tensor = {"name": "x", "shape": [1, 1], "datatype": "INT64", "data": [int(rng.integers(9, 99))]}
    return _is_bad(_infer("picker", {"inputs": [tensor]}), 500)


def late(rng: Rng) -> Ask:
    """Who waits for a microsecond is late, or is told so when it comes."""
    return _is_bad(_infer("mill", _document(_row(rng, MILL), timeout=1)), 504, 429)


def called(rng: Rng) -> Call:
    x = _row(rng)
    message = request("m", {"x": x}, id=rng.bytes(int(rng.integers(1, 40))).hex())
    return Call(
        message,
        grpc.StatusCode.OK,
        lambda answer: answer.id == message.id and arrays(answer)["y"] == (2 * x).tolist(),
    )


def called_wrong(rng: Rng) -> Call:
    message = request("m", {"x": _row(rng, int(rng.integers(4, 50)))})
    return Call(message, grpc.StatusCode.INVALID_ARGUMENT, lambda _answer: False)


def called_nobody(rng: Rng) -> Call:
    name = rng.bytes(int(rng.integers(1, 40))).hex()
    return Call(request(name, {"x": _row(rng)}), grpc.StatusCode.NOT_FOUND, lambda _answer: False)


Kind = Callable[[Rng], Ask | Call]

GOOD: Sequence[tuple[Kind, int]] = (
    (in_place, 14),
    (by_the_app, 8),
    (as_bytes, 10),
    (packed, 4),
    (wide, 2),
    (v1, 6),
    (milled, 4),
    (picture, 5),
    (form, 5),
    (pages, 4),
    (called, 8),
)
"""Each with how often it comes, of a hundred."""

BAD: Sequence[tuple[Kind, int]] = (
    (no_json, 2),
    (wrong_shape, 2),
    (nobody, 2),
    (cut_picture, 2),
    (no_picture, 1),
    (cut_form, 1),
    (no_http, 2),
    (too_large, 1),
    (poison, 2),
    (late, 2),
    (called_wrong, 1),
    (called_nobody, 1),
)
