"""Programs of `torch.export`, from ``.pt2`` files, with their batch norms."""

import copy
import hashlib
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import onnx_ir as ir
import torch
from numpy.typing import NDArray
from torch.export import ExportedProgram

from export.errors import SourceError, UsageError
from export.signature import draw, signature
from export.sources import program_file
from export.sources.inputs import described, static_shape
from export.sources.module import OUTPUT, REFERENCE_NAME, check_count
from export.sources.options import SourceOptions, read_labels
from export.sources.original import Feeds, Original, Provenance, Reference, wide
from export.sources.tracing import convert, name_batch, quiet, versions

# Operators that behave otherwise in training: which argument says so, by place and name.
NORMS: Mapping[str, int] = {
    "aten.batch_norm.default": 5,
    "aten.cudnn_batch_norm.default": 5,
    "aten.miopen_batch_norm.default": 5,
    "aten.native_batch_norm.default": 5,
    "aten._native_batch_norm_legit.default": 5,
    "aten._native_batch_norm_legit_functional.default": 5,
}
INFERENCE_NORMS = frozenset({"aten._native_batch_norm_legit_no_training.default"})
NO_STATISTICS = "aten._native_batch_norm_legit.no_stats"
TRAINING_NORMS = frozenset(
    {
        "aten._batch_norm_with_update.default",
        "aten._batch_norm_with_update_functional.default",
        NO_STATISTICS,
    }
)
DROPOUTS: Mapping[str, int] = {
    "aten.dropout.default": 2,
    "aten.dropout_.default": 2,
    "aten.feature_dropout.default": 2,
    "aten.alpha_dropout.default": 2,
    "aten.native_dropout.default": 2,
}
PLACES = {**NORMS, **DROPOUTS}
TRAINING_FLAGS = ("training", "train")
ROWS = (1, 8)  # on which a program must run in float64 to be the reference: verification's


def read_program(path: Path, options: SourceOptions) -> Original:
    """Read a ``.pt2`` file of `torch.export.save`.

    Args:
        path: The file.
        options: `input_shape` stands for sizes that the program leaves free, apart from the batch.

    Raises:
        SourceError: It cannot be read or converted, or was exported in training mode.
        UsageError: The options do not fit.
    """
    if options.weights is not None:
        raise UsageError("--weights: a .pt2 program has its weights, leave it out")
    program = program_file.load(path)
    calls = _count_batch_norms(program, path)
    names = _inputs(program, path)
    results = [str(name) for name in program.graph_signature.user_outputs]
    outputs = [OUTPUT] if len(results) == 1 else results
    model = convert(program, inputs=names, outputs=outputs)
    name_batch(model)
    check_count(model, calls)
    in_float64 = _in_float64(program, names, model, options)
    description, reference = described(model, options, in_float64)
    digest = hashlib.sha256(path.read_bytes()).hexdigest()
    return Original(
        model=model,
        input=description,
        provenance=Provenance("torch", path.name, digest, versions()),
        reference=reference,
        reference_name=REFERENCE_NAME,
        labels=read_labels(options.labels),
    )


def _count_batch_norms(program: ExportedProgram, path: Path) -> int:
    """How many the program has; refuse it if it was traced for training."""
    count = 0
    for node in program.graph.nodes:
        target = str(node.target)
        if target in TRAINING_NORMS or _trains(node, PLACES.get(target)):
            raise SourceError(f"{path}: {_module(node)} {_complaint(node, target)}")
        count += target in NORMS or target in INFERENCE_NORMS
    return count


def _complaint(node: torch.fx.Node, target: str) -> str:
    if target == NO_STATISTICS or (target in NORMS and None in node.args[3:5]):
        return "is a batch norm without running statistics"
    kind = "dropout" if target in DROPOUTS else "batch norm"
    return f"is a {kind} in training mode; call eval() on the module and export it again"


def _trains(node: torch.fx.Node, place: int | None) -> bool:
    if place is None:
        return False
    named = [node.kwargs[name] for name in TRAINING_FLAGS if name in node.kwargs]
    given = [*named, *node.args[place : place + 1]]
    return bool(given and given[0])


def _module(node: torch.fx.Node) -> str:
    """The module that a node was traced from."""
    stack = list((node.meta.get("nn_module_stack") or {}).values())
    return f"'{stack[-1][0]}'" if stack else f"'{node.name}'"


def _inputs(program: ExportedProgram, path: Path) -> list[str]:
    """Names of the inputs, all of them tensors."""
    names = [str(name) for name in program.graph_signature.user_inputs]
    placeholders = {node.name: node for node in program.graph.find_nodes(op="placeholder")}
    for name in names:
        if name not in placeholders or not isinstance(
            placeholders[name].meta.get("val"), torch.Tensor
        ):
            raise SourceError(f"{path}: its input {name} is no tensor")
    return names


def _in_float64(
    program: ExportedProgram, names: Sequence[str], model: ir.Model, options: SourceOptions
) -> Reference | None:
    """The program in float64; None where it insists on another type, or on few rows."""
    spec = program.call_spec

    def run(feeds: Feeds) -> list[NDArray[np.float64]]:
        given = [torch.from_numpy(wide(feeds[name])) for name in names]
        args, kwargs = spec.in_spec.unflatten(given)
        with torch.no_grad():
            outputs = spec.out_spec.flatten_up_to(module(*args, **kwargs))
        return [output.numpy().astype(np.float64) for output in outputs]

    graph, shape = signature(model), options.input_shape or static_shape(model)
    try:
        with quiet():
            module = copy.deepcopy(program.module()).double()  # the graph shares the weights
        for rows in ROWS:
            run(draw(graph.inputs, rows, np.random.default_rng(0), shape))
    except Exception:  # noqa: BLE001 - then the graph itself is evaluated in float64 instead
        return None
    return run
