"""Keras networks, from ``.keras`` files, with their batch norms."""

import hashlib
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import onnx_ir as ir
import torch
from numpy.typing import NDArray

from export.errors import SourceError, UsageError, first_line
from export.sources import keras_file
from export.sources.inputs import described
from export.sources.keras_layers import InFloat64, KerasNetwork, free_name, outputs_of
from export.sources.module import check_count
from export.sources.options import SourceOptions, check_fits, read_labels, sizes_of
from export.sources.original import Feeds, Original, Provenance, Reference, wide
from export.sources.tracing import BATCH, EXAMPLE_BATCH, check_free_batch, convert, versions

REFERENCE_NAME = "float64 Keras"
Shapes = list[tuple[int, ...]]


def read_keras(path: Path, options: SourceOptions) -> Original:
    """Read a ``.keras`` file of Keras 3.

    Args:
        path: The file.
        options: `input_shape` fixes sizes that the network leaves free, apart from the batch.

    Raises:
        SourceError: It cannot be read, holds code, or cannot be converted.
        UsageError: The options do not fit.
    """
    if options.weights is not None:
        raise UsageError("--weights: a .keras file has its weights, leave it out")
    keras = keras_file.start()
    model = keras_file.load(path)
    names = [tensor.name for tensor in model.inputs]
    shapes = _shapes(model, options, path)
    graph = _graph(keras, model, names, shapes)
    in_float64 = _in_float64(keras, path, names, shapes)
    description, reference = described(graph, options, in_float64)
    digest = hashlib.sha256(path.read_bytes()).hexdigest()
    used = versions() | {"keras": keras.__version__}
    return Original(
        model=graph,
        input=description,
        provenance=Provenance("keras", path.name, digest, used),
        reference=reference,
        reference_name=REFERENCE_NAME,
        labels=read_labels(options.labels),
    )


def _shapes(model: Any, options: SourceOptions, path: Path) -> Shapes:
    """Of every input, without the batch."""
    given = options.input_shape
    if given is not None and len(model.inputs) > 1:
        raise UsageError(f"--input: {path} has {len(model.inputs)} inputs, and says their shapes")
    return [_shape(tensor, given, path) for tensor in model.inputs]


def _shape(tensor: Any, given: tuple[int, ...] | None, path: Path) -> tuple[int, ...]:
    batch, *sizes = tensor.shape
    if batch is not None:
        raise SourceError(
            f"{path}: input '{tensor.name}' fixes the batch to {batch}; leave batch_size out of "
            "its keras.Input"
        )
    if given is None:
        if None in sizes:
            raise UsageError(
                f"{path}: input '{tensor.name}' is {sizes_of(sizes)}: give --input with a number "
                "for each ?"
            )
        return tuple(sizes)
    check_fits(given, sizes, f"'{tensor.name}' of {path}")
    return given


def _graph(keras: Any, model: Any, names: Sequence[str], shapes: Shapes) -> ir.Model:
    examples = _examples(model, shapes)
    free = tuple({0: torch.export.Dim(BATCH)} for _ in examples)
    outputs = _output_names(model, names)
    network = KerasNetwork(keras, model)
    with keras.device("cpu"):
        try:
            with torch.no_grad():
                network(*examples)
        except Exception as error:
            raise SourceError(f"Keras cannot run the network: {first_line(error)}") from error
        calls = network.calls.total()
        graph = convert(network, examples, inputs=names, outputs=outputs, dynamic_shapes=(free,))
    check_free_batch(graph)
    check_count(graph, calls)
    return graph


def _examples(model: Any, shapes: Shapes) -> tuple[torch.Tensor, ...]:
    return tuple(
        torch.zeros(EXAMPLE_BATCH, *shape, dtype=_dtype(tensor))
        for tensor, shape in zip(model.inputs, shapes, strict=True)
    )


def _dtype(tensor: Any) -> torch.dtype:
    dtype = getattr(torch, tensor.dtype, None)
    if not isinstance(dtype, torch.dtype):
        raise SourceError(f"input '{tensor.name}' is no tensor of numbers: {tensor.dtype}")
    return dtype


def _output_names(model: Any, inputs: Sequence[str]) -> list[str]:
    """As the layers that put them out are called."""
    taken = dict.fromkeys(inputs)
    wanted = getattr(model, "output_names", None) or [model.layers[-1].name]  # a Sequential has one
    for name in wanted:
        taken[free_name(name, taken)] = None
    return list(taken)[len(inputs) :]


def _in_float64(keras: Any, path: Path, names: Sequence[str], shapes: Shapes) -> Reference | None:
    """Keras's own network in float64; None where it insists on another type."""
    model = keras_file.load(path, "float64")

    def run(feeds: Feeds) -> list[NDArray[np.float64]]:
        inputs = [torch.from_numpy(wide(feeds[name])) for name in names]
        with keras.device("cpu"), torch.no_grad(), InFloat64():
            outputs = outputs_of(keras, model, inputs)
        return [output.numpy().astype(np.float64) for output in outputs]

    examples = _examples(model, shapes)
    try:
        run({name: example.numpy() for name, example in zip(names, examples, strict=True)})
    except Exception:  # noqa: BLE001 - then the graph itself is evaluated in float64 instead
        return None
    return run
