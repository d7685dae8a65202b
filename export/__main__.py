"""The command ``foldserve-export``: build, fold, inspect, verify, lock.

Exit codes: 0 done; 1 what was checked is not so (parity, nothing folded); 2 bad usage or input.
"""

import logging
from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import onnx_ir as ir
import typer

from export import (
    documents,
    examples,
    latency,
    lock,
    manifest,
    pipeline,
    plain,
    report,
    wording,
)
from export.artifact import PAGE_FILE, Place
from export.cli_group import Commands
from export.cli_options import (
    AsJson,
    Calibration,
    Color,
    CropFraction,
    FoldMode,
    FoldTarget,
    Format,
    HeldOut,
    Input,
    IoType,
    Labels,
    MaxAccuracyDrop,
    Mean,
    Precision,
    ResizeFilter,
    Samples,
    Seed,
    Source,
    Std,
    TemperatureOf,
    Tolerance,
    Weights,
)
from export.errors import NothingFoldedError, ParityError
from export.pipeline import ParityOptions
from export.precision import LARGEST_DROP, options_of
from export.reliability import parse_temperature
from export.signature import signature
from export.sources.onnx import load
from export.sources.options import SourceOptions, parse_numbers, parse_shape

app = typer.Typer(cls=Commands, no_args_is_help=True, pretty_exceptions_enable=False)


@app.callback(epilog=examples.ALL)
def _commands() -> None:
    """Fold batch normalization into the weights and write one ONNX file, verified."""
    # It warns of graphs that are not valid; our own errors say that, once.
    logging.getLogger("onnx_ir").setLevel(logging.ERROR)


@app.command(epilog=examples.BUILD)
def build(
    source: Source,
    name: Annotated[str, typer.Option(help="Name of the model.")],
    version: Annotated[int, typer.Option(help="Version of the model, from 1.")] = 1,
    output: Annotated[Path, typer.Option(help="Folder of all models.")] = Path("models"),
    weights: Weights = None,
    input_shape: Input = None,
    labels: Labels = None,
    color: Color = None,
    mean: Mean = None,
    std: Std = None,
    resize_filter: ResizeFilter = None,
    crop_fraction: CropFraction = None,
    fold_mode: FoldMode = "fast",
    target: FoldTarget = "cpu",
    input_format: Format = "float32",
    precision: Precision = None,
    io: IoType = "float32",
    calibration: Calibration = None,
    held_out: HeldOut = None,
    max_accuracy_drop: MaxAccuracyDrop = LARGEST_DROP,
    temperature: TemperatureOf = None,
    samples: Samples = None,
    seed: Seed = 0,
    tolerance: Tolerance = None,
    allow_unfolded: Annotated[
        bool, typer.Option("--allow-unfolded", help="Write even if no batch norm folds.")
    ] = False,
    force: Annotated[bool, typer.Option("--force", help="Replace this version.")] = False,
    as_json: AsJson = False,
) -> None:
    """Fold SOURCE, verify it and write <output>/<name>/<version>/model.onnx."""
    options = SourceOptions(
        weights=weights,
        input_shape=parse_shape(input_shape),
        labels=labels,
        color=color,
        mean=parse_numbers(mean, "--mean"),
        std=parse_numbers(std, "--std"),
        resize_filter=resize_filter,
        crop_fraction=crop_fraction,
        seed=seed,
    )
    narrow = options_of(precision, io, calibration, held_out, max_accuracy_drop)
    divisor = parse_temperature(temperature)
    console = report.console(stderr=as_json)
    try:
        with report.steps() as say:
            built = pipeline.build(
                source,
                Place(output, name, version),
                options,
                ParityOptions(samples, seed, tolerance),
                allow_unfolded=allow_unfolded,
                force=force,
                mode=fold_mode,
                target=target,
                input_format=input_format,
                precision=narrow,
                held_out=held_out,
                temperature=divisor,
                say=say,
            )
            say("Measuring latency")
            folded = built.reduced.float32 if built.reduced else built.data
            times = latency.measure(built.original, folded)
    except NothingFoldedError as error:
        report.print_fold(console, error.report.kept)
        raise
    size = (ir.to_proto(built.original.model).ByteSize(), len(folded))
    if as_json:
        typer.echo(documents.written(documents.of_build(built, size, times)))
        return
    report.print_build(console, built.manifest, size, times)
    if built.reduced is not None:
        report.print_precision(console, built.reduced)
    if (believed := built.manifest["reliability"]) is not None:
        report.print_reliability(console, believed)
    console.print(f"Wrote {built.path.with_name(PAGE_FILE)}", soft_wrap=True)
    console.print(f"Wrote {built.path}", soft_wrap=True)


