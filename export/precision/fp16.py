"""Weights and activations in 16-bit floats.

The conversion is that of ONNX Runtime's own tools (`onnxruntime.transformers.float16`), the one
that is kept up: it knows which inputs of which operators stay float32 (the scales of Resize), while
onnxconverter-common, which it grew out of, writes invalid graphs there (its issues 207 and 272).
It clips what overflows without a word, which `overflow` refuses before; and it appends its casts
behind all other nodes, so the graph is sorted afterwards.

CUDA has kernels of these types. ONNX Runtime's CPU provider has few and puts casts around the rest:
there the file is half as large and no faster.
"""

import onnx
import onnx_ir as ir
from onnx_ir.passes import common as passes

from export.errors import UsageError, first_line
from export.precision import overflow
from export.precision.options import Io

# The converter would keep these in float32, from the days of opset 7. They are what the fold makes
# of a ReLU, and CUDA has them; a pair of casts around each would cost more than it computes.
NARROWABLE = frozenset({"Min", "Max"})


def to_fp16(model: ir.Model, io: Io = "float32") -> ir.Model:
    """A model in 16-bit floats.

    Args:
        model: In float32; left alone. Inputs that are no floats keep their type, and a Cast of them
            to float32 becomes one to float16, exact for pixels.
        io: Type of its float inputs and outputs; "float32" puts a Cast behind and before them.

    Raises:
        PrecisionError: A weight overflows.
        UsageError: The converter cannot do it.
    """
    # Loaded here: nobody else waits for it, and `export.runtime` was loaded before it. No types.
    from onnxruntime.transformers import float16  # type: ignore[import-untyped]  # noqa: PLC0415

    prepared = _prepared(model)
    overflow.check_weights(prepared)
    kept = [name for name in float16.DEFAULT_OP_BLOCK_LIST if name not in NARROWABLE]
    try:
        proto = float16.convert_float_to_float16(
            _without_types_of_initializers(prepared),
            keep_io_types=io == "float32",
            op_block_list=kept,
        )
    except Exception as error:
        raise UsageError(f"--precision fp16: not possible here ({first_line(error)})") from error
    return _sorted(proto)


def _prepared(model: ir.Model) -> ir.Model:
    """A copy whose constants are initializers: of those the converter knows their readers."""
    copy = model.clone()
    passes.LiftConstantsToInitializersPass(lift_all_constants=True, size_limit=0)(copy)
    return copy


def _without_types_of_initializers(model: ir.Model) -> onnx.ModelProto:
    """The model without what it says of them twice: the converter mends only one of the two."""
    proto: onnx.ModelProto = ir.to_proto(model)
    initializers = {tensor.name for tensor in proto.graph.initializer}
    said = [info for info in proto.graph.value_info if info.name not in initializers]
    del proto.graph.value_info[:]
    proto.graph.value_info.extend(said)
    return proto


def _sorted(proto: onnx.ModelProto) -> ir.Model:
    model: ir.Model = ir.from_proto(proto)
    for graph in model.graphs():
        graph.sort()
    return model
