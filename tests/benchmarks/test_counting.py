from dataclasses import astuple

import onnx
import pytest

from benchmarks.folding.counting import Counts, count

HEAD = '<ir_version: 8, opset_import: ["" : 18]>'
# (1, 4, 6, 6) images, 4 channels; the widths of constants are what these tests are about.
IMAGE = "float[1, 4, 6, 6]"


def counted(text: str) -> Counts:
    return count(onnx.parser.parse_model(HEAD + text))


@pytest.mark.parametrize("operator", ["Mul", "Add", "Sub", "Div"])
def test_arithmetic_with_one_constant_a_channel_is_an_affine(operator):
    counts = counted(
        f"""agraph ({IMAGE} x) => ({IMAGE} y)
        <float[1, 4, 1, 1] c = {{1, 2, 3, 4}}> {{ y = {operator}(x, c) }}"""
    )
    assert counts.affines == 1
    assert counts.clamps == 0


@pytest.mark.parametrize(
    ("shape", "numbers"), [("float", "{2}"), ("float[1]", "{2}"), ("float[2, 2]", "{1, 2, 3, 4}")]
)
def test_scalars_and_maps_are_no_affines(shape, numbers):
    counts = counted(
        f"""agraph (float[2, 2] x) => (float[2, 2] y)
        <{shape} c = {numbers}> {{ y = Mul(x, c) }}"""
    )
    assert counts.affines == 0


def test_arithmetic_of_two_computed_values_is_no_affine():
    counts = counted(f"agraph ({IMAGE} x, float[1, 4, 1, 1] g) => ({IMAGE} y) {{ y = Mul(x, g) }}")
    assert counts.affines == 0


def test_what_is_computed_from_constants_alone_is_a_constant():
    counts = counted(
        f"""agraph ({IMAGE} x) => ({IMAGE} y)
        <float[4] c = {{1, 2, 3, 4}}, float[4] d = {{1, 2, 3, 4}}>
        {{
            product = Mul(c, d)
            axes = Constant <value = int64[2] {{1, 2}}> ()
            column = Unsqueeze(product, axes)
            y = Add(x, column)
        }}"""
    )
    assert counts.affines == 1  # the Add alone
    assert counts.nodes == 3  # a Constant is no work


def test_the_bias_behind_a_matrix_product_is_no_affine():
    counts = counted(
        """agraph (float[2, 3] x) => (float[2, 4] z)
        <float[3, 4] w = {1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12}, float[4] b = {1, 2, 3, 4}>
        {
            y = MatMul(x, w)
            s = Add(y, b)
            z = Mul(s, b)
        }"""
    )
    assert counts.affines == 1  # the Mul alone


def test_clamps_are_max_and_min_with_one_constant_a_channel():
    counts = counted(
        f"""agraph ({IMAGE} x) => ({IMAGE} y)
        <float[1, 4, 1, 1] c = {{1, 2, 3, 4}}, float zero = {{0}}>
        {{
            a = Max(x, c)
            b = Min(a, c)
            y = Max(b, zero)
        }}"""
    )
    assert counts.clamps == 2


def test_a_depthwise_convolution_of_one_point_counts_and_a_larger_one_does_not():
    counts = counted(
        f"""agraph ({IMAGE} x) => (float[1, 4, 5, 5] y)
        <float[4, 1, 1, 1] point = {{1, 2, 3, 4}}, float[4, 1, 2, 2] square =
         {{1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16}}>
        {{
            a = Conv <group = 4> (x, point)
            y = Conv <group = 4> (a, square)
        }}"""
    )
    assert counts.depthwise == 1


def test_batch_norms_in_the_branch_of_an_if_count():
    counts = counted(
        f"""agraph (bool c, {IMAGE} x) => ({IMAGE} y) <float[4] p = {{1, 2, 3, 4}}>
        {{
            y = If (c) <
                then_branch = one () => ({IMAGE} a) {{ a = BatchNormalization(x, p, p, p, p) }},
                else_branch = other () => ({IMAGE} b) {{ b = Relu(x) }}
            >
        }}"""
    )
    assert astuple(counts) == (1, 0, 0, 0, 3)
