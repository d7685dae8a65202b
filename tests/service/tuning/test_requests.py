"""The requests of the load: the server's own reader takes them."""

import io

import numpy as np
import pytest
from PIL import Image

from service.artifact.signature import Array, Signature, TensorSpec
from service.errors import StartError
from service.tuning.requests import COUNT, Format, make_requests, parse_shapes
from service.tuning.subject import Version
from service.wire.inference_request import read_header_length, read_request

NOISE = TensorSpec("x", "FP32", (None, 3))
NAME = "net"


def version(*inputs: TensorSpec, **more: object) -> Version:
    return Version("4", "fp32", inputs or (NOISE,), **more)  # type: ignore[arg-type]  # of any kind


def read(request: bytes, *inputs: TensorSpec) -> dict[str, Array]:
    """Return the inputs as the server reads them."""
    head, _, body = request.partition(b"\r\n\r\n")
    fields = dict(line.split(b": ") for line in head.split(b"\r\n")[1:])
    assert int(fields[b"Content-Length"]) == len(body)
    length = read_header_length(fields.get(b"Inference-Header-Content-Length"), len(body))
    # The server knows an open size by its name; a batch leads inputs and outputs.
    specs = tuple(
        TensorSpec(spec.name, spec.datatype, tuple(size or "open" for size in spec.shape))
        for spec in inputs
    )
    signature = Signature(specs, (TensorSpec("y", "FP32", ("open",)),))
    return dict(read_request(body, signature, header_length=length).inputs)


@pytest.mark.parametrize("form", ["binary", "json"])
@pytest.mark.parametrize(
    "datatype", ["FP16", "FP32", "FP64", "INT8", "INT64", "UINT8", "UINT64", "BOOL", "BYTES"]
)
def test_tensors_of_every_type_are_taken_as_they_are_sent(form: Format, datatype: str) -> None:
    spec = TensorSpec("x", datatype, (None, 2, 2))
    requests = make_requests(NAME, version(spec), form, {})
    assert len(requests) == COUNT
    assert all(
        each.startswith(b"POST /v2/models/net/versions/4/infer HTTP/1.1\r\n") for each in requests
    )
    arrays = [read(each, spec)["x"] for each in requests]
    assert all(array.shape == (1, 2, 2) and array.dtype == spec.dtype for array in arrays)
    assert len({array.tolist().__repr__() for array in arrays}) > 1


def test_both_forms_of_a_request_say_the_same() -> None:
    other = TensorSpec("other", "INT32", (1, 4))
    of_both = version(NOISE, other)
    for one, two in zip(
        make_requests(NAME, of_both, "binary", {}),
        make_requests(NAME, of_both, "json", {}),
        strict=True,
    ):
        first, second = read(one, NOISE, other), read(two, NOISE, other)
        assert first.keys() == {"x", "other"}
        np.testing.assert_array_equal(first["x"], second["x"])
        np.testing.assert_array_equal(first["other"], second["other"])


def test_values_are_of_the_range_that_the_manifest_states() -> None:
    stated = version(NOISE, value_range=(100.0, 200.0))
    for request in make_requests(NAME, stated, "binary", {}):
        values = read(request, NOISE)["x"]
        assert ((values >= 100) & (values <= 200)).all()  # type: ignore[operator]  # of any kind


def test_whole_numbers_are_bytes_of_a_picture_and_else_0_or_1() -> None:
    pixels = TensorSpec("x", "UINT8", (None, None, None, 3))
    picture = version(pixels, image_shape=(8, 8, 3))
    found = [read(each, pixels)["x"] for each in make_requests(NAME, picture, "binary", {})]
    assert found[0].shape == (1, 8, 8, 3)
    assert max(array.max() for array in found) > 200
    index = TensorSpec("x", "INT64", (None, 50))
    values = read(make_requests(NAME, version(index), "binary", {})[0], index)["x"]
    assert set(values.ravel().tolist()) == {0, 1}


def test_an_open_size_has_to_be_stated() -> None:
    spec = TensorSpec("x", "FP32", (None, 3, None, None))
    with pytest.raises(StartError, match=r"^input x has open sizes; say --shape x=1x3x\?x\?$"):
        make_requests(NAME, version(spec), "binary", {})
    shapes = parse_shapes(["x=2x3x8x9"])
    (first, *_) = make_requests(NAME, version(spec), "binary", shapes)
    assert read(first, spec)["x"].shape == (2, 3, 8, 9)


@pytest.mark.parametrize("text", ["", "x", "x=", "=1x3", "x=1x", "x=1x0", "x=1x-3", "x=axb"])
def test_what_is_no_shape_is_named(text: str) -> None:
    with pytest.raises(StartError, match=r"is no shape; write NAME=1x3x224x224$"):
        parse_shapes([text])


def test_a_name_may_hold_an_equals_sign() -> None:
    assert parse_shapes(["a=b=1x2"]) == {"a=b": (1, 2)}


def test_pictures_are_jpegs_of_a_cameras_kind() -> None:
    requests = make_requests(NAME, version(NOISE, image_shape=(3, 8, 8)), "jpeg", {})
    assert len(set(requests)) == COUNT
    head, _, body = requests[0].partition(b"\r\n\r\n")
    assert head.startswith(b"POST /models/net/versions/4/predict HTTP/1.1\r\n")
    with Image.open(io.BytesIO(body)) as picture:
        assert (picture.format, picture.size, picture.mode) == ("JPEG", (640, 480), "RGB")


def test_a_picture_of_the_operators_is_sent_as_it_is() -> None:
    stated = version(NOISE, image_shape=(3, 8, 8))
    (request,) = make_requests(NAME, stated, "jpeg", {}, b"picture")
    assert request.endswith(b"\r\n\r\npicture")


def test_a_model_that_takes_no_images_is_named() -> None:
    with pytest.raises(StartError, match="model net version 4 takes no images"):
        make_requests(NAME, version(NOISE), "jpeg", {})
