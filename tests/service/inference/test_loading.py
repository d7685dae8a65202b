"""From a model's file to its predictor."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from service.errors import ModelLoadError
from service.images.decoding import Decoder
from service.inference.loading import Loaded, load, predictor_of
from service.inference.model import RunOptions, open_model
from service.settings import Settings
from service.telemetry.metrics import Metrics
from service.telemetry.timing import Timing
from tests.service import zoo
from tests.service.fakes import PATIENCE_S, FakeModel

OPTIONS = RunOptions("cpu", intra_op_threads=1)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return zoo.put(tmp_path, "m", 1, zoo.doubler())


def opening(model: FakeModel) -> Any:
    return lambda _path, _options: model


def test_what_the_first_runs_told_is_loaded(path: Path) -> None:
    loaded = load(path, OPTIONS, Settings(), open_model)
    assert loaded.batches
    assert loaded.row_ms is not None
    assert loaded.batch_ms is not None
    assert loaded.row_ms > 0


def test_without_a_warm_up_the_signatures_word_is_taken(path: Path) -> None:
    model = FakeModel()
    loaded = load(path, OPTIONS, Settings(warm_up=False), opening(model))
    assert loaded == Loaded(model, batches=True, in_place=False, row_ms=None, batch_ms=None)
    assert model.runs == []


def test_every_bucket_of_the_settings_is_warmed_up(path: Path) -> None:
    model = FakeModel()
    load(path, OPTIONS, Settings(batch_buckets=(3, 5, 32)), opening(model))
    assert {len(rows) for rows in model.runs} >= {1, 3, 5, 32}


def test_a_version_without_a_file_is_not_opened(tmp_path: Path) -> None:
    with pytest.raises(ModelLoadError, match=r"no file model\.onnx") as caught:
        load(tmp_path / "model.onnx", OPTIONS, Settings(), opening(FakeModel()))
    assert str(tmp_path) not in str(caught.value)


@pytest.mark.anyio
@pytest.mark.parametrize(
    "choices", [{"batches": True, "in_place": True}, {"batches": False}], ids=str
)
async def test_the_predictor_serves_as_the_first_runs_decided(choices: Mapping[str, Any]) -> None:
    model = FakeModel()
    decoder = Decoder(threads=1, max_pending=1)
    settings = Settings(batch_buckets=(4, 32))
    predictor = predictor_of(
        Loaded(model, **choices), settings, decoder, Metrics().model("m", "1"), runners=2
    )
    answer = await predictor.infer({"x": np.ones((2, 3), np.float32)}, Timing())
    await predictor.close(PATIENCE_S)
    decoder.close()
    assert predictor.in_place is choices.get("in_place", False)
    assert answer["y"].shape == (2, 3)
    assert len(model.runs[-1]) == (4 if choices["batches"] else 2)


def test_with_a_lock_asked_for_a_model_without_one_is_not_opened(path: Path) -> None:
    settings = Settings(require_lock=True)
    with pytest.raises(ModelLoadError, match=r"no lock\.json"):
        load(path, OPTIONS, settings, opening(FakeModel()))


def test_a_model_larger_than_the_setting_is_not_opened(path: Path) -> None:
    with pytest.raises(ModelLoadError, match="FOLDSERVE_MAX_MODEL_BYTES=20"):
        load(path, OPTIONS, Settings(max_model_bytes=20), opening(FakeModel()))


def test_a_model_that_changed_while_it_was_opened_is_not_served(path: Path) -> None:
    model = FakeModel()

    def swapping(opened: Path, _options: RunOptions) -> FakeModel:
        opened.write_bytes(opened.read_bytes() + b"\x08\x0a")
        return model

    with pytest.raises(ModelLoadError, match="changed while they were read"):
        load(path, OPTIONS, Settings(), swapping)


@pytest.mark.parametrize("data", [b"", b"\0", b"garbage" * 50, b"\x08\x0a"], ids=repr)
def test_what_is_no_model_is_refused_as_such(path: Path, data: bytes) -> None:
    path.write_bytes(data)
    with pytest.raises(ModelLoadError):
        load(path, OPTIONS, Settings(), open_model)
