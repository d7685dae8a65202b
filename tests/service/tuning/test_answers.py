"""What a server answered, and whether two answers say the same."""

import numpy as np
import orjson
import pytest

from service.tuning.answers import agree, read_answer
from service.tuning.candidates import NotMeasured

FLOATS = np.array([1.5, -2.0, 4.0], np.float32)


def answer(document: object, data: bytes = b"", status: str = "200 OK") -> bytes:
    head = orjson.dumps(document)
    lines = [f"HTTP/1.1 {status}", f"content-length: {len(head + data)}"]
    if data:
        lines.append(f"inference-header-content-length: {len(head)}")
    return "\r\n".join([*lines, "", ""]).encode() + head + data


def output(name: str, datatype: str, **more: object) -> dict[str, object]:
    return {"name": name, "datatype": datatype, "shape": [3], **more}


def test_tensors_in_json_and_in_binary_are_the_same() -> None:
    numbers = {"name": "n", "datatype": "INT64", "shape": [2]}
    in_json = {"outputs": [output("y", "FP32", data=FLOATS.tolist()), numbers | {"data": [1, 2]}]}
    sizes = [{"binary_data_size": 12}, {"binary_data_size": 16}]
    in_binary = {
        "outputs": [
            output("y", "FP32", parameters=sizes[0]),
            numbers | {"parameters": sizes[1]},
        ]
    }
    data = FLOATS.tobytes() + np.array([1, 2], np.int64).tobytes()
    one, two = read_answer(answer(in_json)), read_answer(answer(in_binary, data))
    assert one.keys() == two.keys() == {"y", "n"}
    np.testing.assert_array_equal(one["y"], FLOATS)
    assert agree(one, two, "fp32")


def test_strings_are_compared_by_their_bytes() -> None:
    def read(text: bytes) -> dict[str, object]:
        document = {"outputs": [output("y", "BYTES", parameters={"binary_data_size": len(text)})]}
        return dict(read_answer(answer(document, text)))

    assert agree(read(b"\1\0\0\0a"), read(b"\1\0\0\0a"), "-")  # type: ignore[arg-type]  # read alike
    assert not agree(read(b"\1\0\0\0a"), read(b"\1\0\0\0b"), "-")  # type: ignore[arg-type]  # read alike


def test_of_an_image_the_probabilities_are_the_answer() -> None:
    document = {"predictions": [{"label": "7", "index": 7, "probability": 0.9}]}
    assert read_answer(answer(document))["probabilities"].tolist() == [0.9]


@pytest.mark.parametrize(
    ("body", "message"),
    [
        ({"error": "the queue is full"}, "an answer had status 429: the queue is full"),
        ({"detail": "no image"}, "an answer had status 429: no image"),
        ({}, "an answer had status 429: no reason"),
    ],
)
def test_an_error_is_told_in_its_own_words(body: object, message: str) -> None:
    with pytest.raises(NotMeasured, match=f"^{message}$"):
        read_answer(answer(body, status="429 Too Many Requests"))
    with pytest.raises(NotMeasured, match="status 502: no JSON"):
        read_answer(b"HTTP/1.1 502 Bad Gateway\r\n\r\n<html>")


@pytest.mark.parametrize(
    ("precision", "off", "expected"),
    [("fp32", 0.03, True), ("fp32", 0.05, False), ("int8", 0.19, True), ("int8", 0.21, False)],
)
def test_rounding_is_allowed_for_in_parts_of_the_largest_value(
    precision: str, off: float, expected: bool
) -> None:
    # 1 % of 4 is 0.04; in int8 5 % are 0.2.
    assert agree({"y": FLOATS + np.float32(off)}, {"y": FLOATS}, precision) == expected


def test_what_is_not_a_number_has_to_be_none_in_both() -> None:
    broken = FLOATS.copy()
    broken[0] = np.nan
    assert agree({"y": broken}, {"y": broken}, "fp32")
    assert not agree({"y": broken}, {"y": FLOATS}, "fp32")
    assert not agree({"y": FLOATS}, {"y": broken}, "fp32")


def test_other_outputs_shapes_and_whole_numbers_do_not_agree() -> None:
    assert not agree({"y": FLOATS}, {"z": FLOATS}, "fp32")
    assert not agree({"y": FLOATS}, {"y": FLOATS[:2]}, "fp32")
    assert not agree({"y": np.array([1000])}, {"y": np.array([1001])}, "fp32")
