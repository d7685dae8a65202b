"""Small models made with onnx.helper, and repositories of them."""

import itertools
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

FLOAT = TensorProto.FLOAT
OPSET = helper.make_opsetid("", 17)


def graph_model(
    nodes: Sequence[onnx.NodeProto],
    inputs: Sequence[onnx.ValueInfoProto],
    outputs: Sequence[onnx.ValueInfoProto],
    constants: Sequence[onnx.TensorProto] = (),
    metadata: dict[str, str] | None = None,
) -> onnx.ModelProto:
    graph = helper.make_graph(list(nodes), "graph", list(inputs), list(outputs), list(constants))
    model = helper.make_model(graph, opset_imports=[OPSET], ir_version=9)
    helper.set_model_props(model, metadata or {})
    return model


def info(name: str, shape: Sequence[int | str | None], kind: int = FLOAT) -> onnx.ValueInfoProto:
    return helper.make_tensor_value_info(name, kind, shape)


def constant(name: str, array: Any, dtype: Any = np.float32) -> onnx.TensorProto:
    return numpy_helper.from_array(np.asarray(array, dtype), name)


def doubler(
    kind: int = FLOAT, shape: Sequence[int | str | None] = ("batch", 3), **names: Any
) -> onnx.ModelProto:
    """y = x + x, of any numeric type and any shape."""
    return graph_model(
        [helper.make_node("Add", ["x", "x"], ["y"])],
        [info("x", shape, kind)],
        [info("y", shape, kind)],
        **names,
    )


def identity(kind: int, shape: Sequence[int | str | None] = ("batch", 3)) -> onnx.ModelProto:
    return graph_model(
        [helper.make_node("Identity", ["x"], ["y"])],
        [info("x", shape, kind)],
        [info("y", shape, kind)],
    )


def two_in_two_out() -> onnx.ModelProto:
    """sum = a + b, difference = a - b."""
    shape = ("batch", 2)
    return graph_model(
        [
            helper.make_node("Add", ["a", "b"], ["sum"]),
            helper.make_node("Sub", ["a", "b"], ["difference"]),
        ],
        [info("a", shape), info("b", shape)],
        [info("sum", shape), info("difference", shape)],
    )


def brightness_classifier(
    height: int = 4,
    width: int = 4,
    color: str = "L",
    labels: Sequence[str] | None = ("dark", "grey", "bright"),
    **manifest: Any,
) -> onnx.ModelProto:
    """Three logits from the mean m of the pixels: (100 - m, 50, m - 100), all divided by 10.

    So 0 is "dark", 255 is "bright" and 100 is "grey".
    """
    channels = {"L": 1, "RGB": 3}[color]
    slope, offset = [[-0.1], [0.0], [0.1]], [10.0, 5.0, -10.0]
    weights = np.repeat(
        np.asarray(slope) / (channels * height * width), channels * height * width, 1
    )
    document = manifest_document(height, width, color, labels) | manifest
    return graph_model(
        [
            helper.make_node("Flatten", ["input"], ["flat"]),
            helper.make_node("Gemm", ["flat", "weight", "bias"], ["logits"], transB=1),
        ],
        [info("input", ("batch", channels, height, width))],
        [info("logits", ("batch", 3))],
        [constant("weight", weights), constant("bias", offset)],
        {"foldserve.manifest": json.dumps(document)},
    )


def manifest_document(
    height: int = 4,
    width: int = 4,
    color: str = "L",
    labels: Sequence[str] | None = ("dark", "grey", "bright"),
) -> dict[str, Any]:
    return {
        "format_version": 2,
        "name": "brightness",
        "version": 1,
        "task": "image-classification",
        "labels": None if labels is None else list(labels),
        "input": {
            "name": "input",
            "kind": "image",
            "layout": "NCHW",
            "color": color,
            "channels": {"L": 1, "RGB": 3}[color],
            "height": height,
            "width": width,
            "value_range": [0, 255],
            "resize_filter": "bilinear",
            "crop_fraction": None,
        },
        "output": {"name": "logits", "kind": "logits"},
        "source": {
            "kind": "checkpoint",
            "reference": "checkpoint.safetensors",
            "sha256": "ab" * 32,
        },
        "fold": {
            "mode": "fast",
            "target": "cpu",
            "decision": "There was nothing to choose.",
            "bn_before": 1,
            "bn_after": 0,
            "affines_before": 0,
            "affines_after": 0,
            "nodes": [
                {
                    "name": "bn",
                    "kind": "batch_norm",
                    "outcome": "folded_backward",
                    "into": ["conv"],
                    "through": ["relu"],
                    "reason": None,
                    "blocked_by": [],
                }
            ],
        },
        "precision": None,
        "parity": {
            "reference": "float64 PyTorch",
            "samples": 64,
            "seed": 0,
            "max_abs_error": 1e-6,
            "max_rel_error": 1e-7,
            "unfolded_max_rel_error": 1e-7,
            "error_ratio": 0.93,
            "top1_agreement": 1.0,
            "tolerance": 1e-5,
        },
        "metrics": {"accuracy": 0.9944, "samples": 360, "split": "test"},
        "created_by": {"foldserve": "0.1.0", "onnx": "1.23.2", "onnxruntime": "1.32.0"},
    }