@app.command(epilog=examples.FOLD)
def fold(
    source: Annotated[Path, typer.Argument(metavar="IN.onnx", help="Any ONNX file.")],
    result: Annotated[Path, typer.Argument(metavar="OUT.onnx", help="The file to write.")],
    fold_mode: FoldMode = "fast",
    target: FoldTarget = "cpu",
    input_shape: Input = None,
    samples: Annotated[
        int, typer.Option(min=0, help="Inputs to verify on against float64; 0 does not verify.")
    ] = plain.SAMPLES,
    seed: Seed = 0,
    force: Annotated[bool, typer.Option("--force", help="Replace OUT.onnx.")] = False,
    as_json: AsJson = False,
) -> None:
    """Fold the batch norms of IN.onnx, verify the result and write OUT.onnx; nothing else."""
    with report.steps() as say:
        done = plain.fold_file(
            source,
            result,
            fold_mode,
            target,
            input_shape=parse_shape(input_shape),
            samples=samples,
            seed=seed,
            force=force,
            say=say,
        )
    decision = f"Fold {fold_mode} for {target}: {wording.moves(done.folded.decision)}."
    if as_json:
        typer.echo(documents.written(documents.of_fold(done, result, decision)))
        return
    console = report.console()
    report.print_fold(console, done.folded.report.nodes, decision)
    if done.parity is not None:
        report.print_parity(console, asdict(done.parity))
    if done.unverified is not None:
        console.print(f"Not verified: {done.unverified}")
    console.print(f"Wrote {result}", soft_wrap=True)


@app.command(epilog=examples.INSPECT)
def inspect(
    artifact: Annotated[Path, typer.Argument(help="An artifact, or any ONNX file.")],
    as_json: AsJson = False,
) -> None:
    """Show the signature, the manifest and the fold report of ARTIFACT."""
    model, _ = load(artifact)
    graph, described = signature(model), manifest.read(model)
    console = report.console()
    if as_json:
        typer.echo(documents.written(report.as_json(graph, described)))
        return
    report.print_signature(console, graph)
    if described is None:
        console.print("This ONNX file has no manifest: foldserve-export did not write it.")
        return
    report.print_manifest(console, described)
    report.print_described_fold(console, described)
    report.print_parity(console, described["parity"])
    if described.get("reliability") is not None:  # of formats before there is none
        report.print_reliability(console, described["reliability"])


@app.command(epilog=examples.VERIFY)
def verify(
    artifact: Annotated[Path, typer.Argument(help="An artifact, or any ONNX file.")],
    against: Annotated[str, typer.Option(help="The original, of any kind that build takes.")],
    weights: Weights = None,
    input_shape: Input = None,
    color: Color = None,
    mean: Mean = None,
    std: Std = None,
    samples: Samples = None,
    seed: Seed = 0,
    tolerance: Tolerance = None,
    as_json: AsJson = False,
) -> None:
    """Measure ARTIFACT against its original again: exit code 0 if it holds, 1 if not."""
    options = SourceOptions(
        weights=weights,
        input_shape=parse_shape(input_shape),
        color=color,
        mean=parse_numbers(mean, "--mean"),
        std=parse_numbers(std, "--std"),
        seed=seed,
    )
    asked = ParityOptions(samples, seed, tolerance)
    try:
        with report.steps() as say:
            say(f"Verifying {artifact} against {against}")
            parity = pipeline.verify_again(artifact, against, options, asked)
    except ParityError as error:
        if as_json:
            told = documents.of_verification(artifact, against, None, str(error))
            typer.echo(documents.written(told))
        raise
    if as_json:
        typer.echo(documents.written(documents.of_verification(artifact, against, parity)))
        return
    console = report.console()
    report.print_parity(console, asdict(parity))
    console.print(f"{artifact} computes what {against} computes.", soft_wrap=True)


@app.command("lock", epilog=examples.LOCK)
def lock_repository(
    repository: Annotated[Path, typer.Argument(help="Folder of all models.")] = Path("models"),
    check: Annotated[
        bool, typer.Option("--check", help="Only compare: exit code 1 where it differs.")
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Write the hashes of REPOSITORY's models into lock.json; build does it for its own."""
    path = repository / lock.LOCK_FILE
    if not check:
        count = len(lock.lock(repository))
        wrote = {"lock": str(path), "files": count}
        typer.echo(documents.written(wrote) if as_json else f"Wrote {path} of {count} files")
        return
    found = lock.differences(repository)
    if as_json:
        compared = {"lock": str(path), "holds": not found, "differences": found}
        typer.echo(documents.written(compared))
    else:
        typer.echo("\n".join(found) or f"{repository} is what {lock.LOCK_FILE} says.")
    if found:
        raise typer.Exit(1)


def main() -> None:
    """Run the command."""
    app(prog_name="foldserve-export")


if __name__ == "__main__":
    main()
