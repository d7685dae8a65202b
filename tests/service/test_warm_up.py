"""What the first runs of a model tell about it."""

from pathlib import Path
from typing import Any

import httpx
import onnx
import pytest
from onnx import TensorProto, helper

from service.errors import InferenceFailed, ModelLoadError
from service.model import RunOptions, open_model
from service.signature import Signature, TensorSpec
from service.warm_up import keeps_rows_apart, warm_up
from tests.service import zoo
from tests.service.apps import serving
from tests.service.fakes import FakeModel


def test_warm_up_runs_once_on_zeros() -> None:
    model = FakeModel()
    warm_up(model)
    assert model.runs == [[[0, 0, 0]]]


@pytest.mark.parametrize("shape", [("n", "width"), ("n",)])
def test_warm_up_leaves_a_model_whose_sizes_are_open(shape: tuple[str, ...]) -> None:
    model = FakeModel()
    model.signature = Signature(
        (TensorSpec("x", "FP32", shape),), (TensorSpec("y", "FP32", (2, *shape)),)
    )
    warm_up(model)
    assert model.runs == []


def test_a_model_that_fails_its_first_run_is_not_served() -> None:
    model = FakeModel()
    model.poison = 0
    with pytest.raises(ModelLoadError, match="fails on its first run"):
        warm_up(model)


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
