"""From one ONNX file to another with its batch norms folded, for those who want no more."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

import onnx_ir as ir

from export import artifact, latency, verify
from export.errors import SourceError, UsageError
from export.folding import Folded, Mode, Target, fold
from export.guard import FoldKeeping, fold_within
from export.sources.onnx import read_onnx
from export.sources.options import SourceOptions
from export.sources.original import Original
from export.verify import Parity

# Enough to tell a wrong fold from a right one; each takes seconds in float64 at 224 x 224.
SAMPLES = 4


@dataclass(frozen=True)
class FoldedFile:
    """A file that was folded.

    Attributes:
        folded: The model and what was done to it.
        parity: What was measured against float64; None if it was not.
        unverified: Why it could not be; None if it was, or was not asked for.
    """

    folded: Folded[ir.Model]
    parity: Parity | None = None
    unverified: str | None = None


def fold_file(
    source: Path,
    result: Path,
    mode: Mode = "fast",
    target: Target = "cpu",
    *,
    input_shape: tuple[int, ...] | None = None,
    samples: int = SAMPLES,
    seed: int = 0,
    force: bool = False,
    say: Callable[[str], None] = lambda _step: None,
) -> FoldedFile:
    """Fold the batch norms of an ONNX file and write the result to another.

    Args:
        source: The file to read.
        result: The file to write.
        mode: Which moves to take; see `export.folding.fold`.
        target: The device to choose them for.
        input_shape: Of one input without the batch, for a graph that leaves it free.
        samples: How many inputs to verify on; 0 does not verify.
        seed: Seed of these inputs.
        force: Replace `result` if it exists.
        say: Told each step as it begins.

    Raises:
        ExportError: A file cannot be read or written, or the result does not compute the same;
            nothing was written.
    """
    _check_writable(result, force=force)
    say(f"Reading {source}")
    original = read_onnx(source, SourceOptions(input_shape=input_shape))
    measure = latency.measuring(original.model, target, original.input.shape)

    def folding(keep: Mapping[str, str]) -> Folded[ir.Model]:
        say("Folding the batch norms")
        return fold(original.model, mode, target, measure=measure, keep=keep)

    done = _verified(original, folding, samples, seed, say) if samples else FoldedFile(folding({}))
    artifact.write_file(result, artifact.serialize(done.folded.model))
    return done


def _check_writable(result: Path, *, force: bool) -> None:
    """Refuse at once what would be refused after minutes of measuring."""
    if result.is_dir():
        raise UsageError(f"{result} is a folder: name the file to write")
    if not result.parent.is_dir():
        raise UsageError(f"{result} cannot be written: there is no folder {result.parent}")
    if result.exists() and not force:
        raise UsageError(f"{result} exists: take another name, or --force")


def _verified(
    original: Original,
    folding: FoldKeeping,
    samples: int,
    seed: int,
    say: Callable[[str], None],
) -> FoldedFile:
    """Fold and measure; where inputs cannot be drawn, or tell nothing, say so."""

    def measured(folded: Folded[ir.Model]) -> Parity:
        say("Verifying against float64")
        data = artifact.serialize(folded.model)
        return verify.measure(original, data, samples=samples, seed=seed)

    try:
        folded, parity = fold_within(folding, measured)
    except SourceError as error:
        return FoldedFile(folding({}), unverified=str(error))
    verify.check(parity)
    return FoldedFile(folded, parity)
