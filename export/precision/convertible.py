"""Which models compute in float32: those that the precision step takes, and that parity is of."""

from collections.abc import Iterator

import onnx
import onnx_ir as ir

from export import manifest
from export.errors import UsageError

NARROW = frozenset({ir.DataType.FLOAT16, ir.DataType.BFLOAT16})
QUANTIZED = frozenset(
    {
        "QuantizeLinear",
        "DequantizeLinear",
        "DynamicQuantizeLinear",
        "ConvInteger",
        "MatMulInteger",
        "MatMulNBits",
    }
)
QUANTIZED_PREFIXES = ("QLinear", "QGemm", "QAttention")  # ONNX Runtime's own domain has a dozen


def check_convertible(model: ir.Model, kind: str) -> None:
    """Refuse a model that is narrow already, or was never float32.

    Args:
        model: The folded model.
        kind: What was asked for, for the message.

    Raises:
        UsageError: It is quantized, in 16-bit or in 64-bit floats, or computes no floats at all.
    """
    for node in model.graph.all_nodes():
        if node.op_type in QUANTIZED or node.op_type.startswith(QUANTIZED_PREFIXES):
            raise UsageError(
                f"--precision {kind}: the model is quantized already ({node.op_type} '{node.name}')"
            )
    found = set(_types(model))
    if found & NARROW:
        name = min(dtype.name.lower() for dtype in found & NARROW)
        raise UsageError(f"--precision {kind}: the model computes in {name} already")
    if ir.DataType.DOUBLE in found or ir.DataType.FLOAT not in found:
        raise UsageError(f"--precision {kind}: the model does not compute in float32")


def check_float32(data: bytes) -> None:
    """Refuse an artifact of the precision step where parity is to be measured again.

    Its manifest states the parity of the float32 graph it was made from; what narrower numbers cost
    is stated as `precision`, by top-1.

    Args:
        data: A serialized model; one that is none, or has no manifest, is somebody else's to judge.

    Raises:
        UsageError: Its manifest says that its numbers were made narrower.
    """
    try:
        described = manifest.read(ir.from_proto(onnx.load_from_string(data)))
    except Exception:  # noqa: BLE001 - whoever reads it next says what is wrong with it
        return
    narrow = (described or {}).get("precision")
    if isinstance(narrow, dict):
        raise UsageError(
            f"the artifact computes in {narrow.get('kind')}: its parity is that of the float32 "
            "graph before, and cannot be measured on it; --tolerance measures it all the same"
        )


def _types(model: ir.Model) -> Iterator[ir.DataType]:
    """The types of all inputs, weights and constants, and what is cast to."""
    for graph in model.graphs():
        for value in (*graph.inputs, *graph.initializers.values()):
            if value.dtype is not None:
                yield value.dtype
        for node in graph:
            cast = node.attributes.get("to")
            if cast is not None and cast.type == ir.AttributeType.INT:
                yield ir.DataType(cast.as_int())
            for attribute in node.attributes.values():
                if attribute.type == ir.AttributeType.TENSOR:
                    yield attribute.as_tensor().dtype