def manifest_document_v1() -> dict[str, Any]:
    """The same artifact as the format before stated it."""
    document = manifest_document() | {"format_version": 1}
    del document["precision"], document["parity"]["error_ratio"]
    node = {"name": "bn", "outcome": "folded_backward", "into": "conv", "reason": None}
    return document | {"fold": {"bn_before": 1, "bn_after": 0, "nodes": [node]}}


def put(root: Path, name: str, version: int | str, model: onnx.ModelProto) -> Path:
    """Write a model into a repository and return the file."""
    path = root / name / str(version) / "model.onnx"
    path.parent.mkdir(parents=True)
    onnx.save(model, path)
    return path


def spread(count: int) -> onnx.ModelProto:
    """One number a row in, ``count`` times the same out."""
    return graph_model(
        [helper.make_node("MatMul", ["x", "ones"], ["y"])],
        [info("x", ("batch", 1))],
        [info("y", ("batch", count))],
        [constant("ones", np.ones((1, count)))],
    )


def mean_of_everything() -> onnx.ModelProto:
    """One number from all rows: its output carries no batch dimension."""
    return graph_model(
        [helper.make_node("ReduceMean", ["x"], ["y"], keepdims=0)],
        [info("x", ("batch", 3))],
        [info("y", ())],
    )


def logarithm() -> onnx.ModelProto:
    """y = log x: minus infinity for zero, NaN below."""
    return graph_model(
        [helper.make_node("Log", ["x"], ["y"])],
        [info("x", ("batch", 3))],
        [info("y", ("batch", 3))],
    )


def halves() -> onnx.ModelProto:
    """Reshapes n numbers to (2, n / 2); fails when n is odd."""
    return graph_model(
        [helper.make_node("Reshape", ["x", "shape"], ["y"])],
        [info("x", ("n",))],
        [info("y", (2, "half"))],
        [constant("shape", [2, -1], np.int64)],
    )


def _repeated(operator: str, shape: Sequence[int | str]) -> onnx.GraphProto:
    """Return a loop's body: ``operator`` of what is carried and itself."""
    return helper.make_graph(
        [
            helper.make_node(operator, ["carried", "carried"], ["next"]),
            helper.make_node("Identity", ["go_on"], ["again"]),
        ],
        "body",
        [
            info("i", (), TensorProto.INT64),
            info("go_on", (), TensorProto.BOOL),
            info("carried", shape),
        ],
        [info("again", (), TensorProto.BOOL), info("next", shape)],
    )


def counter() -> onnx.ModelProto:
    """y = x, after as many turns of a loop as the largest x of the batch says: 1e18 never ends."""
    turns = [
        helper.make_node("ReduceMax", ["x"], ["most"], keepdims=0),
        helper.make_node("Cast", ["most"], ["times"], to=TensorProto.INT64),
        helper.make_node("Loop", ["times", "always", "x"], ["y"], body=_repeated("Max", ("n", 1))),
    ]
    return graph_model(
        turns,
        [info("x", ("batch", 1))],
        [info("y", ("batch", 1))],
        [constant("always", True, np.bool_)],
    )


def expander(width: int = 2**20) -> onnx.ModelProto:
    """y = as many copies of each x as make a row of four megabytes."""
    return graph_model(
        [helper.make_node("MatMul", ["x", "ones"], ["y"])],
        [info("x", ("batch", 1))],
        [info("y", ("batch", width))],
        [constant("ones", np.ones((1, width)))],
    )


def picker() -> onnx.ModelProto:
    """y = the table's number at x, which fails for an x that is not between 0 and 3."""
    return graph_model(
        [helper.make_node("Gather", ["table", "x"], ["y"])],
        [info("x", ("batch", 1), TensorProto.INT64)],
        [info("y", ("batch", 1))],
        [constant("table", [0, 10, 20, 30])],
    )


def endless() -> onnx.ModelProto:
    """Adds x to itself 2**62 times."""
    body = _repeated("Add", (1,))
    return graph_model(
        [helper.make_node("Loop", ["times", "always", "x"], ["y"], body=body)],
        [info("x", (1,))],
        [info("y", (1,))],
        [constant("times", 2**62, np.int64), constant("always", True, np.bool_)],
    )


def mill(width: int = 1024, turns: int = 150) -> onnx.ModelProto:
    """y = x, by as many products with the identity as make a run last some 20 milliseconds.

    A run of several rows lasts little longer than one of a single row, as with most networks.
    """
    names = ["x", *(f"x{i}" for i in range(1, turns)), "y"]
    return graph_model(
        [
            helper.make_node("MatMul", [before, "identity"], [after])
            for before, after in itertools.pairwise(names)
        ],
        [info("x", ("batch", width))],
        [info("y", ("batch", width))],
        [constant("identity", np.eye(width))],
    )
