"""Checkpoints of the training stage: network, labels, input and metrics in one file."""

import hashlib
from pathlib import Path

from export.errors import SourceError, UsageError
from export.sources.module import REFERENCE_NAME, read_module
from export.sources.options import SourceOptions
from export.sources.original import ImageInput, Original, Provenance, TensorInput
from export.sources.tracing import versions
from training import checkpoint as training_checkpoint


def read_checkpoint(path: Path, options: SourceOptions) -> Original:
    """Read a checkpoint; its header says all that options say elsewhere.

    Raises:
        SourceError: It is no checkpoint, or its network cannot be converted.
        UsageError: Options were given that the header decides.
    """
    if options.given():
        given = ", ".join(options.given())
        raise UsageError(f"{given}: a checkpoint says this itself, leave it out")
    try:
        checkpoint = training_checkpoint.load(path)
    except (training_checkpoint.CheckpointError, OSError) as error:
        raise SourceError(str(error)) from error
    model, in_float64 = read_module(checkpoint.model, tuple(checkpoint.input.shape))
    return Original(
        model=model,
        input=_described(checkpoint),
        provenance=Provenance(
            "checkpoint", path.name, hashlib.sha256(path.read_bytes()).hexdigest(), versions()
        ),
        reference=in_float64,
        reference_name=REFERENCE_NAME,
        labels=checkpoint.labels,
        metrics=checkpoint.metrics,
        checkpoint=path,
    )


def _described(checkpoint: training_checkpoint.Checkpoint) -> ImageInput | TensorInput:
    given = checkpoint.input
    if given.kind == "signal":
        return TensorInput(given.shape, given.value_range)
    return ImageInput(
        given.color,
        given.channels,
        given.height,
        given.width,
        given.value_range,
        given.resize_filter,
        given.crop_fraction,
    )
