"""A PyTorch module as a graph that still has its batch norms.

The graph is counted: every batch norm that the module calls must be in it.
"""

import copy
from collections import Counter
from collections.abc import Callable

import numpy as np
import onnx_ir as ir
import torch
from numpy.typing import NDArray
from torch import nn

from export.errors import SourceError, first_line
from export.folding.recognition import batch_norms
from export.sources.original import Feeds, Reference
from export.sources.tracing import BATCH, EXAMPLE_BATCH, check_free_batch, convert

INPUT, OUTPUT = "input", "logits"
BATCH_NORMS = (nn.BatchNorm1d, nn.BatchNorm2d, nn.BatchNorm3d, nn.SyncBatchNorm)
REFERENCE_NAME = "float64 PyTorch"


def read_module(module: nn.Module, shape: tuple[int, ...]) -> tuple[ir.Model, Reference | None]:
    """Convert a module, all its batch norms kept; also return it as a function in float64.

    Args:
        module: Takes one float32 tensor (batch, *shape), gives one tensor (batch, ...).
        shape: Of one input.

    Raises:
        SourceError: It cannot be converted, or not without losing a batch norm.
    """
    module.eval()
    _check_eval(module)
    example = torch.zeros(EXAMPLE_BATCH, *shape)
    calls = _count_batch_norm_calls(module, example)
    free = ({0: torch.export.Dim(BATCH)},)
    model = convert(module, (example,), inputs=[INPUT], outputs=[OUTPUT], dynamic_shapes=free)
    check_free_batch(model)
    check_count(model, calls)
    return model, _in_float64(module, example)


def check_count(model: ir.Model, calls: int) -> None:
    """Raise `SourceError` if a graph has fewer batch norms than were called."""
    found = len(batch_norms(model.graph))
    if found < calls:
        raise SourceError(
            f"the converted graph has {found} batch norms of the {calls} that the module calls"
        )


def _check_eval(module: nn.Module) -> None:
    for name, part in module.named_modules():
        if part.training:
            raise SourceError(f"module '{name}' stays in training mode after eval()")


def _count_batch_norm_calls(module: nn.Module, example: torch.Tensor) -> int:
    """Run a module once and count what its graph must show."""
    calls: Counter[str] = Counter()

    def watch(name: str) -> Callable[..., None]:
        return lambda *_: calls.update([name])

    parts = dict(module.named_modules())
    handles = [part.register_forward_hook(watch(name)) for name, part in parts.items()]
    try:
        with torch.no_grad():
            output = module(example)
    except Exception as error:
        shape = "x".join(map(str, example.shape[1:]))
        raise SourceError(
            f"the module does not take inputs {shape}: {first_line(error)}"
        ) from error
    finally:
        for handle in handles:
            handle.remove()
    if not isinstance(output, torch.Tensor) or output.shape[:1] != example.shape[:1]:
        raise SourceError("the module must put out one tensor, the batch first")
    norms = {name: part for name, part in parts.items() if isinstance(part, BATCH_NORMS)}
    for name, part in norms.items():
        if calls[name] and part.running_mean is None:
            raise SourceError(f"batch norm '{name}' has no running statistics")
    return sum(calls[name] for name in norms)


def _in_float64(module: nn.Module, example: torch.Tensor) -> Reference | None:
    """A copy of the module in float64; None where its code insists on another type."""

    def run(feeds: Feeds) -> list[NDArray[np.float64]]:
        with torch.no_grad():
            output = twin(torch.from_numpy(feeds[INPUT].astype(np.float64)))
        return [output.numpy()]

    try:
        twin = copy.deepcopy(module).double().eval()
        run({INPUT: example.numpy()})
    except Exception:  # noqa: BLE001 - then the graph itself is evaluated in float64 instead
        return None
    return run
