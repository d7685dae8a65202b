"""A PyTorch module as a graph that still has its batch norms.

PyTorch's exporters fold some batch norms by themselves. Here the graph is taken as it was traced
(``dynamo=True, optimize=False``), constants are folded and dead nodes removed, and then it is
counted: every batch norm that the module calls must be there.
"""

import ast
import contextlib
import copy
import importlib
import logging
import warnings
from collections import Counter
from collections.abc import Callable, Iterator

import numpy as np
import onnx_ir as ir
import torch
from numpy.typing import NDArray
from onnx_ir.passes.common import (
    ClearMetadataAndDocStringPass,
    LiftConstantsToInitializersPass,
    NameFixPass,
    RemoveUnusedNodesPass,
)
from torch import nn

from export.errors import SourceError, first_line
from export.folding.engine import batch_norms
from export.folding.linear import LINEAR
from export.sources.original import Feeds, Reference

INPUT, OUTPUT, BATCH = "input", "logits", "batch"
OPSET = 20  # read by every ONNX Runtime since 1.17
# Of the example that is traced: torch.export takes sizes 0 and 1 for constants.
EXAMPLE_BATCH = 2
# Elements. Constants up to this size are computed now rather than at every start; this is wide
# enough for the reparametrized weights of any convolution.
LARGEST_FOLDED_CONSTANT = 1 << 26
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
    model = _convert(module, example)
    _check_free_batch(model)
    found = len(batch_norms(model.graph))
    if found < calls:
        raise SourceError(
            f"the converted graph has {found} batch norms of the {calls} that the module calls"
        )
    return model, _in_float64(module, example)


def versions() -> dict[str, str]:
    """The version of PyTorch, for the manifest."""
    return {"torch": torch.__version__.partition("+")[0]}


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


def _convert(module: nn.Module, example: torch.Tensor) -> ir.Model:
    with _quiet():
        try:
            program = torch.onnx.export(
                module,
                (example,),
                dynamo=True,
                optimize=False,
                verify=False,
                verbose=False,
                opset_version=OPSET,
                input_names=[INPUT],
                output_names=[OUTPUT],
                dynamic_shapes=({0: torch.export.Dim(BATCH)},),
            )
        except Exception as error:
            reason = first_line(error.__cause__ or error)  # the outer one says only where
            raise SourceError(f"PyTorch cannot convert the module: {reason}") from error
        if program is None:  # pragma: no cover - only without dynamo
            raise SourceError("PyTorch gave no program")
        model = program.model
        _tidy(model)
    return model


def _check_free_batch(model: ir.Model) -> None:
    for value in (*model.graph.inputs, *model.graph.outputs):
        if value.shape is None or isinstance(value.shape[0], int):
            raise SourceError(f"the module fixes the batch: its {value.name} has {value.shape}")


def _tidy(model: ir.Model) -> None:
    """Fold constants, remove dead nodes, name nodes by module, drop traces of this machine."""
    optimizer = importlib.import_module("onnxscript.optimizer")
    optimizer.fold_constants(
        model,
        input_size_limit=LARGEST_FOLDED_CONSTANT,
        output_size_limit=LARGEST_FOLDED_CONSTANT,
    )
    _simplify_reshapes(model)
    LiftConstantsToInitializersPass(lift_all_constants=True, size_limit=0)(model)
    RemoveUnusedNodesPass()(model)
    NameFixPass()(model)
    _name_by_module(model.graph)
    ClearMetadataAndDocStringPass()(model)


def _simplify_reshapes(model: ir.Model) -> None:
    """Say ``[-1, 64]`` where the traced graph computes ``[batch, 64]`` from the shape of its input.

    A size that is known but for the batch follows from the number of elements; with `allowzero` a
    zero is a zero.
    """
    rewriter = importlib.import_module("onnxscript.rewriter")
    rules = importlib.import_module("onnxscript.rewriter.rules.common")
    rewriter.RewritePass([rules.materialize_reshape_shape_rule])(model)


def _name_by_module(graph: ir.Graph) -> None:
    """Call batch norms and linear operators as the module calls them: ``layer1.0.bn1``."""
    seen: Counter[str] = Counter()
    for node in graph.all_nodes():
        if node.op_type not in LINEAR and node.op_type != "BatchNormalization":
            continue
        scopes = ast.literal_eval(node.metadata_props.get("pkg.torch.onnx.name_scopes", "[]"))
        path = scopes[-2] if len(scopes) > 1 else ""
        if path:
            seen[path] += 1
            node.name = path if seen[path] == 1 else f"{path}#{seen[path]}"


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


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """Keep what the exporter says about its own insides away from the user."""
    logger = logging.getLogger("torch.onnx")
    level = logger.level
    logger.setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        logger.setLevel(level)
