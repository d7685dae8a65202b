"""PyTorch's exporter, told to keep what it traced, and the graph it gives made tidy.

PyTorch's exporters fold some batch norms by themselves. Here the graph is taken as it was traced
(``dynamo=True, optimize=False``), constants are folded and dead nodes removed.
"""

import ast
import contextlib
import importlib
import logging
import warnings
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import onnx_ir as ir
import torch
from onnx_ir.passes.common import (
    ClearMetadataAndDocStringPass,
    LiftConstantsToInitializersPass,
    NameFixPass,
    RemoveUnusedNodesPass,
)
from torch import nn

from export.errors import SourceError, first_line
from export.folding.operators import LINEAR

BATCH = "batch"
OPSET = 20  # read by every ONNX Runtime since 1.17
BIAS = 2  # among the inputs of a Conv
# Of the example that is traced: torch.export takes sizes 0 and 1 for constants.
EXAMPLE_BATCH = 2
# Elements. Constants up to this size are computed now rather than at every start; this is wide
# enough for the reparametrized weights of any convolution.
LARGEST_FOLDED_CONSTANT = 1 << 26


def convert(
    traced: nn.Module | torch.export.ExportedProgram,
    examples: tuple[torch.Tensor, ...] = (),
    *,
    inputs: Sequence[str],
    outputs: Sequence[str],
    dynamic_shapes: Any = None,
) -> ir.Model:
    """Convert a module or a program that was traced already.

    Args:
        traced: What to convert; in evaluation mode.
        examples: Inputs of a module.
        inputs: Names of the inputs.
        outputs: Names of the outputs.
        dynamic_shapes: Which dimensions of a module's inputs are free, as `torch.export` has it.

    Raises:
        SourceError: It cannot be converted.
    """
    with quiet():
        try:
            program = torch.onnx.export(
                traced,
                examples,
                dynamo=True,
                optimize=False,
                verify=False,
                verbose=False,
                opset_version=OPSET,
                input_names=inputs,
                output_names=outputs,
                dynamic_shapes=dynamic_shapes,
            )
        except Exception as error:
            reason = first_line(error.__cause__ or error)  # the outer one says only where
            raise SourceError(f"PyTorch cannot convert the module: {reason}") from error
        if program is None:  # pragma: no cover - only without dynamo
            raise SourceError("PyTorch gave no program")
        model = program.model
        _tidy(model)
    return model


def check_free_batch(model: ir.Model) -> None:
    """Raise `SourceError` unless inputs and outputs leave the size of the batch free."""
    for value in (*model.graph.inputs, *model.graph.outputs):
        if value.shape is None or not value.shape or isinstance(value.shape[0], int):
            raise SourceError(f"the module fixes the batch: its {value.name} has {value.shape}")


def name_batch(model: ir.Model) -> None:
    """Call the free first dimension of the first input what ours is called, in place."""
    shape = model.graph.inputs[0].shape
    if not shape or isinstance(shape[0], int):
        return
    traced = shape[0].value
    for value in (*model.graph.inputs, *(v for n in model.graph.all_nodes() for v in n.outputs)):
        if value.shape is not None:
            value.shape = ir.Shape(BATCH if _named(d) == traced else d for d in value.shape.dims)


def _named(size: int | ir.SymbolicDim) -> int | str | None:
    return size if isinstance(size, int) else size.value


def versions() -> dict[str, str]:
    """The version of PyTorch, for the manifest."""
    return {"torch": torch.__version__.partition("+")[0]}


@contextlib.contextmanager
def quiet() -> Iterator[None]:
    """Keep what the exporter says about its own insides away from the user."""
    levels = _levels("torch.onnx", "torch.export")
    for logger in levels:
        logger.setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        for logger, level in levels.items():
            logger.setLevel(level)


def _levels(*names: str) -> Mapping[logging.Logger, int]:
    loggers = map(logging.getLogger, names)
    return {logger: logger.level for logger in loggers}


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
    _drop_zero_biases(model.graph)
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


def _drop_zero_biases(graph: ir.Graph) -> None:
    """Take away the bias that the exporter gives to a convolution without one.

    That of a 3-D convolution has the wrong shape besides (onnxscript 0.7.2: two dimensions).
    """
    for node in graph.all_nodes():
        bias = node.inputs[BIAS] if node.op_type == "Conv" and len(node.inputs) > BIAS else None
        constant = bias.const_value if bias is not None else None
        if constant is not None and not constant.numpy().any():
            node.resize_inputs(BIAS)


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
