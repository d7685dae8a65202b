"""From the folded float32 model to the narrow one: check, convert, judge, measure."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial

import numpy as np
import onnx_ir as ir
from numpy.typing import NDArray

from export import artifact, latency, runtime
from export.errors import UsageError
from export.precision import judge, overflow
from export.precision.convertible import check_convertible
from export.precision.feeding import as_typed, batches, first_input, random_batches, rows
from export.precision.fp16 import to_fp16
from export.precision.int8 import to_int8
from export.precision.judge import Judgement
from export.precision.options import Kind, PrecisionOptions
from export.precision.samples import BESIDE, Samples, gather
from export.signature import Signature, signature
from export.sources.original import Feeds, ImageInput, Original

RANDOM = "random inputs"


@dataclass(frozen=True)
class PrecisionReport:
    """What the manifest says of the step, field by field; latency is of a machine and stays out.

    Attributes:
        kind: Which numbers.
        top1_agreement: Of the two models; None where outputs cannot be ranked.
        accuracy_before: Of the folded float32 model; None where classes are not known.
        accuracy_after: Of the narrow one.
        samples: How many these three were measured on.
        split: Where those are from.
        calibration: What ranges, or overflow, were measured on.
        size_before: Bytes of the float32 model, without manifest.
        size_after: Bytes of the narrow one.
    """

    kind: Kind
    top1_agreement: float | None
    accuracy_before: float | None
    accuracy_after: float | None
    samples: int
    split: str | None
    calibration: str | None
    size_before: int
    size_after: int


@dataclass(frozen=True)
class Reduced:
    """A narrow model that was judged.

    Attributes:
        model: The model.
        report: What it cost and saved.
        float32: The model before, serialized.
        before_ms: Median latency of the float32 model on this machine, one input, one thread.
        after_ms: Of the narrow one, measured in turns with it.
    """

    model: ir.Model
    report: PrecisionReport
    float32: bytes
    before_ms: float
    after_ms: float


@dataclass(frozen=True)
class _Data:
    """The samples as batches, with the words for the report."""

    calibration: Sequence[Feeds]
    held_out: Sequence[Feeds]
    targets: NDArray[np.int64] | None
    calibration_origin: str
    split: str


def reduce_precision(folded: ir.Model, original: Original, options: PrecisionOptions) -> Reduced:
    """Convert a folded model to narrower numbers, and refuse the result if it costs too much.

    Args:
        folded: The folded model in float32, verified; left alone.
        original: What it was made from: input, labels, and the checkpoint that samples lie beside.
        options: What the user asks for.

    Raises:
        UsageError: The model, the samples and the options do not go together.
        PrecisionError: The narrow model overflows, or loses more than the options allow.
    """
    check_convertible(folded, options.kind)
    _check_io(original, options)
    graph = signature(folded)
    data = _data(
        gather(options.calibration, options.held_out, original), graph, original, options.kind
    )
    narrow = _converted(folded, data.calibration, options)
    before, after = artifact.serialize(folded.clone()), artifact.serialize(narrow)
    wide_run, narrow_run = (runtime.load(model, optimized=True) for model in (before, after))
    taken = signature(narrow)
    judgement = judge.judge(wide_run, narrow_run, data.held_out, data.targets, taken)
    judge.check(judgement, options.max_accuracy_drop)
    one = first_input(data.held_out[0], graph)
    runs = [partial(wide_run, one), partial(narrow_run, as_typed(one, taken))]
    report = _report(options.kind, judgement, data, (len(before), len(after)))
    return Reduced(narrow, report, before, *latency.medians(runs))


def _check_io(original: Original, options: PrecisionOptions) -> None:
    if options.io != "float32" and isinstance(original.input, ImageInput):
        raise UsageError(
            f"--io {options.io}: the input is an image, which the service hands over as float32 or "
            "as bytes; leave it out"
        )


def _data(samples: Samples, graph: Signature, original: Original, kind: Kind) -> _Data:
    calibration = samples.calibration
    if kind == "fp16":  # nothing is chosen by them, only overflow is looked for
        calibration = calibration or samples.held_out
    elif calibration is None:
        raise UsageError(
            "--precision int8: ranges are measured on data: name a folder of images, an .npy or "
            f".npz file with --calibration (training leaves {BESIDE} beside a checkpoint)"
        )
    judged = samples.held_out
    if calibration is None or judged is None:
        drawn = random_batches(graph, original)
        count = sum(map(rows, drawn))
        return _Data(drawn, drawn, None, f"{count} {RANDOM}", RANDOM)
    return _Data(
        batches(calibration, graph, original),
        batches(judged, graph, original),
        judged.targets,
        f"{len(calibration)} inputs of {calibration.origin}",
        judged.origin,
    )


def _converted(
    folded: ir.Model, calibration: Sequence[Feeds], options: PrecisionOptions
) -> ir.Model:
    if options.kind == "int8":
        return to_int8(folded, calibration)
    narrow = to_fp16(folded, options.io)
    overflow.check_activations(folded, calibration)
    return narrow


def _report(
    kind: Kind, judgement: Judgement, data: _Data, size: tuple[int, int]
) -> PrecisionReport:
    return PrecisionReport(
        kind=kind,
        top1_agreement=judgement.top1_agreement,
        accuracy_before=judgement.accuracy_before,
        accuracy_after=judgement.accuracy_after,
        samples=judgement.samples,
        split=data.split,
        calibration=data.calibration_origin,
        size_before=size[0],
        size_after=size[1],
    )
