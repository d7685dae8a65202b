"""Measuring an artifact's probabilities on held-out samples."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
import onnx_ir as ir
from numpy.typing import NDArray

from export import artifact, runtime
from export.errors import UsageError
from export.precision.feeding import batches
from export.precision.samples import BESIDE, Inputs, gather
from export.reliability.calibration import (
    Array,
    Bin,
    best_temperature,
    bins,
    expected_error,
    softmax,
)
from export.signature import signature
from export.sources.original import Original

AUTO: Literal["auto"] = "auto"
Temperature = float | Literal["auto"]


@dataclass(frozen=True)
class Reliability:
    """What the manifest says of an artifact's probabilities, field by field.

    Attributes:
        temperature: What the service divides logits by before the softmax; 1 changes nothing.
        fitted: Whether it was fitted: on one half of the samples, and judged on the other.
        ece_before: Expected calibration error at a temperature of 1, of 0 to 1.
        ece: The same at the temperature.
        samples: How many both were measured on.
        split: Where those are from.
        bins: Of the reliability diagram, at the temperature.
    """

    temperature: float
    fitted: bool
    ece_before: float
    ece: float
    samples: int
    split: str
    bins: tuple[Bin, ...]


def measure(
    model: ir.Model, original: Original, held_out: Path | None, temperature: Temperature | None
) -> Reliability | None:
    """Run an artifact's model on held-out samples.

    Args:
        model: As it is written: folded, and in its own numbers.
        original: What it was made of.
        held_out: Samples with their classes; None takes those beside the checkpoint.
        temperature: For the softmax; None leaves it at 1.

    Returns:
        None where there are no classes, or no samples whose classes are known.

    Raises:
        UsageError: A temperature is asked for, and nothing tells what it does.
    """
    samples = _samples(model, original, held_out)
    if samples is None:
        if temperature is not None:
            raise UsageError(
                f"--temperature {temperature}: is for logits of classes that have labels, judged on"
                f" samples whose classes are known; {BESIDE} beside the checkpoint has them, or"
                " --held-out names them"
            )
        return None
    inputs, targets = samples
    logits, classes = _logits(model, original, inputs, targets)
    fitted = temperature == AUTO
    if fitted:
        # Every other one: the samples of a split may be in an order.
        temperature = best_temperature(logits[::2], classes[::2])
        logits, classes = logits[1::2], classes[1::2]
    chosen = 1.0 if temperature is None else float(temperature)
    before = bins(softmax(logits), classes)
    after = bins(softmax(logits, chosen), classes)
    error = expected_error(before), expected_error(after)
    return Reliability(chosen, fitted, *error, len(classes), inputs.origin, tuple(after))


def _samples(
    model: ir.Model, original: Original, held_out: Path | None
) -> tuple[Inputs, NDArray[np.int64]] | None:
    graph = signature(model)
    producer = model.graph.outputs[0].producer()
    is_classifier = (
        original.labels is not None
        and len(graph.inputs) == len(graph.outputs) == 1
        and not (producer is not None and producer.op_type == "Softmax")
    )
    found = gather(None, held_out, original).held_out if is_classifier else None
    if found is None or found.targets is None or len(found) < 2:
        return None
    return found, found.targets


def _logits(
    model: ir.Model, original: Original, inputs: Inputs, targets: NDArray[np.int64]
) -> tuple[Array, NDArray[np.int64]]:
    graph = signature(model)
    run = runtime.load(artifact.serialize(model.clone()), optimized=True)
    outputs: Sequence[Array] = [
        run(feeds)[0].astype(np.float64) for feeds in batches(inputs, graph, original)
    ]
    logits = np.concatenate(outputs)
    return logits, targets[: len(logits)]  # of a fixed batch there may be a rest
