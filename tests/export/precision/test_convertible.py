"""What is narrow already is not made narrower, and parity is not measured on what is narrow."""

import json

import numpy as np
import onnx_ir as ir
import pytest

from export import manifest
from export.errors import UsageError
from export.precision import check_float32
from export.precision.convertible import check_convertible
from export.precision.fp16 import to_fp16
from export.precision.int8 import to_int8
from tests.export.precision.networks import graph, images


def test_a_float32_model_is_taken() -> None:
    check_convertible(graph(), "fp16")


@pytest.mark.parametrize("kind", ["fp16", "int8"])
def test_a_quantized_model_is_refused_by_its_first_node_that_is(kind: str) -> None:
    narrow = to_int8(graph(), [{"x": images(4)}])

    with pytest.raises(UsageError, match=f"--precision {kind}: the model is quantized already"):
        check_convertible(narrow, kind)


@pytest.mark.parametrize("kind", ["fp16", "int8"])
def test_a_model_in_16_bits_is_refused(kind: str) -> None:
    with pytest.raises(UsageError, match="the model computes in float16 already"):
        check_convertible(to_fp16(graph()), kind)


def test_a_model_that_is_narrow_between_its_casts_is_refused() -> None:
    network = graph(
        "h = Cast<to = 10>(x) r = Relu(h) y = Cast<to = 1>(r)", {}, outputs="float[batch,3,8,8] y"
    )

    with pytest.raises(UsageError, match="the model computes in float16 already"):
        check_convertible(network, "int8")


@pytest.mark.parametrize("dtype", ["double", "int64"])
def test_a_model_that_was_never_float32_is_refused(dtype: str) -> None:
    shape = "[batch,4]"
    network = graph("y = Abs(x)", {}, inputs=f"{dtype}{shape} x", outputs=f"{dtype}{shape} y")

    with pytest.raises(UsageError, match="the model does not compute in float32"):
        check_convertible(network, "fp16")


def described(precision: object) -> bytes:
    network = graph("y = Relu(x)", {}, outputs="float[batch,3,8,8] y")
    moves = {"mode": "safe", "target": "cpu", "decision": "as asked"}
    counts = dict.fromkeys(("bn_before", "bn_after", "affines_before", "affines_after"), 0)
    fold = {**moves, **counts, "nodes": []}
    text = {"format_version": 2, "fold": fold, "parity": {}, "labels": None, "precision": precision}
    network.metadata_props[manifest.KEY] = json.dumps(text)
    data: bytes = ir.to_proto(network).SerializeToString()
    return data


def test_parity_is_not_measured_on_an_artifact_that_says_it_is_narrow() -> None:
    with pytest.raises(UsageError, match="computes in int8: its parity is that of the float32"):
        check_float32(described({"kind": "int8"}))


def test_parity_is_measured_on_everything_else() -> None:
    check_float32(described(None))
    check_float32(ir.to_proto(graph()).SerializeToString())
    check_float32(b"no model at all")


def test_constants_count_as_well() -> None:
    half = np.ones(1, np.float16)
    network = graph(
        "c = Cast<to = 1>(k) y = Mul(x, c)", {"k": half}, outputs="float[batch,3,8,8] y"
    )

    with pytest.raises(UsageError, match="float16"):
        check_convertible(network, "fp16")
