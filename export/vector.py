"""The parity vector: an input from a seed, and what the artifact makes of it here.

A service runs it when it loads the model, and serves none that computes something else there.
`service/artifact/vector.py` reads it, and says how the numbers follow from the seed (SplitMix64);
that they are written down twice shows a mistake of either.
"""

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
import onnx_ir as ir
from numpy.typing import NDArray

from export import runtime
from export.errors import ArtifactError
from export.signature import Signature, Tensor, signature, sizes
from export.sources.original import Feeds, Original
from export.verify import Parity

MOST_VALUES = 256  # of an output: some kilobytes, and a wrong weight shows in most of them
# Of floats of which nobody says the range: most networks take numbers of mean 0 and deviation 1.
FLOATS = (-2.0, 2.0)
WHOLE = (0.0, 1.0)  # may be indices, of which these are there

# How far off the outputs may be elsewhere, of the largest, by the numbers that a graph computes
# with. On CPUs AVX2 and AVX-512, blocked and plain layouts and numbers of threads differ in the
# order of sums: 1e-6 was seen of float32, more of ill-conditioned networks. Of int8 a value in
# the middle of two steps goes either way. CUDA multiplies float32 in TF32, with the 10 bits of
# mantissa that fp16 has as well. What is wrong is off by as much as the outputs are large.
ON_CPU = {"float32": 1e-3, "fp16": 1e-2, "int8": 5e-2}
ON_CUDA = {"float32": 2e-2, "fp16": 5e-2, "int8": 1e-1}
# Two of the many ways to compute a graph are at hand: as many times their distance is allowed.
MARGIN = 10.0
QUANTIZED = frozenset(
    {"QuantizeLinear", "DynamicQuantizeLinear", "QLinearConv", "ConvInteger", "MatMulInteger"}
)
NARROW = frozenset({ir.DataType.FLOAT16, ir.DataType.BFLOAT16})

Array = NDArray[Any]


def compose(model: ir.Model, original: Original, measured: Parity) -> dict[str, Any]:
    """Run an artifact's model on an input made from a seed, and say what came of it.

    Args:
        model: As it will be served.
        original: What it was made from.
        measured: How far off float64 it is.

    Returns:
        The field `vector` of the manifest.

    Raises:
        ArtifactError: It does not run.
    """
    graph, seed = signature(model), measured.seed
    stated = [_input(tensor, graph, original) for tensor in graph.inputs]
    feeds = _made(seed, stated, graph)
    data = ir.to_proto(model).SerializeToString(deterministic=True)
    outputs, plainly = (
        runtime.load(data, optimized=optimized, error=ArtifactError)(feeds)
        for optimized in (True, False)
    )
    apart = max(map(_apart, outputs, plainly), default=0.0)
    least = MARGIN * max(apart, measured.max_rel_error)
    numbers = _numbers(model)
    return {
        "seed": seed,
        "inputs": stated,
        "outputs": [
            _output(tensor.name, array, seed + 1 + index)
            for index, (tensor, array) in enumerate(zip(graph.outputs, outputs, strict=True))
        ],
        "tolerance": {
            "cpu": _rounded(max(ON_CPU[numbers], least)),
            "cuda": _rounded(max(ON_CUDA[numbers], least)),
        },
    }


def units(seed: int, start: int, count: int) -> NDArray[np.float64]:
    """Numbers of SplitMix64 from 0 to below 1, from the one at `start` on."""
    z = np.arange(start + 1, start + count + 1, dtype=np.uint64)
    z = z * np.uint64(0x9E3779B97F4A7C15) + np.uint64(seed)
    z = (z ^ (z >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    z = (z ^ (z >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    bits = (z ^ (z >> np.uint64(31))) >> np.uint64(40)
    return bits.astype(np.float64) * 2.0**-24


def _input(tensor: Tensor, graph: Signature, original: Original) -> dict[str, Any]:
    alone = len(graph.inputs) == 1
    shape = sizes(tensor, 1, original.input.shape if alone else None)
    given = original.input.value_range if alone else None
    low, high = given or (WHOLE if _is_whole(tensor.dtype.numpy()) else FLOATS)
    return {"name": tensor.name, "shape": list(shape), "low": float(low), "high": float(high)}


def _made(seed: int, stated: Sequence[dict[str, Any]], graph: Signature) -> Feeds:
    feeds, start = {}, 0
    for one, tensor in zip(stated, graph.inputs, strict=True):
        dtype, count = tensor.dtype.numpy(), math.prod(one["shape"])
        span = one["high"] - one["low"] + (1.0 if _is_whole(dtype) else 0.0)
        values = one["low"] + units(seed, start, count) * span
        numbers = np.floor(values) if _is_whole(dtype) else values
        feeds[tensor.name] = numbers.astype(dtype).reshape(one["shape"])
        start += count
    return feeds


def _output(name: str, array: Array, seed: int) -> dict[str, Any]:
    places = np.arange(array.size)
    if array.size > MOST_VALUES:
        places = (units(seed, 0, MOST_VALUES) * array.size).astype(np.int64)
    values = [_stated(value) for value in array.reshape(-1)[places]]
    return {"name": name, "shape": list(array.shape), "scale": _scale(array), "values": values}


def _stated(value: Any) -> int | float | str:
    if np.asarray(value).dtype.kind in "iub":
        return int(value)
    number = float(value)
    # Six digits are below every tolerance. JSON has neither NaN nor infinity.
    return float(f"{number:.6g}") if math.isfinite(number) else str(number)


def _scale(array: Array) -> float:
    if _is_whole(array.dtype):
        return 0.0
    wide = np.abs(array.astype(np.float64))
    return float(f"{wide[np.isfinite(wide)].max(initial=0):.6g}")


def _apart(one: Array, other: Array) -> float:
    """How far two ways to compute an output are apart, as the service measures it."""
    if one.shape != other.shape or not one.size:
        return 0.0
    if _is_whole(one.dtype):
        return float((one != other).mean())
    both = np.isfinite(one) & np.isfinite(other)
    distance = np.abs(one.astype(np.float64) - other.astype(np.float64))[both].max(initial=0)
    return float(distance / scale) if (scale := _scale(one)) else 0.0


def _numbers(model: ir.Model) -> str:
    if any(node.op_type in QUANTIZED for node in model.graph.all_nodes()):
        return "int8"
    weights = (value for graph in model.graphs() for value in graph.initializers.values())
    return "fp16" if any(value.dtype in NARROW for value in weights) else "float32"


def _is_whole(dtype: np.dtype[Any]) -> bool:
    return dtype.kind in "iub"


def _rounded(tolerance: float) -> float:
    return min(1.0, float(f"{tolerance:.2g}"))
