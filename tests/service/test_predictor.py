"""One served model, without HTTP."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import Any

import numpy as np
import pytest

from service.batching import Limits
from service.decoding import Decoder
from service.errors import (
    BatchTooLarge,
    DeadlineExceeded,
    InferenceFailed,
    InvalidTensor,
    ModelTakesNoImages,
    ShuttingDown,
)
from service.metrics import Metrics
from service.predictor import Predictor, run_together
from service.signature import Signature, TensorSpec
from tests.service.fakes import PATIENCE_S, FakeModel

pytestmark = pytest.mark.anyio


def row(value: float, rows: int = 1) -> dict[str, Any]:
    return {"x": np.full((rows, 3), value, np.float32)}


@asynccontextmanager
async def predicting(model: Any, timeout_s: float = PATIENCE_S) -> AsyncIterator[Predictor]:
    decoder = Decoder(threads=1, max_pending=1)
    limits = Limits(max_batch_size=4, max_queue_size=8)
    predictor = Predictor(
        model,
        decoder,
        limits,
        Metrics().model("m", "1"),
        request_timeout_s=timeout_s,
        max_image_pixels=1,
        batches=model.signature.batches,
    )
    try:
        yield predictor
    finally:
        await predictor.close(PATIENCE_S)
        decoder.close()


async def while_held(model: FakeModel, predictor: Predictor, requests: Sequence[Any]) -> list[Any]:
    """Send one request, then the others while its run is on; return all outcomes."""
    first = asyncio.ensure_future(predictor.infer(row(0)))
    await asyncio.to_thread(model.began.acquire)
    others = [asyncio.ensure_future(predictor.infer(each)) for each in requests]
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
            await predictor.infer(row(1, rows=5))


async def test_a_request_that_waits_past_its_time_costs_no_run() -> None:
    model = FakeModel(held=True)
    async with predicting(model) as predictor:
        first = asyncio.ensure_future(predictor.infer(row(0)))
        await asyncio.to_thread(model.began.acquire)
        with pytest.raises(DeadlineExceeded):
            await predictor.infer(row(1), deadline=asyncio.get_running_loop().time())
        model.go.set()
        await first
    assert len(model.runs) == 1


async def test_inputs_of_different_rows_are_refused() -> None:
    model = FakeModel()
    specs = tuple(TensorSpec(name, "FP32", ("batch", 3)) for name in ("x", "z"))
    model.signature = Signature(specs, (TensorSpec("y", "FP32", ("batch", 3)),))
    async with predicting(model) as predictor:
        with pytest.raises(InvalidTensor, match=r"different numbers of rows: \[1, 2\]"):
            await predictor.infer(row(1) | {"z": np.zeros((2, 3), np.float32)})


async def test_an_image_for_a_model_of_tensors_is_refused_with_the_way_out() -> None:
    async with predicting(FakeModel()) as predictor:
        with pytest.raises(ModelTakesNoImages, match="use its /v2 infer endpoint"):
            await predictor.classify(b"image", 5)


async def test_after_the_close_a_call_fails_and_does_not_hang() -> None:
    async with predicting(FakeModel()) as predictor:
        assert await predictor.close(PATIENCE_S) is True
        with pytest.raises(ShuttingDown):
            await predictor.infer(row(1))


async def test_a_run_that_outlasts_the_grace_time_is_ended() -> None:
    model = FakeModel(held=True)
    async with predicting(model) as predictor:
        task = asyncio.ensure_future(predictor.infer(row(1)))
        await asyncio.to_thread(model.began.acquire)
        assert await predictor.close(0) is False
        with pytest.raises(ShuttingDown):
            await task
    assert model.terminated


def test_a_model_that_loses_rows_is_found_out_before_anyone_gets_anothers() -> None:
    class Forgetful(FakeModel):
        def run(self, inputs: Any) -> Any:
            return {"y": super().run(inputs)["y"][1:]}

    with pytest.raises(InferenceFailed, match="a row for each row"):
        run_together(Forgetful(), [row(1), row(2)])
