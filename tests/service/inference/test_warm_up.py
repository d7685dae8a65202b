"""What the first runs of a model tell about it."""

from pathlib import Path
from typing import Any

import httpx
import onnx
import pytest
from onnx import TensorProto, helper

from service.artifact.signature import Signature, TensorSpec
from service.errors import InferenceFailed, ModelLoadError
from service.inference.model import RunOptions, open_model
from service.inference.warm_up import FirstRuns, keeps_rows_apart, warm_up
from tests.service import zoo
from tests.service.apps import serving
from tests.service.fakes import FakeModel


class Clocked(FakeModel):
    """Takes as many seconds for a run as it is told, by a clock of its own."""

    def __init__(self, row_s: float = 0.0, run_s: float = 0.0) -> None:
        super().__init__()
        self.now = 0.0
        self.row_s = row_s
        self.run_s = run_s

    def run(self, inputs: Any) -> Any:
        self.now += self.run_s + self.row_s * len(inputs["x"])
        return super().run(inputs)

    def clock(self) -> float:
        return self.now


def sizes(model: FakeModel) -> set[int]:
    return {len(rows) for rows in model.runs}


def test_warm_up_begins_with_a_run_on_zeros() -> None:
    model = FakeModel()
    warm_up(model, max_batch_size=4)
    assert model.runs[0] == [[0, 0, 0]]


def test_warm_up_runs_one_row_and_the_largest_batch() -> None:
    model = FakeModel()
    warm_up(model, max_batch_size=7)
    assert sizes(model) >= {1, 7}


