"""Models that other people's clients are tried on, with answers that numpy computes alone.

Between them they have every datatype, several inputs and outputs, fixed and open batches,
nothing at all, texts and encoded images.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import TensorProto, helper

from tests.clients.documents import Document, tensor
from tests.service import zoo
from tests.service.pictures import grey

Arrays = Mapping[str, NDArray[Any]]

DATATYPES = {
    "BOOL": TensorProto.BOOL,
    "UINT8": TensorProto.UINT8,
    "UINT16": TensorProto.UINT16,
    "UINT32": TensorProto.UINT32,
    "UINT64": TensorProto.UINT64,
    "INT8": TensorProto.INT8,
    "INT16": TensorProto.INT16,
    "INT32": TensorProto.INT32,
    "INT64": TensorProto.INT64,
    "FP16": TensorProto.FLOAT16,
    "FP32": TensorProto.FLOAT,
    "FP64": TensorProto.DOUBLE,
    "BYTES": TensorProto.STRING,
}

# Values at the ends of each datatype: a byte too few, a sign or a float on the way shows.
_VALUES: dict[str, tuple[Any, ...]] = {
    "BOOL": (True, False, True),
    "UINT8": (0, 1, 255),
    "UINT16": (0, 1, 65535),
    "UINT32": (0, 1, 2**32 - 1),
    "UINT64": (0, 1, 2**64 - 1),
    "INT8": (-128, 0, 127),
    "INT16": (-(2**15), 0, 2**15 - 1),
    "INT32": (-(2**31), 0, 2**31 - 1),
    "INT64": (-(2**63), 0, 2**63 - 1),
    "FP16": (-65504.0, 0.1, 6e-8),
    "FP32": (-3.4e38, 0.1, 1e-45),
    "FP64": (-1.7e308, 0.1, 5e-324),
    "BYTES": (b"", "Größe 日本".encode(), b"a\x00b"),
}


@dataclass(frozen=True)
class Case:
    """One request to one model, and its answer.

    Args:
        model: its name in the repository.
        graph: what is served.
        inputs: what is sent; texts and images are arrays of bytes.
        outputs: what must come back, exactly.
        name: of the case, where a model has several.
        as_json: whether JSON can carry the inputs.
    """

    model: str
    graph: onnx.ModelProto
    inputs: Arrays
    outputs: Arrays
    name: str = ""
    as_json: bool = True

    @property
    def id(self) -> str:
        return self.name or self.model


def cases() -> list[Case]:
    """Every case, each with a name of its own."""
    return [*_datatypes(), *_shapes(), *_images()]


def build(root: Path) -> Path:
    """Write the repository of all models and return its folder."""
    for name, graph in {case.model: case.graph for case in cases()}.items():
        zoo.put(root, name, 1, graph)
    zoo.put(root, "versions", 2, zoo.doubler())
    return root


def signature(info: onnx.ValueInfoProto) -> tuple[str, list[int]]:
    """The datatype and shape of an input or output, in the protocol's words."""
    found = info.type.tensor_type
    (datatype,) = [name for name, kind in DATATYPES.items() if kind == found.elem_type]
    return datatype, [dim.dim_value or -1 for dim in found.shape.dim]


def document(case: Case) -> Document:
    """A case for a process that has no onnx."""
    return {
        "id": case.id,
        "model": case.model,
        "as_json": case.as_json,
        "inputs": {name: tensor(array) for name, array in case.inputs.items()},
        "outputs": list(case.outputs),
    }


def _texts(values: Sequence[bytes], *shape: int) -> NDArray[Any]:
    return np.array(values, dtype=np.object_).reshape(shape)


def _datatypes() -> list[Case]:
    """An identity of each datatype, whose values come back to the bit."""
    found = []
    for name, kind in DATATYPES.items():
        dtype = helper.tensor_dtype_to_np_dtype(kind)
        values = np.array([_VALUES[name], _VALUES[name][::-1]], dtype=dtype)
        graph = zoo.identity(kind)
        found.append(Case(f"identity_{name.lower()}", graph, {"x": values}, {"y": values}))
    return found


