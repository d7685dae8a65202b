"""The ways to a server over HTTP: what the seeds and their damage become as whole requests."""

import base64
import gzip
import json
import zlib
from collections.abc import Iterator
from random import Random

from tests.security.fuzz import damage, seeds
from tests.security.fuzz.seeds import LENGTH, post

CLOSE = "Connection: close"
"""What keeps a request from the express lane, and changes nothing else."""
_PREDICT = "/models/brightness/predict?top_k=2"
_INFER = "/v2/models/brightness/infer"


def requests(seed: int) -> Iterator[bytes]:
    """Yield requests: of damaged bytes, of damaged bodies whose heads are right, packed ones."""
    chance = Random(seed)  # noqa: S311 -- no secret
    whole, tensors, predictions = seeds.requests(), seeds.tensors(), seeds.predictions()
    while True:
        way = chance.random()
        if way < 0.4:
            yield damage.blind(chance, chance.choice(whole))
        elif way < 0.7:
            yield of_tensors(damage.body(chance, chance.choice(tensors)))
        elif way < 0.8:
            yield _of_prediction(
                damage.behind_line(damage.document)(chance, chance.choice(predictions))
            )
        else:
            yield _packed(chance, damage.body(chance, chance.choice(tensors)))


def bodies(seed: int) -> Iterator[bytes]:
    """Yield damaged bodies of ``/infer`` behind a line with a model and a length."""
    chance = Random(seed)  # noqa: S311 -- no secret
    whole = seeds.tensors()
    while True:
        yield damage.body(chance, chance.choice(whole))


def pictures(seed: int) -> Iterator[bytes]:
    """Yield requests with a damaged picture in each of the places that take one."""
    chance = Random(seed)  # noqa: S311 -- no secret
    whole = seeds.pictures()
    ways = (_as_body, _in_form, _in_json, _in_bytes, _alone, _in_instances)
    while True:
        yield chance.choice(ways)(damage.picture(chance, chance.choice(whole)))


def commands(seed: int) -> Iterator[bytes]:
    """Yield requests of those who look after models."""
    chance = Random(seed)  # noqa: S311 -- no secret
    load = "/v2/repository/models/m/load"
    whole = [post(load, _command(each)) for each in seeds.policies()]
    whole += [
        post("/v2/repository/index", b'{"ready":true}'),
        post("/v2/repository/models/two/unload", b'{"parameters":{"unload_dependents":true}}'),
    ]
    while True:
        if chance.random() < 0.5:
            yield damage.blind(chance, chance.choice(whole))
        else:
            text = damage.document(chance, chance.choice(seeds.policies()))
            yield post(load, damage.document(chance, _command(text)), CLOSE)


def of_tensors(data: bytes, *headers: str) -> bytes:
    """Return the request to ``/infer`` of a line with a model and a length, and a body."""
    line, _, body = data.partition(b"\n")
    name, _, length = line.decode("latin-1").partition(" ")
    stated = [LENGTH + length] if length else []
    return post(f"/v2/models/{name}/infer", body, *stated, *headers)


def _of_prediction(data: bytes) -> bytes:
    line, _, body = data.partition(b"\n")
    return post(f"/v1/models/{line.decode('latin-1')}:predict", body)


def _packed(chance: Random, data: bytes) -> bytes:
    """Pack a body, and damage the package half of the time."""
    line, _, body = data.partition(b"\n")
    encoding, pack = chance.choice((("gzip", gzip.compress), ("deflate", zlib.compress)))
    packed = pack(body)
    if chance.random() < 0.5:
        packed = damage.blind(chance, packed)
    return of_tensors(line + b"\n" + packed, f"Content-Encoding: {encoding}")


def _command(config: bytes) -> bytes:
    return json.dumps({"parameters": {"config": config.decode("utf-8", "replace")}}).encode()


def _as_body(file: bytes) -> bytes:
    return post(_PREDICT, file, CLOSE)


def _in_form(file: bytes) -> bytes:
    form = "Content-Type: multipart/form-data; boundary=x"
    return post(_PREDICT, seeds.PART + file + seeds.END, form, CLOSE)


def _image(**changes: object) -> dict[str, object]:
    return {"inputs": [{"name": "input", "shape": [1], "datatype": "BYTES"} | changes]}


def _in_json(file: bytes) -> bytes:
    document = _image(data=[{"b64": base64.b64encode(file).decode()}])
    return post(_INFER, json.dumps(document).encode(), CLOSE)


def _in_bytes(file: bytes) -> bytes:
    contents = len(file).to_bytes(4, "little") + file
    text = json.dumps(_image(parameters={"binary_data_size": len(contents)})).encode()
    return post(_INFER, text + contents, f"{LENGTH}{len(text)}", CLOSE)


def _alone(file: bytes) -> bytes:
    return post(_INFER, file, f"{LENGTH}0", CLOSE)


def _in_instances(file: bytes) -> bytes:
    document = {"instances": [{"b64": base64.b64encode(file).decode()}]}
    return post("/v1/models/brightness:predict", json.dumps(document).encode(), CLOSE)
