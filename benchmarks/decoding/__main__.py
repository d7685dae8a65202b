"""`python -m benchmarks.decoding`: from a JPEG to the tensor, by decoder; and what threads cost.

One thread and its processor time, unless it says otherwise; medians of rounds in turns.
"""

import io
import statistics
import time
from collections.abc import Callable
from functools import partial
from typing import Annotated

import numpy as np
import PIL
import typer
from PIL import Image, features

from benchmarks.decoding.hops import in_place, rate, through_the_pool
from benchmarks.decoding.margins import worst
from benchmarks.decoding.pictures import jpeg, photograph, photographs
from benchmarks.decoding.ways import ANY_SIZE, Way, ways
from benchmarks.rounds import measured, ratio
from service.artifact.manifest import ImageInput
from service.images.preprocessing import image_tensor

SIZES = ((640, 480), (4000, 3000))
INPUTS = ((224, "RGB"), (8, "L"))
SMALL = ((8, "L", "PNG"), (28, "L", "PNG"), (32, "RGB", "PNG"), (64, "RGB", "JPEG"))
MARGINS = (1, 2, 3, 4)
HOPS = 2000  # in a row: enough for a steady mean within a second
PARALLEL_CALLS = 200


def main(
    rounds: Annotated[int, typer.Option(min=1, help="Turns of each; medians are printed.")] = 30,
    errors: Annotated[bool, typer.Option(help="What a scaled decoding changes.")] = False,
) -> None:
    """Measure what decodes a JPEG, what a thread costs, and what scaled decoding changes."""
    if errors:
        _print_margins()
        return
    typer.echo(f"Pillow {PIL.__version__}, libjpeg-turbo {features.version('libjpeg_turbo')}\n")
    for size in SIZES:
        data = jpeg(photograph(*size))
        for side, color in INPUTS:
            typer.echo(f"{size[0]} x {size[1]}, {len(data)} bytes, to {side} x {side} {color}")
            _print_ways(data, model_input(side, color), rounds)
    _print_hops()
    _print_threads(jpeg(photograph(*SIZES[0])))


def _print_ways(data: bytes, spec: ImageInput, rounds: int) -> None:
    found = ways()
    times = measured(
        {name: partial(_seconds, way, data, spec) for name, way in found.items()}, rounds
    )
    first, *_ = found
    exact = found[first](data, spec)
    for name, taken in times.items():
        levels = np.abs(found[name](data, spec) - exact)
        typer.echo(
            f"  {name:15} {statistics.median(taken) * 1e3:8.2f} ms"
            f"  ratio {ratio(taken, times[first]):.2f}"
            f"  off by {levels.mean():.2f} of 255 in the mean, {levels.max():.0f} at most"
        )


def _seconds(way: Way, data: bytes, spec: ImageInput) -> float:
    began = time.thread_time()
    way(data, spec)
    return time.thread_time() - began


def _print_hops() -> None:
    typer.echo("\nWhere it arrives, and by way of a thread (us: wall; processor; of it the loop's)")
    works: dict[str, Callable[[], object]] = {"nothing": lambda: None}
    for side, color, kind in SMALL:
        data = _file(photograph(side, side).convert(color), kind)
        tensor = partial(image_tensor, data, model_input(side, color), ANY_SIZE)
        works[f"{kind} {side} x {side} {color}"] = tensor
    for name, work in works.items():
        costs = (in_place(work, HOPS), through_the_pool(work, HOPS))
        here, there = ("".join(f"{part * 1e6:6.0f}" for part in cost) for cost in costs)
        typer.echo(f"  {name:16}{here}   thread{there}")


def _print_threads(data: bytes) -> None:
    work = partial(image_tensor, data, model_input(224, "RGB"), ANY_SIZE)
    typer.echo("\nImages a second of 640 x 480 to 224 x 224, by threads")
    for threads in (1, 2):
        typer.echo(f"  {threads}  {rate(work, threads, PARALLEL_CALLS):.0f}")


def _print_margins() -> None:
    images = dict(photographs())
    typer.echo(f"Grey levels of 255 that scaled decoding changes; {', '.join(images)}")
    for margin in MARGINS:
        found = worst(list(images.values()), margin)
        typer.echo(
            f"  at least {margin} x  mean {found.mean:.2f} in the worst picture,"
            f" {found.largest} of any one value"
        )


def model_input(side: int, color: str) -> ImageInput:
    """Return a square input as a manifest states it."""
    return ImageInput.model_validate(
        {
            "name": "input",
            "kind": "image",
            "layout": "NCHW",
            "color": color,
            "channels": {"L": 1, "RGB": 3}[color],
            "height": side,
            "width": side,
            "value_range": (0.0, 255.0),
            "resize_filter": "bilinear",
            "crop_fraction": None,
        }
    )


def _file(image: Image.Image, kind: str) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, kind)
    return buffer.getvalue()


if __name__ == "__main__":
    typer.run(main)
