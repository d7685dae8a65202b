"""What the benchmark of decoders compares is comparable, and what it states is so."""

import numpy as np
import pytest

from benchmarks.decoding.__main__ import model_input
from benchmarks.decoding.hops import in_place, rate, through_the_pool
from benchmarks.decoding.margins import worst
from benchmarks.decoding.pictures import jpeg, photograph, photographs
from benchmarks.decoding.ways import ways

FLOWER = dict(photographs())["flower"]


@pytest.mark.parametrize(("side", "color"), [(224, "RGB"), (8, "L")])
def test_every_way_gives_the_same_pixels_but_the_scaled_one(side: int, color: str) -> None:
    data = jpeg(photograph(1280, 960))
    found = {name: way(data, model_input(side, color)) for name, way in ways().items()}
    exact = found["Pillow, exact"]
    for name, pixels in found.items():
        assert pixels.shape == exact.shape
        # Every decoder here is a libjpeg-turbo, whose pixels are the same by its own promise.
        assert name == "Pillow, scaled" or np.array_equal(pixels, exact)


def test_the_photograph_has_the_size_that_is_asked_for_and_no_seams() -> None:
    large = photograph(1500, 1000)
    assert large.size == (1500, 1000)
    pixels = np.asarray(large, dtype=int)
    seam = np.abs(pixels[:, 639] - pixels[:, 640])  # where the first mirrors the second
    assert seam.max() == 0


def test_the_larger_the_margin_the_nearer_and_at_three_it_is_what_is_stated() -> None:
    once, twice, three_times, four_times = (worst([FLOWER], margin) for margin in (1, 2, 3, 4))
    assert once.mean > twice.mean > three_times.mean > four_times.mean > 0
    assert three_times.mean <= 0.8  # service.scaled_decoding's table
    assert three_times.largest <= 18


def test_work_is_done_as_often_as_it_is_counted() -> None:
    calls: list[int] = []
    costs = [measure(lambda: calls.append(1), 5) for measure in (in_place, through_the_pool)]
    assert len(calls) == 5 + 6, "the thread starts with one more"
    assert all(part >= 0 for cost in costs for part in cost)
    assert rate(lambda: calls.append(1), threads=2, calls=7) > 0
    assert len(calls) == 11 + 7
