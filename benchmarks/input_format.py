"""`python -m benchmarks.input_format`: bytes or floats in, and what is left of the mean.

Everything runs in this one thread, and what is measured is its processor time: what else the
machine does counts only where it takes the cache away, and meets all that is compared in turns.
"""

import statistics
import tempfile
import time
from collections.abc import Callable, Mapping
from functools import partial
from io import BytesIO
from pathlib import Path
from typing import Annotated

import numpy as np
import typer
from PIL import Image

from benchmarks.input_shift import Numbers, Stem, graphs
from benchmarks.rounds import measured, ratio
from export import pipeline, runtime
from export.artifact import Place
from export.input_format import InputFormat
from export.pipeline import ParityOptions
from export.runtime import Runner
from export.sources.options import SourceOptions
from export.sources.original import Feeds
from service.artifact.manifest import ImageInput
from service.images.preprocessing import image_tensor
from service.inference.assembly import run_together
from service.inference.model import Model, RunOptions, open_model

FORMATS: tuple[InputFormat, ...] = ("float32", "image-uint8")
IMAGENET = {"mean": (0.485, 0.456, 0.406), "std": (0.229, 0.224, 0.225), "color": "RGB"}
NETWORKS = {
    "digits": ("models/digits/1/checkpoint.safetensors", SourceOptions()),
    "unpadded": (
        "tests.export.networks:unpadded",
        SourceOptions(input_shape=(3, 96, 96), **IMAGENET),  # type: ignore[arg-type]  # each fits
    ),
    "resnet18": (
        "tests.export.networks:resnet18",
        SourceOptions(input_shape=(3, 224, 224), **IMAGENET),  # type: ignore[arg-type]  # each fits
    ),
}
STEMS = {
    "digits 1x8x8": Stem(1, 8, 48, kernel=3, stride=1, padding=1),
    "ResNet-18 3x224x224": Stem(3, 224, 64, kernel=7, stride=2, padding=3, pool=True),
    "the same, unpadded": Stem(3, 224, 64, kernel=7, stride=2, padding=0, pool=True),
}
MEAN = 117.3  # one for all channels: a Pad with the mean needs that
SAME = 1e-4  # relative: float32 sums of some hundred products; another border is off by 1e-2
QUALITY = 90  # of the JPEG that is decoded


def main(
    rounds: Annotated[int, typer.Option(min=1, help="Turns of each; medians are printed.")] = 200,
    batches: Annotated[str, typer.Option(help="Images of one run.")] = "1,8",
) -> None:
    """Measure artifacts of both input formats through the service's own code, then the stems."""
    typer.echo("Through the service: decode, convert, resize, stack, run (medians, ms)")
    sizes = [int(part) for part in batches.split(",")]
    with tempfile.TemporaryDirectory() as folder:
        for name in NETWORKS:
            models = {each: _artifact(name, each, Path(folder)) for each in FORMATS}
            for batch in sizes:
                _print_formats(name, models, batch, rounds)
    for name, stem in STEMS.items():
        typer.echo(f"\nThe mean before the stem of {name}, bytes in (medians, us)")
        _print_times(_stems(stem), rounds, first="one Add stays")


def _artifact(name: str, input_format: InputFormat, folder: Path) -> Model:
    source, options = NETWORKS[name]
    built = pipeline.build(
        source,
        Place(folder / input_format, name, 1),
        options,
        ParityOptions(samples=2),
        input_format=input_format,
    )
    return open_model(built.path, RunOptions("cpu", intra_op_threads=1))


def _print_formats(name: str, models: Mapping[InputFormat, Model], batch: int, rounds: int) -> None:
    data = _picture(_image(models["float32"]))
    times = measured(
        {each: partial(_serve, model, data, batch) for each, model in models.items()}, rounds
    )
    for each, taken in times.items():
        prepare, run = (statistics.median(part) * 1e3 for part in zip(*taken, strict=True))
        whole, first = (list(map(sum, times[one])) for one in (each, "float32"))
        typer.echo(
            f"  {name:9} batch {batch}  {each:12} prepare {prepare:8.3f}  run {run:8.3f}"
            f"  whole {statistics.median(whole) * 1e3:8.3f}  ratio {ratio(whole, first):.3f}"
        )


def _serve(model: Model, data: bytes, batch: int) -> tuple[float, float]:
    """What the service does with a batch of images; the seconds before and in the model's run."""
    spec = _image(model)
    start = time.thread_time()
    most = spec.height * spec.width
    rows = [{spec.name: image_tensor(data, spec, most)[np.newaxis]} for _ in range(batch)]
    prepared = time.thread_time()
    run_together(model, rows)
    return prepared - start, time.thread_time() - prepared


def _image(model: Model) -> ImageInput:
    if model.manifest is None or not isinstance(model.manifest.input, ImageInput):
        raise TypeError("an artifact of an image says so")
    return model.manifest.input


def _picture(spec: ImageInput) -> bytes:
    """A JPEG of that size, smooth as photographs are."""
    small = np.random.default_rng(0).integers(0, 256, (8, 8, 3), np.uint8)
    buffer = BytesIO()
    image = Image.fromarray(small).resize((spec.width, spec.height), Image.Resampling.BICUBIC)
    image.save(buffer, "JPEG", quality=QUALITY)
    return buffer.getvalue()


def _stems(stem: Stem) -> dict[str, Callable[[], float]]:
    """One work for every way; they are held against each other first."""
    rng = np.random.default_rng(0)
    weight = rng.standard_normal((stem.filters, stem.channels, stem.kernel, stem.kernel))
    numbers = Numbers(weight, rng.standard_normal(stem.filters), np.full(stem.channels, MEAN))
    pixels = rng.integers(0, 256, (1, stem.size, stem.size, stem.channels), np.uint8)
    runners = {
        name: runtime.load(proto.SerializeToString(), optimized=True)
        for name, proto in graphs(stem, numbers).items()
    }
    outputs = {name: runner({"pixels": pixels})[0] for name, runner in runners.items()}
    expected = outputs["Sub and Mul stay"]
    for name, output in outputs.items():
        if np.abs(output - expected).max() > SAME * np.abs(expected).max():
            raise ArithmeticError(f"{name} computes something else")
    feeds = {"pixels": pixels}
    return {name: partial(_seconds, runner, feeds) for name, runner in runners.items()}


def _seconds(run: Runner, feeds: Feeds) -> float:
    start = time.thread_time()
    run(feeds)
    return time.thread_time() - start


def _print_times(works: Mapping[str, Callable[[], float]], rounds: int, first: str) -> None:
    times = measured(works, rounds)
    for name, taken in times.items():
        median = statistics.median(taken) * 1e6
        typer.echo(f"  {name:18} {median:9.1f}  ratio {ratio(taken, times[first]):.3f}")


if __name__ == "__main__":
    typer.run(main)
