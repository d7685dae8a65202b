"""The float64 evaluation of an ONNX graph, against PyTorch."""

from typing import Any

import numpy as np
import onnx_ir as ir
import pytest
import torch
from onnx import TensorProto, helper
from torch.nn import functional

from export import reference
from tests.export.graphs import Array, bn, model, norm, normal
from tests.export.oracle import evaluate

EXACT = 1e-12  # float64 against float64


def difference(proto: Any, feeds: dict[str, Array]) -> float:
    (output,) = reference.in_float64(ir.from_proto(proto))(feeds)
    assert output.dtype == np.float64
    return float(np.abs(output - evaluate(proto, feeds)).max())


def single(*shape: int, seed: int = 0) -> Array:
    return normal(*shape, seed=seed, dtype=np.float32)


@pytest.mark.parametrize("opset", [7, 9, 12, 14, 17, 21])
def test_batch_norms_of_every_opset_are_in_inference(opset: int) -> None:
    arrays = {"w": single(3, 2, 2), **norm(3, dtype=np.float32)}
    proto = model(
        f"c = Conv(x, w) {bn('c')}",
        arrays,
        inputs="float[n,2,4] x",
        outputs="float[n,3,3] y",
        opset=opset,
    )

    assert difference(proto, {"x": single(3, 2, 4)}) <= EXACT


@pytest.mark.parametrize(("size", "alpha", "beta", "bias"), [(5, 2**-7, 0.75, 1.0), (4, 0.5, 1, 2)])
def test_normalisation_over_neighbouring_channels_of_one_image(
    size: int, alpha: float, beta: float, bias: float
) -> None:
    proto = model(
        f"y = LRN<size={size},alpha={float(alpha)},beta={float(beta)},bias={float(bias)}>(x)",
        {},
        inputs="float[n,6,3,3] x",
        outputs="float[n,6,3,3] y",
    )
    x = single(1, 6, 3, 3)

    (output,) = reference.in_float64(ir.from_proto(proto))({"x": x})

    if size % 2:  # PyTorch's window of an even size leans to the other side
        expected = functional.local_response_norm(
            torch.from_numpy(x).double(), size, alpha, beta, bias
        )
        assert np.abs(output - expected.numpy()).max() <= EXACT
    window = (x.astype(np.float64) ** 2)[:, 1 : 1 + size]  # of channel 2 or, even, also one more
    channel = 1 + (size - 1) // 2
    scale = bias + alpha / size * window.sum(axis=1)
    assert np.abs(output[:, channel] - x[:, channel] / scale**beta).max() <= EXACT


@pytest.mark.parametrize(
    ("attributes", "weight", "size"),
    [
        ("strides=[2]", (4, 3, 3), (5,)),
        ("group=2,strides=[2,3],dilations=[2,1],pads=[1,0,1,0]", (4, 3, 3, 2), (5, 4)),
        ("group=4,output_padding=[1,1],strides=[2,2]", (4, 1, 3, 3), (5, 4)),
        ("pads=[1,1,1,1,1,1]", (4, 2, 3, 3, 3), (3, 3, 3)),
    ],
)
def test_transposed_convolutions_of_every_kind(
    attributes: str, weight: tuple[int, ...], size: tuple[int, ...]
) -> None:
    groups = int(attributes.partition("group=")[2][:1] or 1)
    proto = model(
        f"y = ConvTranspose<{attributes}>(x, w, b)",
        {"w": single(*weight), "b": single(weight[1] * groups)},
        inputs=f"float[n,4,{','.join(map(str, size))}] x",
        outputs=f"float[n,c,{','.join('kml'[: len(size)])}] y",
    )

    assert difference(proto, {"x": single(2, 4, *size)}) <= EXACT


@pytest.mark.parametrize(
    "batch_norm",
    [
        "y, m, v = BatchNormalization<training_mode=1>(x, bn_gamma, bn_beta, bn_mean, bn_var)",
        'y = ConvTranspose<auto_pad="SAME_UPPER">(x, w)',
        "y = ConvTranspose<output_shape=[9]>(x, w)",
    ],
)
def test_what_is_not_handled_says_so(batch_norm: str) -> None:
    proto = model(
        batch_norm,
        {"w": single(3, 3, 2), **norm(3, dtype=np.float32)},
        inputs="float[n,3,8] x",
        outputs="float[n,3,k] y",
    )

    with pytest.raises(NotImplementedError):
        reference.in_float64(ir.from_proto(proto))({"x": single(2, 3, 8)})


def test_casts_and_constants_lose_nothing() -> None:
    """In float16 a third has three digits; the reference has them all."""
    proto = model(
        "h = Cast<to=10>(x) t = Constant<value_float=0.5>() f = Cast<to=1>(h) "
        "k = Constant<value = float[1] {2.0}>() i = Constant<value_ints=[1]>() j = Cast<to=1>(i) "
        "a = Mul(f, t) b = Add(a, k) y = Add(b, j)",
        {},
        inputs="float[n] x",
        outputs="float[n] y",
    )
    x = np.array([1 / 3, 1 / 7], np.float64)

    (y,) = reference.in_float64(ir.from_proto(proto))({"x": x})

    assert np.abs(y - (x / 2 + 3)).max() <= EXACT


def test_other_types_stay() -> None:
    proto = model(
        "i = Cast<to=7>(x) y = Add(i, k)",
        {"k": np.array([1], np.int64)},
        inputs="float[n] x",
        outputs="int64[n] y",
    )

    (y,) = reference.in_float64(ir.from_proto(proto))({"x": np.array([2.7])})

    assert y.dtype == np.int64
    assert y.tolist() == [3]


def test_subgraphs_are_widened_too() -> None:
    third = helper.make_tensor("third", TensorProto.FLOAT, [1], [0.25])
    branches = {
        f"{name}_branch": helper.make_graph(
            [helper.make_node("Mul", ["x", f"{name}_k"], [f"{name}_y"])],
            name,
            [],
            [helper.make_tensor_value_info(f"{name}_y", TensorProto.FLOAT, ["n"])],
            [helper.make_tensor(f"{name}_k", TensorProto.FLOAT, [1], third.float_data)],
        )
        for name in ("then", "else")
    }
    graph = helper.make_graph(
        [helper.make_node("If", ["flag"], ["y"], **branches)],
        "g",
        [
            helper.make_tensor_value_info("x", TensorProto.FLOAT, ["n"]),
            helper.make_tensor_value_info("flag", TensorProto.BOOL, []),
        ],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, ["n"])],
    )
    proto = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)

    feeds = {"x": np.array([1 / 3]), "flag": np.array(True)}
    (y,) = reference.in_float64(ir.from_proto(proto))(feeds)

    assert y.dtype == np.float64
    assert abs(y[0] - 1 / 12) <= EXACT