def _shapes() -> list[Case]:
    x = np.array([[0.5, -1.5, 3.0]], np.float32)
    two = np.array([[1, 2], [3, 4]], np.float32)
    long = np.arange(2 * 4096, dtype=np.float32).reshape(2, 4096)
    cube = np.arange(24, dtype=np.float32).reshape(2, 3, 4)
    return [
        Case(
            "two_in_two_out",
            zoo.two_in_two_out(),
            {"a": two, "b": two[::-1].copy()},
            {"sum": two + two[::-1], "difference": two - two[::-1]},
        ),
        Case("open_batch", zoo.doubler(), {"x": x.repeat(5, 0)}, {"y": 2 * x.repeat(5, 0)}),
        Case(
            "open_batch",
            zoo.doubler(),
            {"x": x[:0]},
            {"y": x[:0]},
            name="no_rows",
        ),
        # Enough for the service to pack the answer, where a client asks for that.
        Case("long_rows", zoo.doubler(shape=("batch", 4096)), {"x": long}, {"y": 2 * long}),
        Case("fixed_batch", zoo.doubler(shape=(2, 3, 4)), {"x": cube}, {"y": 2 * cube}),
        Case("open_everywhere", zoo.doubler(shape=(None, "n", None)), {"x": cube}, {"y": 2 * cube}),
        Case(
            "mean",
            zoo.mean_of_everything(),
            {"x": np.array([[1, 2, 3], [4, 5, 9]], np.float32)},
            {"y": np.array(4, np.float32)},
        ),
        Case(
            "half",
            zoo.doubler(TensorProto.FLOAT16),
            {"x": np.array([[0.1, -2, 1e4]], np.float16)},
            {"y": np.array([[0.1, -2, 1e4]], np.float16) * np.float16(2)},
        ),
        Case("slow", _slow(), {"x": x[0, :1]}, {"y": x[0, :1] + _TIMES}),
        Case(
            "pixels", _pixels(), {"x": _PIXELS}, {"y": _PIXELS.astype(np.float32).sum(axis=(1, 2))}
        ),
        # Of version 2, which answers when none is named; version 1 gives x back.
        Case("versions", zoo.identity(TensorProto.FLOAT), {"x": x}, {"y": 2 * x}),
        Case(
            "logarithm",
            zoo.logarithm(),
            {"x": np.array([[0, -1, 1]], np.float32)},
            {"y": np.array([[-np.inf, np.nan, 0]], np.float32)},
            as_json=False,
        ),
    ]


# Additions one after the other, for a tenth of a second or more; float32 counts them exactly.
_TIMES = 2**16


def _slow() -> onnx.ModelProto:
    """Adds one, many times."""
    body = helper.make_graph(
        [
            helper.make_node("Add", ["carried", "one"], ["next"]),
            helper.make_node("Identity", ["go_on"], ["again"]),
        ],
        "body",
        [
            zoo.info("i", (), TensorProto.INT64),
            zoo.info("go_on", (), TensorProto.BOOL),
            zoo.info("carried", (1,)),
        ],
        [zoo.info("again", (), TensorProto.BOOL), zoo.info("next", (1,))],
    )
    return zoo.graph_model(
        [helper.make_node("Loop", ["times", "always", "x"], ["y"], body=body)],
        [zoo.info("x", (1,))],
        [zoo.info("y", (1,))],
        [
            zoo.constant("times", _TIMES, np.int64),
            zoo.constant("always", True, np.bool_),
            zoo.constant("one", [1]),
        ],
    )


_PIXELS = np.arange(2 * 4 * 4, dtype=np.uint8).reshape(2, 4, 4) * 8


def _pixels() -> onnx.ModelProto:
    """The sum of the bytes of each picture."""
    return zoo.graph_model(
        [
            helper.make_node("Cast", ["x"], ["wide"], to=zoo.FLOAT),
            helper.make_node("ReduceSum", ["wide", "axes"], ["y"], keepdims=0),
        ],
        [zoo.info("x", ("batch", 4, 4), TensorProto.UINT8)],
        [zoo.info("y", ("batch",))],
        [zoo.constant("axes", [1, 2], np.int64)],
    )


def _images() -> list[Case]:
    """The brightness classifier, on tensors and on encoded images of one level each."""
    graph = zoo.brightness_classifier()
    levels = np.array([0, 100, 255], np.float32)
    logits = np.stack([100 - levels, np.full(3, 50, np.float32), levels - 100], axis=1) / 10
    tensor = levels[:, None, None, None].repeat(4, 2).repeat(4, 3)
    files = [grey(0), grey(100, (7, 5), "JPEG"), grey(255, kind="WEBP")]
    return [
        Case("brightness", graph, {"input": tensor}, {"logits": logits}),
        Case(
            "brightness",
            graph,
            {"input": _texts(files, 3)},
            {"logits": logits},
            name="encoded_images",
            as_json=False,
        ),
        Case(
            "brightness",
            graph,
            {"input": _texts(files[:1], 1, 1)},
            {"logits": logits[:1]},
            name="one_encoded_image",
            as_json=False,
        ),
    ]
