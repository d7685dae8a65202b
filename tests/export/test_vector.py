"""An artifact carries an input, as a seed, and what it makes of it."""

import json
import math
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnx_ir as ir
import pytest

from export import lock, manifest, vector
from export.artifact import Place
from export.errors import ArtifactError
from export.pipeline import Built, ParityOptions, build
from export.sources.options import SourceOptions
from export.verify import Parity
from service.errors import ModelLoadError
from service.inference.loading import load
from service.inference.model import RunOptions, open_model
from service.inference.parity import check_parity
from service.settings import Settings
from tests.export.graphs import bn, model, norm, normal

pytestmark = pytest.mark.slow

SMALL = "tests.export.networks:small"
FEW = ParityOptions(samples=2, seed=7)
OPTIONS = RunOptions("cpu", intra_op_threads=1)


def built_of(tmp_path: Path, text: str, arrays: dict[str, Any], inputs: str, outputs: str) -> Built:
    path = tmp_path / "m.onnx"
    onnx.save(model(text, arrays, inputs=inputs, outputs=outputs), path)
    return build(str(path), Place(tmp_path / "models", "m", 1), parity=FEW, allow_unfolded=True)


@pytest.fixture
def small(tmp_path: Path) -> Built:
    options = SourceOptions(input_shape=(3, 8, 8))
    return build(SMALL, Place(tmp_path / "models", "m", 1), options, FEW)


def served(built: Built) -> bool:
    return check_parity(open_model(built.path, OPTIONS))


def test_the_service_makes_the_same_input_and_finds_the_same_output(small: Built) -> None:
    stated = small.manifest["vector"]
    assert stated["seed"] == 7
    (given,) = stated["inputs"]
    assert (given["shape"], given["low"], given["high"]) == ([1, 3, 8, 8], -2.0, 2.0)
    assert stated["tolerance"] == {"cpu": 1e-3, "cuda": 2e-2}
    assert served(small)


def tampered(built: Built, change: Any) -> Path:
    """Change an artifact's graph and let the lock say that it is right."""
    proto = onnx.load(built.path)
    change(proto)
    onnx.save(proto, built.path)
    lock.lock(built.path.parents[2])
    return built.path


def scaled_weight(proto: onnx.ModelProto) -> None:
    weights = [one for one in proto.graph.initializer if len(one.dims) == 4]
    array = onnx.numpy_helper.to_array(weights[0]) * np.float32(1.1)
    weights[0].CopyFrom(onnx.numpy_helper.from_array(array, weights[0].name))


def wrong_vector(proto: onnx.ModelProto) -> None:
    (entry,) = (one for one in proto.metadata_props if one.key == manifest.KEY)
    stated = json.loads(entry.value)
    output = stated["vector"]["outputs"][0]
    output["values"][-1] += 0.01 * output["scale"]
    entry.value = json.dumps(stated)


@pytest.mark.parametrize("change", [scaled_weight, wrong_vector])
def test_what_computes_something_else_is_refused_with_the_right_hash(
    small: Built, change: Any
) -> None:
    """What computes something else is refused, though its hash is the lock's."""
    settings = Settings(require_lock=True)
    assert load(small.path, OPTIONS, settings, open_model).batches
    path = tampered(small, change)
    assert lock.differences(path.parents[2]) == []
    with pytest.raises(ModelLoadError, match="does not compute on this machine"):
        load(path, OPTIONS, settings, open_model)
    with pytest.raises(ModelLoadError, match="does not compute on this machine"):
        load(path, OPTIONS, Settings(warm_up=False), open_model)


def test_a_fixed_batch_is_run_whole(tmp_path: Path) -> None:
    text = f"c = Conv(x, w) {bn('c')}"
    arrays = {"w": normal(4, 3, 1, 1, dtype=np.float32), **norm(4, dtype=np.float32)}
    built = built_of(tmp_path, text, arrays, "float[5,3,4,4] x", "float[5,4,4,4] y")
    (output,) = built.manifest["vector"]["outputs"]
    assert output["shape"] == [5, 4, 4, 4]
    assert len(output["values"]) == vector.MOST_VALUES
    assert served(built)


def test_several_inputs_and_outputs_of_several_types(tmp_path: Path) -> None:
    text = "s = Add(a, b) w = Cast<to=1>(i) y = Add(s, w) k = ArgMax<axis=1>(s)"
    built = built_of(
        tmp_path,
        text,
        {},
        "float[n,3] a, float[n,3] b, uint8[n,3] i",
        "float[n,3] y, int64[n,1] k",
    )
    stated = built.manifest["vector"]
    assert [one["high"] for one in stated["inputs"]] == [2.0, 2.0, 1.0]
    assert [one["name"] for one in stated["outputs"]] == ["y", "k"]
    (number,) = stated["outputs"][1]["values"]
    assert type(number) is int
    assert served(built)


def test_an_output_that_is_no_number_is_stated(small: Built) -> None:
    """The bytes of a manifest are JSON, which has no infinity."""
    text = "y = Log(x)"
    one = ir.from_proto(model(text, {}, inputs="float[n,3,8,8] x", outputs="float[n,3,8,8] y"))
    measured = small.manifest["parity"]
    stated = vector.compose(one, small.original, Parity(**measured))
    values = stated["outputs"][0]["values"]
    assert "nan" in values
    assert any(isinstance(value, float) and math.isfinite(value) for value in values)
    json.dumps(stated, allow_nan=False)


def test_narrow_numbers_have_a_wider_tolerance(tmp_path: Path) -> None:
    arrays = {"w": normal(4, 3, dtype=np.float16)}
    built = built_of(
        tmp_path, "y = Gemm<transB=1>(x, w)", arrays, "float16[n,3] x", "float16[n,4] y"
    )
    tolerance = built.manifest["vector"]["tolerance"]
    assert tolerance["cpu"] >= vector.ON_CPU["fp16"]
    assert tolerance["cuda"] >= vector.ON_CUDA["fp16"]
    assert served(built)


def test_a_manifest_that_no_service_would_read_is_not_written(small: Built) -> None:
    one = ir.from_proto(model("y = Relu(x)", {}, inputs="float[n] x", outputs="float[n] y"))
    with pytest.raises(ArtifactError, match="more than 4194304"):
        manifest.attach(one, small.manifest | {"name": "x" * manifest.LONGEST})
    one.metadata_props[manifest.KEY] = " " * (manifest.LONGEST + 1)
    with pytest.raises(ArtifactError, match="longer than 4194304"):
        manifest.read(one)


def test_a_lock_that_no_service_would_read_is_not_read(tmp_path: Path) -> None:
    (tmp_path / lock.LOCK_FILE).write_bytes(b" " * (lock.LARGEST + 1))
    with pytest.raises(ArtifactError, match="writes the lock anew"):
        lock.differences(tmp_path)
