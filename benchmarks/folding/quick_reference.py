"""ONNX's reference implementation in float64, with its slowest operators computed by PyTorch.

In numpy an average over windows is a Python loop and takes minutes where PyTorch takes a second.
Both are float64, so the numbers are the same to 1e-15. What PyTorch does not know the same way
(uneven pads, dilated windows) is left to the reference implementation.
"""

from collections.abc import Mapping
from typing import Any

import onnx
import onnx_ir as ir
import torch
from numpy.typing import NDArray
from onnx.reference import ReferenceEvaluator
from onnx.reference.op_run import OpRun
from onnx.reference.ops.op_average_pool import AveragePool_19
from onnx.reference.ops.op_conv import Conv as NumpyConv
from onnx.reference.ops.op_max_pool import MaxPool as NumpyMaxPool
from torch.nn import functional

from export.reference import widened
from export.reference_operators import OPERATORS

Array = NDArray[Any]
RANK = 4  # of images; other ranks are small here
CONVOLUTIONS = {3: functional.conv1d, 4: functional.conv2d, 5: functional.conv3d}


class Conv(NumpyConv):
    """Convolution of any rank, without automatic padding."""

    def _run(  # type: ignore[override]  # the attributes by name, as they come
        self, x: Array, w: Array, b: Array | None = None, **attributes: Any
    ) -> Any:
        spatial = x.ndim - 2
        pads = attributes.get("pads") or [0] * 2 * spatial
        if _automatic(attributes) or x.ndim not in CONVOLUTIONS:
            return super()._run(x, w, b, **attributes)  # type: ignore[no-untyped-call]  # onnx's
        pairs = [(pads[axis], pads[axis + spatial]) for axis in reversed(range(spatial))]
        padded = functional.pad(_tensor(x), [side for pair in pairs for side in pair])
        result = CONVOLUTIONS[x.ndim](
            padded,
            _tensor(w),
            None if b is None else _tensor(b),
            stride=attributes.get("strides") or 1,
            dilation=attributes.get("dilations") or 1,
            groups=attributes.get("group") or 1,
        )
        return (result.numpy(),)


class AveragePool(AveragePool_19):
    """Average over windows of images that are padded alike on both sides."""

    def _run(self, x: Array, **attributes: Any) -> Any:  # type: ignore[override]  # as above
        if not _plain(x, attributes):
            return super()._run(x, **attributes)  # type: ignore[no-untyped-call]  # onnx's
        included = bool(attributes.get("count_include_pad"))
        result = functional.avg_pool2d(
            _tensor(x), **_window(attributes), count_include_pad=included
        )
        return (result.numpy(),)


class MaxPool(NumpyMaxPool):
    """Maximum over windows, likewise."""

    def _run(self, x: Array, **attributes: Any) -> Any:  # type: ignore[override]  # as above
        if not _plain(x, attributes) or len(self.onnx_node.output) > 1:
            return super()._run(x, **attributes)  # type: ignore[no-untyped-call]  # onnx's
        return (functional.max_pool2d(_tensor(x), **_window(attributes)).numpy(),)


class LRN(OpRun):
    """Normalisation over neighbouring channels; that of onnx 1.23 counts samples for channels."""

    def _run(self, x: Array, alpha: float, beta: float, bias: float, size: int) -> Any:
        return (functional.local_response_norm(_tensor(x), size, alpha, beta, bias).numpy(),)


QUICK: list[type[OpRun]] = [Conv, AveragePool, MaxPool, LRN]


def evaluate(model: onnx.ModelProto, feeds: Mapping[str, Array]) -> list[Array]:
    """The outputs of a model in which every float is a float64.

    Args:
        model: The model; its own floats may be narrower.
        feeds: Arrays by input name.
    """
    torch.set_num_threads(1)  # as everything here: threads that wait for each other only heat
    wide = ir.to_proto(widened(ir.from_proto(model)))
    evaluator = ReferenceEvaluator(wide, new_ops=[*OPERATORS, *QUICK])
    return list(evaluator.run(None, {name: one.astype("float64") for name, one in feeds.items()}))


def _automatic(attributes: Mapping[str, Any]) -> bool:
    return attributes.get("auto_pad") not in {None, "", "NOTSET"}


def _plain(x: Array, attributes: Mapping[str, Any]) -> bool:
    """Whether PyTorch's pooling of images does the same."""
    pads = attributes.get("pads") or [0] * 4
    even = pads[:2] == pads[2:] if len(pads) == RANK else False
    dilated = any(step != 1 for step in attributes.get("dilations") or [])
    return x.ndim == RANK and even and not (dilated or _automatic(attributes))


def _window(attributes: Mapping[str, Any]) -> dict[str, Any]:
    return {
        "kernel_size": attributes["kernel_shape"],
        "stride": attributes.get("strides") or 1,
        "padding": (attributes.get("pads") or [0] * 4)[:2],
        "ceil_mode": bool(attributes.get("ceil_mode")),
    }


def _tensor(array: Array) -> torch.Tensor:
    return torch.from_numpy(array.copy())
