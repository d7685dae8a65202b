from typing import Any

import numpy as np
import onnx
import onnxruntime  # type: ignore[import-untyped]  # it has no types
import pytest

from benchmarks.faults.model import network, poisoned, provide

FEW = 2  # convolutions
# Of sums of some hundred float32 products of ordinary size, in other orders in a batch.
ROUNDING = 1e-4


@pytest.fixture(scope="module")
def session():
    model = network(FEW)
    onnx.checker.check_model(model, full_check=True)
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 4  # the run that fails says so, and is meant to
    return onnxruntime.InferenceSession(model.SerializeToString(), options)


@pytest.fixture
def inputs():
    return np.random.default_rng(0).integers(0, 256, (4, 1, 8, 8)).astype(np.float32)


def run(session: Any, batch: Any) -> Any:
    return session.run(None, {"x": batch})[0]


def test_rows_have_the_same_answers_together_as_alone(session, inputs):
    alone = np.concatenate([run(session, inputs[row : row + 1]) for row in range(4)])
    np.testing.assert_allclose(run(session, inputs), alone, rtol=ROUNDING, atol=ROUNDING)
    assert np.ptp(alone, axis=0).min() > 100 * ROUNDING  # a mix-up would be seen


def test_one_poisonous_row_fails_the_run_of_all(session, inputs):
    inputs[2] = poisoned(inputs[2])
    with pytest.raises(Exception, match="out of data bounds"):
        run(session, inputs)
    assert run(session, np.delete(inputs, 2, axis=0)).shape == (3, 10)


def test_what_is_there_is_taken(tmp_path):
    path = tmp_path / "fragile" / "fragile" / "1" / "model.onnx"
    path.parent.mkdir(parents=True)
    onnx.save(network(FEW), path)
    before = path.read_bytes()
    served = provide(tmp_path)
    assert served.path == path
    assert (served.input, served.shape) == ("x", (1, 8, 8))
    assert path.read_bytes() == before