class Wide(FakeModel):
    """Takes rows of a size of its own, and would run on them."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.signature = Signature(
            (TensorSpec("x", "FP32", ("batch", width)),), (TensorSpec("y", "FP32", ("batch", 3)),)
        )


def test_no_input_is_made_that_takes_the_memory() -> None:
    model = Wide(2**45)
    with pytest.raises(ModelLoadError, match="one row of the inputs has 35184372088832 numbers"):
        warm_up(model, max_batch_size=1)
    assert model.runs == []


def test_the_largest_batch_is_not_tried_where_it_would_take_the_memory() -> None:
    model = Wide(2**10)
    told = warm_up(model, max_batch_size=2**18)  # a gigabyte
    assert max(sizes(model)) == 2
    assert (told.batches, told.in_place, told.batch_s) == (True, False, None)


def test_warm_up_runs_every_bucket_however_slow() -> None:
    model = Clocked(row_s=1.0)
    told = warm_up(model, 16, (1, 4, 16), model.clock)
    assert sizes(model) >= {1, 4, 16}
    assert told.batch_s == pytest.approx(16)


def test_the_start_does_not_wait_for_the_largest_batch_of_a_slow_model() -> None:
    model = Clocked(row_s=0.05)
    told = warm_up(model, 32, clock=model.clock)
    assert 32 not in sizes(model)
    assert told.row_s == pytest.approx(0.05)
    assert told.batch_s is None
    assert not told.in_place
    assert model.now < 0.5


@pytest.mark.parametrize(
    ("row_s", "run_s", "in_place"),
    [
        pytest.param(0.1e-3, 0.0, True, id="both short"),
        pytest.param(0.0, 0.29e-3, True, id="a row just short enough"),
        pytest.param(0.0, 0.31e-3, False, id="a row too long"),
        pytest.param(0.15e-3, 0.1e-3, True, id="a batch just short enough"),
        pytest.param(0.16e-3, 0.0, False, id="a batch too long"),
    ],
)
def test_a_model_runs_in_place_if_a_row_and_the_largest_batch_are_short(
    row_s: float, run_s: float, in_place: bool
) -> None:
    model = Clocked(row_s, run_s)
    told = warm_up(model, 32, clock=model.clock)
    assert told.batches
    assert told.in_place is in_place
    assert told.row_s == pytest.approx(row_s + run_s)
    assert told.batch_s == pytest.approx(32 * row_s + run_s)


def test_a_run_that_was_disturbed_decides_nothing() -> None:
    class Disturbed(Clocked):
        def run(self, inputs: Any) -> Any:
            self.now += 0.004 * (len(self.runs) % 2)
            return super().run(inputs)

    model = Disturbed(row_s=0.1e-3)
    assert warm_up(model, 32, clock=model.clock).in_place


def test_a_process_that_was_held_for_a_while_decides_nothing_either() -> None:
    class Held(Clocked):
        def run(self, inputs: Any) -> Any:
            sizes_before = [len(rows) for rows in self.runs]
            if sizes_before.count(32) in (1, 2):  # the first two that are timed
                self.now += 0.2
            return super().run(inputs)

    model = Held(row_s=0.1e-3)
    assert warm_up(model, 32, clock=model.clock).in_place


@pytest.mark.parametrize(
    ("shape", "in_place"),
    [((2, 3), True), (("n", 3), False)],
    ids=["all sizes fixed", "any number of rows"],
)
def test_an_unbatched_model_runs_in_place_only_if_no_run_can_be_longer(
    shape: tuple[int | str, ...], in_place: bool
) -> None:
    class Mixing(FakeModel):
        def run(self, inputs: Any) -> Any:
            return {"y": super().run(inputs)["y"] - inputs["x"].mean(axis=0)}

    model = Mixing()
    model.signature = Signature(
        (TensorSpec("x", "FP32", shape),), (TensorSpec("y", "FP32", shape),)
    )
    told = warm_up(model, 32)
    assert not told.batches
    assert told.in_place is in_place
    assert told.row_s is not None


@pytest.mark.parametrize("shape", [("n", "width"), ("n",)])
def test_warm_up_leaves_a_model_whose_sizes_are_open(shape: tuple[str, ...]) -> None:
    model = FakeModel()
    model.signature = Signature(
        (TensorSpec("x", "FP32", shape),), (TensorSpec("y", "FP32", (2, *shape)),)
    )
    assert warm_up(model, 32) == FirstRuns(batches=False)
    assert model.runs == []


def test_a_model_that_fails_its_first_run_is_not_served() -> None:
    model = FakeModel()
    model.poison = 0
    with pytest.raises(ModelLoadError, match="fails on its first run"):
        warm_up(model, 32)


@pytest.mark.parametrize("shape", [("n", 3), (2, 3)])
def test_a_model_that_takes_zeros_alone_is_served_unbatched(shape: tuple[int | str, ...]) -> None:
    class Narrow(FakeModel):
        def run(self, inputs: Any) -> Any:
            if inputs["x"].any():
                raise InferenceFailed("an index that is too large")
            return super().run(inputs)

    model = Narrow()
    model.signature = Signature(
        (TensorSpec("x", "FP32", shape),), (TensorSpec("y", "FP32", shape),)
    )
    assert warm_up(model, 32) == FirstRuns(batches=False)


def test_a_model_that_does_not_take_the_largest_batch_is_served_unbatched() -> None:
    class Small(FakeModel):
        def run(self, inputs: Any) -> Any:
            if len(inputs["x"]) > 2:
                raise InferenceFailed("too many rows")
            return super().run(inputs)

    assert warm_up(Small(), 32) == FirstRuns(batches=False)


def softmax(axis: int) -> onnx.ModelProto:
    node = helper.make_node("Softmax", ["x"], ["y"], axis=axis)
    return zoo.graph_model([node], [zoo.info("x", ("batch", 3))], [zoo.info("y", ("batch", 3))])


def minus_the_mean_row(kind: int) -> onnx.ModelProto:
    return zoo.graph_model(
        [
            helper.make_node("ReduceMean", ["x"], ["mean"], axes=[0], keepdims=1),
            helper.make_node("Sub", ["x", "mean"], ["y"]),
        ],
        [zoo.info("x", ("batch", 3), kind)],
        [zoo.info("y", ("batch", 3), kind)],
    )


@pytest.mark.parametrize(
    ("model", "apart"),
    [
        pytest.param(softmax(axis=1), True, id="softmax of each row"),
        pytest.param(softmax(axis=0), False, id="softmax across rows"),
        pytest.param(minus_the_mean_row(zoo.FLOAT), False, id="the mean of all rows"),
        pytest.param(minus_the_mean_row(TensorProto.INT64), False, id="the same in whole numbers"),
        pytest.param(zoo.brightness_classifier(), True, id="an image classifier"),
        pytest.param(zoo.two_in_two_out(), True, id="several inputs"),
        pytest.param(zoo.logarithm(), True, id="infinite answers"),
        pytest.param(zoo.doubler(TensorProto.FLOAT16), True, id="half precision"),
        pytest.param(zoo.doubler(TensorProto.INT32), True, id="whole numbers"),
        pytest.param(zoo.identity(TensorProto.STRING), True, id="strings"),
        pytest.param(zoo.doubler(shape=("batch", "width")), True, id="open sizes"),
    ],
)
def test_two_rows_together_tell_whether_requests_may_share_a_run(
    tmp_path: Path, model: onnx.ModelProto, apart: bool
) -> None:
    opened = open_model(zoo.put(tmp_path, "m", 1, model), RunOptions("cpu", 1))
    assert opened.signature.batches
    assert keeps_rows_apart(opened) is apart


def test_a_model_that_loses_rows_does_not_keep_them_apart() -> None:
    class Forgetful(FakeModel):
        def run(self, inputs: Any) -> Any:
            return {"y": super().run(inputs)["y"][:1]}

    assert not keeps_rows_apart(Forgetful())


def test_a_model_that_runs_one_row_alone_does_not_keep_rows_apart() -> None:
    class Lonely(FakeModel):
        def run(self, inputs: Any) -> Any:
            if len(inputs["x"]) > 1:
                raise InferenceFailed("a size of one is built in")
            return super().run(inputs)

    assert not keeps_rows_apart(Lonely())


@pytest.mark.anyio
@pytest.mark.parametrize(("warm", "batched"), [(True, False), (False, True)])
async def test_a_model_that_mixes_rows_is_served_unbatched(
    tmp_path: Path, warm: bool, batched: bool
) -> None:
    zoo.put(tmp_path, "mixer", 1, softmax(axis=0))
    async with serving(tmp_path, warm_up=warm) as client:
        detail: httpx.Response = await client.get("/models/mixer")
    assert detail.json()["versions"][0]["batched"] is batched
