"""Requests that are to be refused, and how; one that fails in its run, and one that is late."""

import grpc  # type: ignore[import-untyped]  # it has no types

from tests.chaos.asks import MILL, PREDICT, Ask, Call, Rng, bad, document, infer, large_picture, row
from tests.chaos.roads import post
from tests.service.rpc.clients import request


def no_json(rng: Rng) -> Ask:
    return bad(post("/v2/models/m/infer", rng.bytes(int(rng.integers(1, 300)))), 400)


def wrong_shape(rng: Rng) -> Ask:
    return bad(infer("m", document(row(rng, int(rng.integers(4, 50))))), 400)


def nobody(rng: Rng) -> Ask:
    name = rng.bytes(int(rng.integers(1, 40))).hex()
    path = [f"/v2/models/{name}/infer", f"/models/{name}/predict", f"/{name}"][rng.integers(3)]
    return bad(post(path, b"{}"), 404)


def cut_picture(rng: Rng) -> Ask:
    whole = large_picture(100, rng)
    return bad(post(PREDICT, whole[: int(rng.integers(len(whole) // 4, len(whole) // 2))]), 400)


def no_picture(rng: Rng) -> Ask:
    return bad(post(PREDICT, b"\0" + rng.bytes(int(rng.integers(1, 9000)))), 415)


def cut_form(rng: Rng) -> Ask:
    body = b"--x\r\nContent-Disposition: form-data\r\n\r\n" + rng.bytes(20)
    return bad(post(PREDICT, body, "Content-Type: multipart/form-data; boundary=x"), 400)


def no_http(rng: Rng) -> Ask:
    return bad(b"\1" + rng.bytes(int(rng.integers(1, 300))) + b"\r\n\r\n", 400)


def too_large(_rng: Rng) -> Ask:
    """Nothing of its body is sent, so it is the last of its connection."""
    request = post("/v2/models/m/infer", b"", "Connection: close")
    return bad(request.replace(b"Length: 0", b"Length: 999999999"), 413)


def poison(rng: Rng) -> Ask:
    tensor = {"name": "x", "shape": [1, 1], "datatype": "INT64", "data": [int(rng.integers(9, 99))]}
    return bad(infer("picker", {"inputs": [tensor]}), 500)


def late(rng: Rng) -> Ask:
    """Who waits for a microsecond is late, or is told so when it comes."""
    return bad(infer("mill", document(row(rng, MILL), timeout=1)), 504, 429)


def called_wrong(rng: Rng) -> Call:
    message = request("m", {"x": row(rng, int(rng.integers(4, 50)))})
    return Call(message, grpc.StatusCode.INVALID_ARGUMENT, lambda _answer: False)


def called_nobody(rng: Rng) -> Call:
    name = rng.bytes(int(rng.integers(1, 40))).hex()
    return Call(request(name, {"x": row(rng)}), grpc.StatusCode.NOT_FOUND, lambda _answer: False)
