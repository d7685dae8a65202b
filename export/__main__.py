"""The command ``foldserve-export``: build, inspect, verify.

Exit codes: 0 done; 1 what was checked is not so (parity, nothing folded); 2 bad usage or input.
"""

import json
import logging
from dataclasses import asdict
from pathlib import Path
from typing import Annotated, Any

import onnx_ir as ir
import typer
from typer.core import TyperGroup

from export import latency, manifest, pipeline, report
from export.artifact import Place
from export.errors import ExportError, NothingFoldedError, first_line
from export.input_format import InputFormat
from export.pipeline import ParityOptions
from export.signature import signature
from export.sources.onnx import load
from export.sources.options import SourceOptions, parse_numbers, parse_shape


class Commands(TyperGroup):
    """The group of commands, which turns errors into one line and an exit code."""

    def invoke(self, ctx: Any) -> Any:
        """Run a command."""
        try:
            return super().invoke(ctx)
        except ExportError as error:
            typer.echo(f"foldserve-export: {error}", err=True)
            raise typer.Exit(error.exit_code) from error
        except OSError as error:  # a path that the system refuses even to look at
            typer.echo(f"foldserve-export: {first_line(error)}", err=True)
            raise typer.Exit(ExportError.exit_code) from error


app = typer.Typer(
    cls=Commands, no_args_is_help=True, add_completion=False, pretty_exceptions_enable=False
)

Source = Annotated[
    str,
    typer.Argument(
        help="A checkpoint (.safetensors), an .onnx file, or a factory package.module:factory."
    ),
]
Weights = Annotated[
    Path | None,
    typer.Option(help="State dict of a factory's module: .safetensors, .pth or .pt."),
]
Input = Annotated[
    str | None, typer.Option("--input", help="Shape of one input without the batch: 3x224x224.")
]
Labels = Annotated[Path | None, typer.Option(help="File of class names, one a line.")]
Color = Annotated[str | None, typer.Option(help="RGB or L: the input is an image.")]
Mean = Annotated[
    str | None,
    typer.Option(
        help="Mean of every channel in units of 0..1, as 0.485,0.456,0.406; the artifact takes "
        "pixels of 0..255 and computes (pixel / 255 - mean) / std itself."
    ),
]
Std = Annotated[str | None, typer.Option(help="Standard deviation of every channel, likewise.")]
ResizeFilter = Annotated[
    str | None, typer.Option(help="nearest, box, bilinear, bicubic or lanczos.")
]
CropFraction = Annotated[
    float | None, typer.Option(help="How much of the resized image a centre crop keeps: 0.875.")
]
Format = Annotated[
    InputFormat,
    typer.Option(
        "--input-format",
        help="What the artifact takes: float32 is what the network takes; image-uint8 is the bytes "
        "of decoded images, channels last, and the graph does the rest.",
    ),
]
Samples = Annotated[
    int | None, typer.Option(min=1, help="Inputs to verify on.", show_default="64, or 16 large")
]
Seed = Annotated[int, typer.Option(min=0, help="Seed of these inputs and of a factory's weights.")]
Tolerance = Annotated[
    float | None,
    typer.Option(
        min=0.0,
        help="Largest relative error to float64.",
        show_default="1e-5 in float32, or twice the unfolded model's",
    ),
]


@app.callback()
def _commands() -> None:
    """Fold batch normalization into the weights and write one ONNX file, verified."""
    # It warns of graphs that are not valid; our own errors say that, once.
    logging.getLogger("onnx_ir").setLevel(logging.ERROR)


@app.command()
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
    input_format: Format = "float32",
    samples: Samples = None,
    seed: Seed = 0,
    tolerance: Tolerance = None,
    allow_unfolded: Annotated[
        bool, typer.Option("--allow-unfolded", help="Write even if no batch norm folds.")
    ] = False,
    force: Annotated[bool, typer.Option("--force", help="Replace this version.")] = False,
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
    console = report.console()
    try:
        with console.status(f"Reading, folding and verifying {source}"):
            built = pipeline.build(
                source,
                Place(output, name, version),
                options,
                ParityOptions(samples, seed, tolerance),
                allow_unfolded=allow_unfolded,
                force=force,
                input_format=input_format,
            )
    except NothingFoldedError as error:
        report.print_fold(console, error.report.kept)
        raise
    size = ir.to_proto(built.original.model).ByteSize()
    times = latency.measure(built.original, built.data)
    report.print_build(console, built.manifest, (size, len(built.data)), times)
    console.print(f"Wrote {built.path}", soft_wrap=True)


@app.command()
def inspect(
    artifact: Annotated[Path, typer.Argument(help="An artifact, or any ONNX file.")],
    as_json: Annotated[bool, typer.Option("--json", help="For machines.")] = False,
) -> None:
    """Show the signature, the manifest and the fold report of ARTIFACT."""
    model, _ = load(artifact)
    graph, described = signature(model), manifest.read(model)
    console = report.console()
    if as_json:
        typer.echo(json.dumps(report.as_json(graph, described), indent=2, ensure_ascii=False))
        return
    report.print_signature(console, graph)
    if described is None:
        console.print("This ONNX file has no manifest: foldserve-export did not write it.")
        return
    report.print_manifest(console, described)
    report.print_described_fold(console, described)
    report.print_parity(console, described["parity"])


@app.command()
def verify(
    artifact: Annotated[Path, typer.Argument(help="An artifact, or any ONNX file.")],
    against: Annotated[
        str, typer.Option(help="The original: checkpoint, .onnx file or package.module:factory.")
    ],
    weights: Weights = None,
    input_shape: Input = None,
    color: Color = None,
    mean: Mean = None,
    std: Std = None,
    samples: Samples = None,
    seed: Seed = 0,
    tolerance: Tolerance = None,
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
    parity = pipeline.verify_again(
        artifact, against, options, ParityOptions(samples, seed, tolerance)
    )
    console = report.console()
    report.print_parity(console, asdict(parity))
    console.print(f"{artifact} computes what {against} computes.", soft_wrap=True)


def main() -> None:
    """Run the command."""
    app(prog_name="foldserve-export")


if __name__ == "__main__":
    main()
