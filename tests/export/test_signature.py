"""Signatures, and inputs drawn to fit them."""

import numpy as np
import onnx_ir as ir
import pytest

from export.errors import SourceError
from export.signature import Tensor, draw, signature
from tests.export.graphs import Array, model


def of(inputs: str, arrays: dict[str, Array] | None = None) -> tuple[Tensor, ...]:
    proto = model(
        "y = Identity(x)", arrays or {}, inputs=inputs, outputs="float[n] y", ir_version=8
    )
    return signature(ir.from_proto(proto)).inputs


def rng() -> np.random.Generator:
    return np.random.default_rng(0)


def test_inputs_with_a_default_are_left_out() -> None:
    tensors = of("float[n,3] x, float[2] w", {"w": np.zeros(2, np.float32)})

    assert tensors == (Tensor("x", ir.DataType.FLOAT, ("n", 3)),)


def test_what_is_no_tensor_of_numbers_is_refused() -> None:
    for text in ("string[n] x", "seq(float[n]) x"):
        with pytest.raises(SourceError, match="'x' is no tensor of numbers"):
            of(text)


def test_every_type_is_drawn_in_its_range() -> None:
    tensors = of("float16[n,2] x, uint8[n,50] u, int64[n] i, bool[n,50] b, float s")

    feeds = draw(tensors, 4, rng(), value_range=(0.0, 255.0))

    assert {name: (array.dtype, array.shape) for name, array in feeds.items()} == {
        "x": (np.dtype(np.float16), (4, 2)),
        "u": (np.dtype(np.uint8), (4, 50)),
        "i": (np.dtype(np.int64), (4,)),
        "b": (np.dtype(np.bool_), (4, 50)),
        "s": (np.dtype(np.float32), ()),
    }
    assert feeds["u"].max() > 200
    assert set(feeds["b"].ravel().tolist()) == {True, False}


def test_without_a_range_floats_are_normal_and_integers_small() -> None:
    feeds = draw(of("float[n,500] x, int32[n,50] i"), 1, rng())

    assert abs(float(feeds["x"].mean())) < 0.2
    assert set(feeds["i"].ravel().tolist()) == {0, 1}


def test_a_size_that_nothing_says_is_asked_for() -> None:
    free, unknown = of("float[n,3,h] x"), (Tensor("x", ir.DataType.FLOAT, None),)

    with pytest.raises(SourceError, match="'x' leaves more than the batch free: give --input"):
        draw(free, 1, rng())
    with pytest.raises(SourceError, match="rank of input 'x' is not known: give --input"):
        draw(unknown, 1, rng())
    assert draw(free, 2, rng(), row_shape=(3, 5))["x"].shape == (2, 3, 5)


def test_an_input_too_large_to_draw_is_refused() -> None:
    with pytest.raises(SourceError, match="input 'x' is too large to draw"):
        draw(of("float[n,1000000000000] x"), 1, rng())
