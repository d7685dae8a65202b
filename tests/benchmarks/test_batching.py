"""The benchmark of the batcher's two roads, with networks that are done in no time."""

from pathlib import Path

import numpy as np
import onnx
import pytest

from benchmarks.batching import Stack, compared, convolutions, roads
from service.inference.model import OnnxModel, RunOptions, open_model
from service.inference.sample_inputs import random_rows


@pytest.fixture
def model(tmp_path: Path) -> OnnxModel:
    path = tmp_path / "model.onnx"
    onnx.save(convolutions(Stack(size=4, channels=2, layers=2)), path)
    return open_model(path, RunOptions("cpu", intra_op_threads=1))


def test_a_stack_batches_and_its_values_stay_of_one_size(model: OnnxModel) -> None:
    assert model.signature.batches
    (answers,) = model.run(random_rows(model, 3)).values()
    assert answers.shape == (3, 2)
    assert np.isfinite(answers).all()
    assert answers.any()


def test_both_roads_are_measured_and_compared(model: OnnxModel) -> None:
    works = roads(model, clients=2, count=4, work_s=0, runners=1)
    assert list(works) == ["in place", "runners"]
    in_place, runners, ratio = map(float, compared(works, rounds=1).split())
    assert in_place > 0
    assert runners > 0
    assert ratio > 0
