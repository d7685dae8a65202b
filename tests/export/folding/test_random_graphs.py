"""Random graphs: the fold changes no output, and whatever folds leaves a valid model.

The arithmetic is float64 throughout, on both sides, so that only what the fold does can differ.
"""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import onnx
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.export.graphs import Array, bn, count, folded, model, norm, relative_error
from tests.export.oracle import evaluate

# Sums of some hundred products, rounded at 1.1e-16, of a scale that a small variance multiplies.
EXACT = 1e-11


@dataclass(frozen=True)
class Case:
    """A model, an input for it, and how many of its batch norms can be folded."""

    proto: onnx.ModelProto
    feeds: Mapping[str, Array]
    foldable: int


def ints(values: list[int]) -> str:
    return "[" + ",".join(map(str, values)) + "]"


@st.composite
def convolutions(draw: st.DrawFn) -> Case:
    """Conv or ConvTranspose of rank 1 to 3, any geometry, then one or two batch norms."""
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    rank, transposed = draw(st.integers(1, 3)), draw(st.booleans())
    groups, inputs, outputs = (draw(st.integers(1, 3)) for _ in range(3))
    each = st.lists(st.integers(1, 3), min_size=rank, max_size=rank)
    kernel, strides, dilations = draw(each), draw(each), draw(each)
    pads = draw(st.lists(st.integers(0, 1), min_size=rank, max_size=rank))
    size = draw(st.integers(7, 8)) if rank < 3 else 7  # 3 taps, 3 apart, span 7
    weight = (groups * inputs, outputs) if transposed else (groups * outputs, inputs)
    arrays: dict[str, Array] = {"w": rng.standard_normal((*weight, *kernel))}
    bias = draw(st.booleans())
    channels = groups * outputs
    if bias:
        arrays["b"] = rng.standard_normal(channels)
    attributes = (
        f"strides={ints(strides)},dilations={ints(dilations)},"
        f"group={groups},pads={ints(pads + pads)}"
    )
    operator = "ConvTranspose" if transposed else "Conv"
    return finished(
        draw,
        f"c = {operator}<{attributes}>(x, w{', b' if bias else ''})",
        arrays,
        channels,
        rng.standard_normal((2, groups * inputs, *[size] * rank)),
    )


@st.composite
def products(draw: st.DrawFn) -> Case:
    """Gemm or MatMul, with and without a bias, then one or two batch norms."""
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    inputs, outputs = draw(st.integers(1, 4)), draw(st.integers(1, 4))
    transposed, bias = draw(st.booleans()), draw(st.booleans())
    shape = draw(st.sampled_from([(), (1,), (outputs,), (1, 1), (1, outputs)]))
    arrays: dict[str, Array] = {"b": rng.standard_normal(shape)}
    if draw(st.booleans()):
        arrays["w"] = rng.standard_normal((outputs, inputs) if transposed else (inputs, outputs))
        factors = (
            f"alpha={draw(st.sampled_from([0.5, -2.0]))},beta={draw(st.sampled_from([0.0, 3.0]))}"
        )
        body = f"c = Gemm<{factors},transB={int(transposed)}>(x, w{', b' if bias else ''})"
    else:
        arrays["w"] = rng.standard_normal((inputs, outputs))
        body = "m = MatMul(x, w) " + ("c = Add(b, m)" if bias else "c = Identity(m)")
    return finished(draw, body, arrays, outputs, rng.standard_normal((3, inputs)))


def finished(draw: st.DrawFn, body: str, arrays: dict[str, Array], channels: int, x: Array) -> Case:
    """Batch norms behind a linear operator, and sometimes what forbids to fold them."""
    seed, twice = draw(st.integers(0, 2**32 - 1)), draw(st.booleans())
    first = norm(channels, seed)
    first["bn_gamma"] *= np.random.default_rng(seed).integers(0, 2, channels)  # some are zero
    nodes, parameters = bn("c", "d"), first
    if twice:
        nodes += " " + bn("d", "e", prefix="two")
        parameters = {**first, **norm(channels, seed + 1, prefix="two")}
    last = "e" if twice else "d"
    tail = draw(st.sampled_from(["Relu({last})", "Identity({last})", "Add({last}, c)"]))
    free = ",".join(str(size) for size in x.shape[1:])
    rank = x.ndim
    proto = model(
        f"{body} {nodes} y = {tail.format(last=last)}",
        {**arrays, **parameters},
        inputs=f"double[n,{free}] x",
        outputs=f"double[{','.join('abcde'[:rank])}] y",
    )
    foldable = 0 if "c)" in tail else 1 + twice
    return Case(proto, {"x": x}, foldable)


def check(case: Case) -> None:
    after, report = folded(case.proto)

    assert report.bn_before - report.bn_after == case.foldable
    assert count(after, "BatchNormalization") == report.bn_after
    assert all(node.reason for node in report.kept)
    assert list(after.graph.input) == list(case.proto.graph.input)
    assert list(after.graph.output) == list(case.proto.graph.output)
    expected = evaluate(case.proto, case.feeds)
    if np.abs(expected).max() > 0:
        assert relative_error(expected, evaluate(after, case.feeds)) <= EXACT


# No deadline: the first example of a process loads PyTorch's kernels.
@settings(deadline=None, max_examples=100)
@given(convolutions())
def test_random_convolutions_compute_the_same_after_the_fold(case: Case) -> None:
    check(case)


@settings(deadline=None, max_examples=100)
@given(products())
def test_random_matrix_products_compute_the_same_after_the_fold(case: Case) -> None:
    check(case)


@settings(deadline=None, max_examples=20)
@given(convolutions().filter(lambda case: case.foldable > 0))
def test_a_bias_that_is_off_by_a_millionth_would_be_noticed(case: Case) -> None:
    after, _ = folded(case.proto)
    (bias,) = (one for one in after.graph.initializer if one.name == "w_bias")
    values = onnx.numpy_helper.to_array(bias) + 1e-6
    bias.CopyFrom(onnx.numpy_helper.from_array(values, bias.name))

    expected = evaluate(case.proto, case.feeds)
    # After a ReLU a bias may show nowhere; before it, it shows everywhere.
    if case.proto.graph.node[-1].op_type != "Relu":
        assert relative_error(expected, evaluate(after, case.feeds)) > EXACT
