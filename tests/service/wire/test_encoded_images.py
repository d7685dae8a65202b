"""Encoded images inside the protocol."""

import base64
from typing import Any

import numpy as np
import pytest

from service.artifact.signature import Signature, TensorSpec
from service.errors import InvalidRequest, InvalidTensor
from service.wire.inference_request import InferenceRequest, read_request
from tests.service.wire.wire import IMAGE, json_tensor, packed, prefixed

IMAGES = [b"\xff\xd8first", b"", b"third"]


def signature(rows: Any = "n") -> Signature:
    return Signature(
        (TensorSpec("x", "FP32", (rows, 1, 2, 2)),), (TensorSpec("y", "FP32", (rows, 3)),)
    )


def tensor(**changes: Any) -> dict[str, Any]:
    return {"name": "x", "shape": [3], "datatype": "BYTES"} | changes


def binary(part: bytes, rows: Any = "n", **changes: Any) -> InferenceRequest:
    described = tensor(parameters={"binary_data_size": len(part)}, **changes)
    body, length = packed({"inputs": [described]}, part)
    return read_request(body, signature(rows), header_length=length, image=IMAGE)


def as_json(data: Any, **changes: Any) -> InferenceRequest:
    body, _ = packed({"inputs": [tensor(data=data, **changes)]})
    return read_request(body, signature(), image=IMAGE)


@pytest.mark.parametrize("shape", [[3], [3, 1]])
def test_images_come_as_bytes_each_behind_its_length(shape: list[int]) -> None:
    request = binary(prefixed(*IMAGES), shape=shape)
    assert request.images == IMAGES
    assert request.inputs == {}


@pytest.mark.parametrize("shape", [[3], [3, 1]])
def test_images_come_as_base64_in_json(shape: list[int]) -> None:
    objects = [{"b64": base64.b64encode(each).decode()} for each in IMAGES]
    data = objects if shape == [3] else [[each] for each in objects]
    assert as_json(data, shape=shape).images == IMAGES


def test_the_tensor_itself_is_still_taken() -> None:
    array = np.ones((2, 1, 2, 2), np.float32)
    body, _ = packed({"inputs": [json_tensor("x", "FP32", array)]})
    request = read_request(body, signature(), image=IMAGE)
    assert request.images is None
    assert np.array_equal(request.inputs["x"], array)


def test_a_body_without_json_is_one_image() -> None:
    request = read_request(b"\xff\xd8jpeg", signature(), header_length=0, image=IMAGE)
    assert request.images == [b"\xff\xd8jpeg"]
    assert [each.binary for each in request.outputs] == [True]


def test_a_model_of_one_image_takes_one() -> None:
    assert binary(prefixed(b"a"), rows=1, shape=[1]).images == [b"a"]
    with pytest.raises(InvalidTensor, match=r"shape\[0\] must be 1, not 3"):
        binary(prefixed(*IMAGES), rows=1)


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (["text"] * 3, "must hold each image as"),
        ([{}] * 3, "must hold each image as"),
        ([{"b64": 1}] * 3, "must hold each image as"),
        ([{"b64": "ä"}] * 3, "not base64"),
        ([{"b64": "a"}] * 3, "not base64"),
        ([{"b64": "YQ==!"}] * 3, "not base64"),
        ([{"b64": "YQ=="}] * 2, "has 2 values, the shape asks for 3"),
        (None, "must be a list"),
    ],
)
def test_json_that_is_no_image_is_refused(data: Any, message: str) -> None:
    with pytest.raises(InvalidTensor, match=rf"^inputs\[0\]\.data.*{message}"):
        as_json(data)


@pytest.mark.parametrize(
    ("shape", "message"),
    [
        ([0], "holds no image"),
        ([4], "too few|ends before"),
        ([2], "behind its last element"),
        ([3, 2], r"shape\[1\] must be 1, not 2"),
        ([3, 1, 1], "must be a list of 1 sizes"),
        ([], "must be a list of 1 sizes"),
        (3, "must be a list of 1 sizes"),
        (["3"], "must be a size"),
    ],
)
def test_a_shape_that_is_not_that_of_the_images_is_refused(shape: Any, message: str) -> None:
    with pytest.raises(InvalidTensor, match=message):
        binary(prefixed(*IMAGES), shape=shape)


def test_bytes_behind_the_last_image_are_refused() -> None:
    body, length = packed({"inputs": [tensor(shape=[1], data=[{"b64": "YQ=="}])]}, b"more")
    with pytest.raises(InvalidRequest, match="holds 4 bytes behind"):
        read_request(body, signature(), header_length=length, image=IMAGE)
