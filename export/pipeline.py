"""From a source to an artifact: read, fold, verify, write. What fails leaves no file."""

import math
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path

import onnx_ir as ir

from export import artifact, latency, lock, manifest, page, reliability, sources, vector, verify
from export.artifact import Place
from export.errors import ArtifactError, NothingFoldedError, UsageError
from export.folding import Folded, FoldReport, Mode, Target, fold
from export.guard import fold_within
from export.input_format import InputFormat, format_of, with_format
from export.manifest import Manifest
from export.precision import PrecisionOptions, Reduced, check_float32, reduce_precision
from export.reliability import Temperature
from export.sources.options import SourceOptions
from export.sources.original import Original
from export.verify import Parity

Fold = Callable[[ir.Model, Mapping[str, str]], Folded[ir.Model]]
Say = Callable[[str], None]


@dataclass(frozen=True)
class ParityOptions:
    """How to verify.

    Attributes:
        samples: How many inputs; None takes 64, or 16 of large ones.
        seed: Seed of the inputs.
        tolerance: Largest relative error; None takes that of the type.
    """

    samples: int | None = None
    seed: int = 0
    tolerance: float | None = None

    def __post_init__(self) -> None:
        """Raise `UsageError` for numbers that would verify nothing."""
        if self.samples is not None and self.samples < 1:
            raise UsageError(f"--samples {self.samples}: take at least 1")
        if self.tolerance is not None and not math.isfinite(self.tolerance):
            raise UsageError(f"--tolerance {self.tolerance}: take a finite number, like 1e-5")


@dataclass(frozen=True)
class Built:
    """A finished build.

    Attributes:
        path: The artifact.
        data: Its bytes.
        manifest: What it says about itself.
        original: What it was made from.
        report: What became of every batch norm.
        latencies: Of every set of moves that was measured, its share of the unfolded time.
        reduced: The artifact's model in narrower numbers, if it was asked for.
    """

    path: Path
    data: bytes
    manifest: Manifest
    original: Original
    report: FoldReport
    latencies: Mapping[str, float]
    reduced: Reduced | None = None


def build(
    source: str,
    place: Place,
    options: SourceOptions | None = None,
    parity: ParityOptions | None = None,
    *,
    allow_unfolded: bool = False,
    force: bool = False,
    input_format: InputFormat = "float32",
    precision: PrecisionOptions | None = None,
    held_out: Path | None = None,
    temperature: Temperature | None = None,
    mode: Mode = "fast",
    target: Target = "cpu",
    fold_model: Fold | None = None,
    say: Say = lambda _step: None,
) -> Built:
    """Read a model, fold its batch norms, verify the result and write it.

    Args:
        source: Checkpoint, ONNX file, ``.keras`` file, ``.pt2`` program, or
            ``package.module:factory``.
        place: Where the artifact goes.
        options: What the source cannot say itself.
        parity: How to verify.
        allow_unfolded: Write the artifact even if not one batch norm could be folded.
        force: Replace this version if it exists.
        input_format: What the artifact takes: "image-uint8" is the bytes of decoded images.
        precision: Narrower numbers for the folded model, once it is verified in its own.
        held_out: Samples to measure probabilities on; None takes those beside the checkpoint.
        temperature: For the softmax of the logits: a number, "auto" to fit it, or None.
        mode: Which moves to take; see `export.folding.fold`.
        target: The device to choose them for.
        fold_model: What folds a graph but for the batch norms that are to stay, by their names and
            with the reasons; None takes `export.folding.fold`.
        say: Told each step as it begins.

    Raises:
        ExportError: Any step failed; nothing was written.
    """
    if not force:
        place.check_free()
    say(f"Reading {source}")
    original = with_format(sources.read(source, options or SourceOptions()), input_format)
    fold_graph = fold_model or _folding(original, mode, target)

    def folding(keep: Mapping[str, str]) -> Folded[ir.Model]:
        say("Folding the batch norms")
        folded = fold_graph(original.model, keep)
        if not keep and not allow_unfolded:
            _check_folded(folded)
        return folded

    def verifying(one: Folded[ir.Model]) -> Parity:
        say("Verifying against the original")
        return _measured(original, artifact.serialize(one.model), parity or ParityOptions())

    result, measured = fold_within(folding, verifying)
    folded, report = result.model, result.report
    verify.check(measured)
    if precision:
        say(f"Making it {precision.kind}, and judging what that costs")
    reduced = reduce_precision(folded, original, precision) if precision else None
    model = reduced.model if reduced else folded
    say("Measuring how far its probabilities can be believed, and writing")
    believed = reliability.measure(model, original, held_out, temperature)
    described = manifest.compose(
        original,
        name=place.name,
        model_version=place.version,
        report=report,
        decision=result.decision,
        parity=measured,
        vector=vector.compose(model, original, measured),
        precision=asdict(reduced.report) if reduced else None,
        reliability=asdict(believed) if believed else None,
    )
    manifest.attach(model, described)
    data = artifact.serialize(model)
    shown = page.compose(described, original.model, folded, result.latencies)
    path = lock.put(place, data, original.checkpoint, shown)
    return Built(path, data, described, original, report, result.latencies, reduced)


def verify_again(
    path: Path,
    against: str,
    options: SourceOptions | None = None,
    parity: ParityOptions | None = None,
) -> Parity:
    """Measure a written artifact against its original once more.

    Args:
        path: The artifact, or any ONNX file that should compute the same.
        against: What `build` takes as its source.
        options: As they were given to `build`.
        parity: How to verify.

    Raises:
        ParityError: They do not compute the same.
        UsageError: The artifact has narrower numbers than what it was made of, and no tolerance
            says how far off they may be.
        ExportError: One of them cannot be read.
    """
    data, asked = read_bytes(path), parity or ParityOptions()
    if asked.tolerance is None:
        check_float32(data)
    original = sources.read(against, options or SourceOptions())
    original = with_format(original, format_of(data, original))
    measured = _measured(original, data, asked)
    verify.check(measured)
    return measured


def read_bytes(path: Path) -> bytes:
    """The bytes of an artifact.

    Raises:
        ArtifactError: There is no such file.
    """
    try:
        return path.read_bytes()
    except OSError as error:
        raise ArtifactError(f"{path} cannot be read: {error.strerror}") from error


def _measured(original: Original, data: bytes, options: ParityOptions) -> Parity:
    return verify.measure(
        original,
        data,
        samples=options.samples,
        seed=options.seed,
        tolerance=options.tolerance,
    )


def _folding(original: Original, mode: Mode, target: Target) -> Fold:
    given = original.input
    measure = latency.measuring(original.model, target, given.shape, given.value_range)
    return lambda model, keep: fold(model, mode, target, measure=measure, keep=keep)


def _check_folded(result: Folded[ir.Model]) -> None:
    """Refuse a model of whose batch norms none can be folded; not one where that does not pay."""
    report = result.report
    first = next(iter(report.kept), None)
    could = result.decision.basis in {"measured", "rule"}
    if first is None or could or not report.bn_before:
        return
    if len(report.kept) == len(report.nodes):
        raise NothingFoldedError(
            f"not one of {report.bn_before} batch norms could be folded ({first.name}: "
            f"{first.reason}); --allow-unfolded writes the model as it is",
            report,
        )
