"""Rows of several requests in one run, and what each request gets back."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from service.artifact.signature import Signature, TensorSpec
from service.errors import InferenceFailed
from service.inference.assembly import run_together
from service.inference.model import RunOptions, open_model
from tests.service import zoo
from tests.service.fakes import FakeModel


def row(value: float, rows: int = 1) -> dict[str, Any]:
    return {"x": np.full((rows, 3), value, np.float32)}


def first_numbers(answers: Any) -> list[list[float]]:
    return [each["y"][:, 0].tolist() for each in answers]


def test_each_request_gets_its_own_rows() -> None:
    model = FakeModel()
    answers = run_together(model, [row(1), row(2, rows=2), row(7, rows=0), row(3)])
    assert first_numbers(answers) == [[2], [4, 4], [], [6]]
    assert model.runs == [[[1] * 3, [2] * 3, [2] * 3, [3] * 3]]


def test_a_lone_request_is_run_without_a_copy() -> None:
    seen: list[Any] = []

    class Watchful(FakeModel):
        def run(self, inputs: Any) -> Any:
            seen.append(inputs["x"])
            return super().run(inputs)

    request = row(1, rows=4)
    run_together(Watchful(), [request])
    run_together(Watchful(), [request], buckets=(2, 4))
    assert all(each is request["x"] for each in seen)


def test_every_input_is_joined_and_every_output_split(tmp_path: Path) -> None:
    path = zoo.put(tmp_path, "m", 1, zoo.two_in_two_out())
    model = open_model(path, RunOptions("cpu", intra_op_threads=1))
    requests = [
        {"a": np.full((n, 2), n, np.float32), "b": np.ones((n, 2), np.float32)} for n in (1, 2)
    ]
    answers = run_together(model, requests, buckets=(4,))
    assert [each["sum"].tolist() for each in answers] == [[[2] * 2], [[3] * 2] * 2]
    assert [each["difference"].tolist() for each in answers] == [[[0] * 2], [[1] * 2] * 2]


@pytest.mark.parametrize(
    ("rows", "ran"), [((1,), 1), ((1, 1), 4), ((4,), 4), ((3, 2), 8), ((2, 0, 1), 4), ((3, 0), 4)]
)
def test_a_batch_is_padded_to_the_next_bucket_with_its_last_row(
    rows: tuple[int, ...], ran: int
) -> None:
    model = FakeModel()
    requests = [row(i + 1, rows=n) for i, n in enumerate(rows)]
    answers = run_together(model, requests, buckets=(1, 4, 8))
    assert first_numbers(answers) == [[2 * (i + 1)] * n for i, n in enumerate(rows)]
    (run,) = model.runs
    real = [[i + 1] * 3 for i, n in enumerate(rows) for _ in range(n)]
    assert run == real + [real[-1]] * (ran - len(real))


def test_requests_without_rows_are_not_padded() -> None:
    model = FakeModel()
    answers = run_together(model, [row(1, rows=0), row(2, rows=0)], buckets=(4,))
    assert [each["y"].shape for each in answers] == [(0, 3), (0, 3)]


@pytest.mark.parametrize("buckets", [(), (4,)])
def test_a_model_that_loses_rows_is_found_out_before_anyone_gets_anothers(
    buckets: tuple[int, ...],
) -> None:
    class Forgetful(FakeModel):
        def run(self, inputs: Any) -> Any:
            return {"y": super().run(inputs)["y"][1:]}

    with pytest.raises(InferenceFailed, match="a row for each row"):
        run_together(Forgetful(), [row(1), row(2)], buckets)


def test_an_output_without_rows_is_found_out() -> None:
    class Summing(FakeModel):
        def run(self, inputs: Any) -> Any:
            return {"y": super().run(inputs)["y"].sum()}

    model = Summing()
    model.signature = Signature(
        (TensorSpec("x", "FP32", ("n", 3)),), (TensorSpec("y", "FP32", ("n",)),)
    )
    with pytest.raises(InferenceFailed, match="a row for each row"):
        run_together(model, [row(1), row(2)])
