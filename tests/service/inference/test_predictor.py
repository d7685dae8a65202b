"""One served model, without HTTP."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from service.artifact.signature import Signature, TensorSpec
from service.batching.admission import Limits
from service.errors import (
    BatchTooLarge,
    DeadlineExceeded,
    InferenceFailed,
    InvalidTensor,
    ModelTakesNoImages,
    ShuttingDown,
    UnsupportedImage,
)
from service.images.decoding import Decoder
from service.images.preprocessing import image_tensor
from service.inference.model import Model, RunOptions, open_model
from service.inference.predictor import Predictor
from service.telemetry.metrics import Metrics
from service.telemetry.timing import Timing
from tests.service import zoo
from tests.service.fakes import PATIENCE_S, FakeModel
from tests.service.pictures import encoded, grey

pytestmark = pytest.mark.anyio


def row(value: float, rows: int = 1) -> dict[str, Any]:
    return {"x": np.full((rows, 3), value, np.float32)}


@asynccontextmanager
async def predicting(
    model: Any, timeout_s: float = PATIENCE_S, *, decoders: int = 1, **choices: Any
) -> AsyncIterator[Predictor]:
    decoder = Decoder(threads=decoders, max_pending=4)
    limits = Limits(max_batch_size=4, max_queue_size=8)
    predictor = Predictor(
        model,
        decoder,
        limits,
        Metrics().model("m", "1"),
        request_timeout_s=timeout_s,
        **{"batches": model.signature.batches, "max_image_pixels": 100, **choices},
    )
    try:
        yield predictor
    finally:
        await predictor.close(PATIENCE_S)
        decoder.close()


async def while_held(model: FakeModel, predictor: Predictor, requests: Sequence[Any]) -> list[Any]:
    """Send one request, then the others while its run is on; return all outcomes."""
    first = asyncio.ensure_future(predictor.infer(row(0), Timing()))
    await asyncio.to_thread(model.began.acquire)
    others = [asyncio.ensure_future(predictor.infer(each, Timing())) for each in requests]
    await asyncio.sleep(0)  # they are all in the queue now
    model.go.set()
    return (await asyncio.gather(first, *others, return_exceptions=True))[1:]


async def test_each_request_gets_its_own_rows_of_a_shared_run() -> None:
    model = FakeModel(held=True)
    async with predicting(model) as predictor:
        answers = await while_held(model, predictor, [row(1), row(2, rows=2), row(3)])
    assert [each["y"].tolist() for each in answers] == [[[2] * 3], [[4] * 3] * 2, [[6] * 3]]
    assert len(model.runs) == 2


async def test_the_guilty_request_of_a_batch_fails_alone() -> None:
    model = FakeModel(held=True)
    model.poison = 2
    async with predicting(model) as predictor:
        answers = await while_held(model, predictor, [row(1), row(2), row(3)])
    assert isinstance(answers[1], InferenceFailed)
    assert [answers[i]["y"][0, 0] for i in (0, 2)] == [2, 6]


async def test_a_model_without_a_batch_dimension_runs_each_request_alone() -> None:
    model = FakeModel(held=True)
    model.signature = Signature(
        (TensorSpec("x", "FP32", ("n", 3)),), (TensorSpec("y", "FP32", (None, 3)),)
    )
    async with predicting(model) as predictor:
        answers = await while_held(model, predictor, [row(1, rows=5), row(2)])
    assert [each["y"][0, 0] for each in answers] == [2, 4]
    assert len(model.runs) == 3


async def test_more_rows_than_a_run_takes_are_refused() -> None:
    async with predicting(FakeModel()) as predictor:
        with pytest.raises(BatchTooLarge):
            await predictor.infer(row(1, rows=5), Timing())


async def test_in_place_what_arrives_at_once_is_one_run() -> None:
    model = FakeModel()
    async with predicting(model, in_place=True) as predictor:
        requests = [predictor.infer(row(i, rows=i), Timing()) for i in (1, 2)]
        answers = await asyncio.gather(*requests)
    assert [each["y"].tolist() for each in answers] == [[[2] * 3], [[4] * 3] * 2]
    assert model.runs == [[[1] * 3, [2] * 3, [2] * 3]]


async def test_in_place_a_model_without_a_batch_dimension_runs_each_request_alone() -> None:
    model = FakeModel()
    async with predicting(model, in_place=True, batches=False) as predictor:
        requests = [predictor.infer(row(i, rows=5), Timing()) for i in (1, 2)]
        answers = await asyncio.gather(*requests)
    assert [each["y"][0, 0] for each in answers] == [2, 4]
    assert [len(run) for run in model.runs] == [5, 5]


async def test_rows_of_different_sizes_never_share_a_run() -> None:
    model = FakeModel()
    shape = ("batch", "width")
    model.signature = Signature(
        (TensorSpec("x", "FP32", shape),), (TensorSpec("y", "FP32", shape),)
    )
    widths = (3, 2, 3)
    async with predicting(model, in_place=True) as predictor:
        inputs = [{"x": np.ones((1, width), np.float32)} for width in widths]
        answers = await asyncio.gather(*(predictor.infer(each, Timing()) for each in inputs))
    assert [each["y"].shape for each in answers] == [(1, width) for width in widths]
    assert [len(run) for run in model.runs] == [2, 1]


async def test_a_batch_is_padded_to_a_bucket() -> None:
    model = FakeModel()
    async with predicting(model, buckets=(1, 4)) as predictor:
        answer = await predictor.infer(row(1, rows=2), Timing())
    assert len(answer["y"]) == 2
    assert [len(run) for run in model.runs] == [4]


@pytest.mark.parametrize("in_place", [True, False])
async def test_the_seconds_in_queue_and_run_are_written_down(in_place: bool) -> None:
    timing = Timing()
    async with predicting(FakeModel(), in_place=in_place) as predictor:
        await predictor.infer(row(1), timing)
    assert timing.queue_s > 0
    assert timing.infer_s > 0
    assert timing.decode_s == 0


async def test_the_deadline_is_the_requests_own_where_that_is_sooner() -> None:
    async with predicting(FakeModel(), timeout_s=10) as predictor:
        now = asyncio.get_running_loop().time()
        assert predictor.deadline() - now == pytest.approx(10, abs=1)
        assert predictor.deadline(5) - now == pytest.approx(5, abs=1)
        assert predictor.deadline(3600) - now == pytest.approx(10, abs=1)


async def test_a_request_that_waits_past_its_time_costs_no_run() -> None:
    model = FakeModel(held=True)
    async with predicting(model) as predictor:
        first = asyncio.ensure_future(predictor.infer(row(0), Timing()))
        await asyncio.to_thread(model.began.acquire)
        with pytest.raises(DeadlineExceeded):
            await predictor.infer(row(1), Timing(), deadline=asyncio.get_running_loop().time())
        model.go.set()
        await first
    assert len(model.runs) == 1


async def test_inputs_of_different_rows_are_refused() -> None:
    model = FakeModel()
    specs = tuple(TensorSpec(name, "FP32", ("batch", 3)) for name in ("x", "z"))
    model.signature = Signature(specs, (TensorSpec("y", "FP32", ("batch", 3)),))
    async with predicting(model) as predictor:
        with pytest.raises(InvalidTensor, match=r"different numbers of rows: \[1, 2\]"):
            await predictor.infer(row(1) | {"z": np.zeros((2, 3), np.float32)}, Timing())


async def test_an_image_for_a_model_of_tensors_is_refused_with_the_way_out() -> None:
    async with predicting(FakeModel()) as predictor:
        with pytest.raises(ModelTakesNoImages, match="use its /v2 infer endpoint"):
            await predictor.classify(b"image", 5, Timing())


@pytest.fixture
def brightness(tmp_path: Path) -> Model:
    path = zoo.put(tmp_path, "m", 1, zoo.brightness_classifier())
    return open_model(path, RunOptions("cpu", intra_op_threads=1))


async def test_an_image_becomes_ranked_labels_and_each_stage_is_timed(brightness: Model) -> None:
    timing = Timing()
    async with predicting(brightness) as predictor:
        ranked = await predictor.classify(grey(255), 2, timing)
    assert [each.label for each in ranked] == ["bright", "grey"]
    assert all(seconds > 0 for seconds in (timing.decode_s, timing.queue_s, timing.infer_s))


@pytest.mark.parametrize("levels", [(255,), (0, 100, 255, 7)])
async def test_images_become_rows_in_their_order(
    brightness: Model, levels: tuple[int, ...]
) -> None:
    timing = Timing()
    async with predicting(brightness, decoders=2) as predictor:
        images = [grey(level) for level in levels]
        tensors = await predictor.image_tensors(images, timing, predictor.deadline())
    assert tensors["input"].shape == (len(levels), 1, 4, 4)
    assert tensors["input"][:, 0, 0, 0].tolist() == list(levels)
    assert timing.decode_s > 0


async def test_a_small_image_is_decoded_where_it_arrives(brightness: Model) -> None:
    async with predicting(brightness) as predictor:
        tensors = predictor.image_tensors([grey(9)], Timing(), predictor.deadline())
        with pytest.raises(StopIteration) as done:
            tensors.send(None)  # a coroutine that waits for nothing
    assert done.value.value["input"].max() == 9


@pytest.mark.parametrize(
    "data", [grey(9) + bytes(5000), grey(9, (9, 600))], ids=["bytes", "pixels"]
)
async def test_a_larger_image_is_not_decoded_on_the_event_loop(
    brightness: Model, data: bytes
) -> None:
    async with predicting(brightness, max_image_pixels=10_000) as predictor:
        decode = predictor.image_tensors([data], Timing(), predictor.deadline())
        task = asyncio.ensure_future(decode)
        await asyncio.sleep(0)
        assert not task.done()
        assert (await task)["input"].max() == 9


@pytest.mark.parametrize("scaled", [False, True])
async def test_a_large_photograph_is_decoded_smaller_where_that_is_chosen(
    brightness: Model, scaled: bool
) -> None:
    rng = np.random.default_rng(0)
    photo = Image.fromarray(rng.integers(0, 256, (64, 64), np.uint8), "L")
    data = encoded(photo.resize((512, 512)), "JPEG")
    assert brightness.manifest is not None
    assert brightness.manifest.image is not None
    exact = image_tensor(data, brightness.manifest.image, 512 * 512)
    choices = {"max_image_pixels": 512 * 512, "scaled_decoding": scaled}
    async with predicting(brightness, **choices) as predictor:
        tensors = await predictor.image_tensors([data], Timing(), predictor.deadline())
    assert np.array_equal(tensors["input"][0], exact) != scaled
    assert np.abs(tensors["input"][0] - exact).max() <= 2


@pytest.mark.parametrize("batches", [True, False])
async def test_more_images_than_a_run_takes_are_refused_before_they_are_decoded(
    brightness: Model, batches: bool
) -> None:
    async with predicting(brightness, batches=batches) as predictor:
        with pytest.raises(BatchTooLarge, match="5 images, a run takes 4"):
            await predictor.image_tensors([b"no image"] * 5, Timing(), predictor.deadline())


async def test_the_time_of_images_is_added_to_that_of_their_request(brightness: Model) -> None:
    timing = Timing()
    timing.decode_s = 5.0
    async with predicting(brightness) as predictor:
        await predictor.image_tensors([grey(0)], timing, predictor.deadline())
    assert timing.decode_s > 5.0


async def test_one_bad_image_of_several_fails_the_request(brightness: Model) -> None:
    async with predicting(brightness) as predictor:
        images = [grey(0), b"no image", grey(255)]
        with pytest.raises(UnsupportedImage):
            await predictor.image_tensors(images, Timing(), predictor.deadline())
        again = await predictor.image_tensors([grey(0)] * 4, Timing(), predictor.deadline())
    assert len(again["input"]) == 4, "the images that were given up left their places"


async def test_after_the_close_a_call_fails_and_does_not_hang() -> None:
    async with predicting(FakeModel()) as predictor:
        assert await predictor.close(PATIENCE_S) is True
        with pytest.raises(ShuttingDown):
            await predictor.infer(row(1), Timing())


async def test_a_run_that_outlasts_the_grace_time_is_ended() -> None:
    model = FakeModel(held=True)
    async with predicting(model) as predictor:
        task = asyncio.ensure_future(predictor.infer(row(1), Timing()))
        await asyncio.to_thread(model.began.acquire)
        assert await predictor.close(0) is False
        with pytest.raises(ShuttingDown):
            await task
    assert model.terminated
