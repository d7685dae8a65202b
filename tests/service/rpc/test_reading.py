"""Messages of any bytes at all: what is no request is refused in words."""

import time
import tracemalloc
from contextlib import suppress

import pytest
from google.protobuf.message import DecodeError  # type: ignore[import-untyped]  # it has no types
from hypothesis import example, given
from hypothesis import strategies as st

from service.artifact.signature import Signature, TensorSpec
from service.errors import InvalidRequest, InvalidTensor, ServiceError
from service.rpc.fields import MOST_PARTS, check_parts
from service.rpc.messages import protocol
from service.rpc.reading import read_infer

Request = protocol().messages.ModelInferRequest

SIGNATURE = Signature(
    (TensorSpec("x", "FP32", ("batch", 3)), TensorSpec("i", "INT8", ("batch",))),
    (TensorSpec("y", "FP32", ("batch", 3)),),
)
FIELDS = st.fixed_dictionaries(
    {
        "name": st.sampled_from(["x", "i", ""]),
        "datatype": st.sampled_from(["FP32", "INT8", "FP16", "BYTES", "other"]),
        "shape": st.lists(st.integers(-1, 2**63 - 1) | st.integers(0, 3), max_size=3),
        "contents": st.dictionaries(
            st.sampled_from(["fp32_contents", "int_contents"]),
            st.lists(st.integers(-200, 200), max_size=4),
        ),
    }
)


def read(body: bytes) -> None:
    with suppress(ServiceError, DecodeError):
        check_parts(body)
        read_infer(Request.FromString(body), SIGNATURE, None)


@given(st.binary(max_size=100))
@example(b"")
def test_any_bytes_are_read_or_refused(body: bytes) -> None:
    read(body)


@given(st.lists(FIELDS, max_size=3), st.lists(st.binary(max_size=16), max_size=3))
def test_any_tensors_are_read_or_refused(inputs: list[dict[str, object]], raw: list[bytes]) -> None:
    read(Request(inputs=inputs, raw_input_contents=raw).SerializeToString())


@given(st.binary(min_size=1, max_size=20))
def test_parts_are_counted_in_any_bytes(piece: bytes) -> None:
    with suppress(InvalidRequest):
        check_parts(piece * 2**17)


@pytest.mark.parametrize("part", [b"\x2a\x00", b"\x3a\x00", b"\x22\x04\x0a\x02ab", b"\x08\x01"])
def test_a_message_of_too_many_parts_is_refused_before_it_is_parsed(part: bytes) -> None:
    began = time.perf_counter()
    with pytest.raises(InvalidRequest, match=f"more than {MOST_PARTS} parts"):
        check_parts(part * 2**22)
    # Milliseconds for those that are looked at, on a machine that is busy; all take seconds.
    assert time.perf_counter() - began < 1


def nested(*inside: bytes) -> list[bytes]:
    """Messages with the same parts deeper and deeper: an input's, its contents', an output's."""
    found = []
    for part in inside:
        contents = b"".join([b"\x2a", length(len(part)), part])
        found += [
            b"".join([tag, length(len(each)), each])
            for tag, each in ((b"\x2a", part), (b"\x2a", contents), (b"\x32", part))
        ]
    return found


def length(count: int) -> bytes:
    return bytes([*(count >> shift & 0x7F | 0x80 for shift in (0, 7, 14)), count >> 21])


@pytest.mark.parametrize("part", [b"\x42\x00", b"\x22\x03\x0a\x01k", b"\x18\x01"])
def test_parts_within_parts_are_counted_too(part: bytes) -> None:
    for body in nested(part * 2**20):
        with pytest.raises(InvalidRequest, match=f"more than {MOST_PARTS} parts"):
            check_parts(body)


def test_numbers_are_one_part_however_many_they_are() -> None:
    contents = {"fp32_contents": [1.0] * 2**20}
    body = Request(inputs=[{"name": "x", "contents": contents}]).SerializeToString()
    check_parts(body)


@pytest.mark.parametrize("shape", [[1, 3], [2**40, 3], [1, 2**40], [-1, 3], [3]])
def test_of_more_values_than_the_shape_has_no_more_are_read(shape: list[int]) -> None:
    contents = {"fp32_contents": [1.0] * 10**6}
    tensor = {"name": "x", "datatype": "FP32", "shape": shape, "contents": contents}
    message = Request(inputs=[tensor, {"name": "i", "datatype": "INT8", "shape": [1]}])
    tracemalloc.start()
    try:
        with pytest.raises(InvalidTensor, match=r"inputs\[0\]"):
            read_infer(message, SIGNATURE, None)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    # Of a shape that lies as large as it can, those that came are read: eight bytes for each.
    assert peak < (10**4 if shape != [2**40, 3] else 10**8)


@pytest.mark.parametrize(
    "body",
    [
        b"\xa3\x06\xa4\x06" + b"\x2a\x00" * 2**17,
        b"\xa3\x06" + b"\x2a\x00" * 2**17 + b"\xa4\x06",
        Request(inputs=[{"contents": {"bytes_contents": [b""] * 2**17}}]).SerializeToString(),
        Request(
            inputs=[{"parameters": {f"{i}": {} for i in range(2**14)}}]
        ).SerializeToString(),
        Request(
            outputs=[{"parameters": {f"{i}": {} for i in range(2**14)}}]
        ).SerializeToString(),
    ],
    ids=["behind a group", "in a group", "elements", "parameters of an input", "of an output"],
)  # fmt: skip
def test_parts_inside_of_others_are_counted(body: bytes) -> None:
    with pytest.raises(InvalidRequest, match=f"more than {MOST_PARTS} parts"):
        check_parts(body)


def test_a_large_message_of_few_parts_is_none_of_them() -> None:
    body = Request(raw_input_contents=[bytes(2**20)] * 3, id="x").SerializeToString()
    check_parts(body)
    assert len(Request.FromString(body).raw_input_contents) == 3


@pytest.mark.parametrize("field", ["inputs", "outputs"])
def test_more_tensors_than_the_model_has_are_refused(field: str) -> None:
    inputs = [
        {"name": "x", "datatype": "FP32", "shape": [0, 3]},
        {"name": "i", "datatype": "INT8", "shape": [0]},
    ]
    fields = {"inputs": inputs, field: [{"name": "x" if field == "inputs" else "y"}] * 500}
    message = Request(**fields, raw_input_contents=[])
    with pytest.raises(InvalidRequest, match="is there twice"):
        read_infer(message, SIGNATURE, None)


def test_more_parameters_than_any_client_has_are_refused() -> None:
    parameters = {f"p{i}": {"bool_param": True} for i in range(1001)}
    with pytest.raises(InvalidRequest, match=r"^parameters has more than 1000 members"):
        read_infer(Request(parameters=parameters), SIGNATURE, None)
    inputs = [{"name": "x", "parameters": parameters}]
    with pytest.raises(InvalidRequest, match=r"^inputs\[0\].parameters has more than"):
        read_infer(Request(inputs=inputs), SIGNATURE, None)


def test_a_shape_of_a_million_sizes_is_refused_without_a_copy() -> None:
    tensor = {"name": "x", "datatype": "FP32", "shape": [1] * 10**6}
    message = Request(inputs=[tensor, {"name": "i"}], raw_input_contents=[b"", b""])
    tracemalloc.start()
    try:
        with pytest.raises(InvalidTensor, match=r"inputs\[0\].shape must be a list of 2 sizes"):
            read_infer(message, SIGNATURE, None)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < 10**6, "less than a byte for each"
