"""The whole step in the pipeline: what is written, what is stated, and what is refused."""

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnx_ir as ir
import pytest

from export import manifest, pipeline
from export.artifact import Place
from export.errors import PrecisionError, UsageError
from export.pipeline import Built, ParityOptions
from export.precision import PrecisionOptions
from export.precision.options import options_of
from export.precision.reduction import reduce_precision
from export.sources.options import SourceOptions
from service.inference.model import RunOptions, open_model
from tests.export.graphs import bn, model, norm
from tests.export.precision.networks import (
    CLASSES,
    CLASSIFIER,
    IMAGE,
    graph,
    images,
    operators,
    original,
    weights,
)

NORMALIZED = CLASSIFIER.replace("r = Relu(c)", f"{bn('c', 'n')} r = Relu(n)")
ARRAYS = weights() | norm(6, dtype=np.float32)
KINDS = ("fp16", "int8")


@pytest.fixture
def source(tmp_path: Path) -> Path:
    """An ONNX file with a batch norm."""
    path = tmp_path / "m.onnx"
    proto = model(NORMALIZED, ARRAYS, inputs=IMAGE, outputs=f"float[batch,{CLASSES}] y")
    onnx.save(proto, path)
    return path


@pytest.fixture
def data(tmp_path: Path, source: Path) -> Path:
    """Samples it is sure of, labelled as the network itself does for all but a tenth."""
    x = images(600, seed=5)
    ranked = np.sort(_first(source, x), axis=1)
    x = x[np.argsort(ranked[:, -2] - ranked[:, -1])[:200]]
    y = np.asarray(_first(source, x).argmax(axis=1))
    y[::10] = (y[::10] + 1) % CLASSES
    np.savez(tmp_path / "mine.npz", calibration=images(64), held_out=x, targets=y)
    return tmp_path / "mine.npz"


def _first(path: Path, x: Any) -> Any:
    return open_model(path, RunOptions("cpu", intra_op_threads=1)).run({"x": x})["y"]


Build = Callable[..., Built]


@pytest.fixture
def build(source: Path, tmp_path: Path) -> Build:
    def built(kind: Any, **options: Any) -> Built:
        return pipeline.build(
            str(source),
            Place(tmp_path / "models", "m", 1),
            SourceOptions(),
            ParityOptions(samples=6),
            precision=PrecisionOptions(kind, **options),
        )

    return built


@pytest.mark.parametrize("kind", KINDS)
def test_the_manifest_states_what_it_cost_and_the_service_reads_it(
    kind: str, build: Build, data: Path
) -> None:
    built = build(kind, calibration=data)

    stated = built.manifest["precision"]
    assert list(stated) == [
        *("kind", "top1_agreement", "accuracy_before", "accuracy_after", "samples"),
        *("split", "calibration", "size_before", "size_after"),
    ]
    assert (stated["kind"], stated["samples"], stated["split"]) == (kind, 200, "mine.npz")
    assert stated["calibration"] == "64 inputs of mine.npz"
    assert stated["accuracy_before"] == pytest.approx(0.9)
    assert stated["accuracy_after"] == pytest.approx(0.9, abs=0.01)
    assert stated["top1_agreement"] >= 0.98
    assert built.reduced is not None
    assert stated["size_before"] == len(built.reduced.float32)
    assert 0 < stated["size_after"] < len(built.data)  # the file has the manifest besides
    served = open_model(built.path, RunOptions("cpu", intra_op_threads=1))
    assert served.manifest is not None
    assert served.run({"x": images(3)})["y"].shape == (3, CLASSES)


def test_the_accuracy_stated_is_that_of_the_file_that_was_written(build: Build, data: Path) -> None:
    built = build("int8", calibration=data)

    samples = np.load(data)
    right = _first(built.path, samples["held_out"]).argmax(axis=1) == samples["targets"]
    assert built.manifest["precision"]["accuracy_after"] == right.mean()


def test_parity_is_that_of_the_float32_graph_before(build: Build, data: Path) -> None:
    narrow = build("int8", calibration=data)

    assert narrow.manifest["parity"]["max_rel_error"] < 1e-5
    assert narrow.manifest["fold"]["bn_after"] == 0
    with pytest.raises(UsageError, match="computes in int8"):
        pipeline.verify_again(narrow.path, str(narrow.path.parents[3] / "m.onnx"))
    measured = pipeline.verify_again(
        narrow.path,
        str(narrow.path.parents[3] / "m.onnx"),
        parity=ParityOptions(samples=6, tolerance=0.5),
    )
    assert measured.max_rel_error > 1e-4


@pytest.mark.parametrize("kind", KINDS)
def test_a_second_build_writes_the_same_bytes(
    kind: Any, source: Path, data: Path, tmp_path: Path
) -> None:
    first, second = (
        pipeline.build(
            str(source),
            Place(tmp_path / repository, "m", 1),
            precision=PrecisionOptions(kind, calibration=data),
        )
        for repository in ("one", "other")
    )

    assert first.data == second.data


def test_what_costs_too_much_is_refused_and_nothing_is_written(
    build: Build, data: Path, tmp_path: Path
) -> None:
    blind = tmp_path / "zeros.npy"
    np.save(blind, np.zeros((4, 3, 8, 8), np.float32))

    with pytest.raises(PrecisionError, match="points are more than the 1 allowed"):
        build("int8", calibration=blind, held_out=data)
    assert not (tmp_path / "models").exists()

    allowed = build("int8", calibration=blind, held_out=data, max_accuracy_drop=100.0)
    assert allowed.manifest["precision"]["accuracy_after"] < 0.8


def test_int8_without_data_is_refused_with_what_to_name(build: Build) -> None:
    with pytest.raises(UsageError, match=r"with --calibration \(training leaves"):
        build("int8")


def test_int8_is_not_calibrated_on_the_data_that_judges_it(build: Build, data: Path) -> None:
    only = data.with_name("only.npz")
    np.savez(only, held_out=images(8))

    with pytest.raises(UsageError, match="ranges are measured on data"):
        build("int8", held_out=only)


def test_fp16_without_data_is_judged_by_random_inputs_and_says_so(build: Build) -> None:
    stated = build("fp16").manifest["precision"]

    assert (stated["calibration"], stated["split"]) == ("64 random inputs", "random inputs")
    assert (stated["accuracy_before"], stated["samples"]) == (None, 64)
    assert stated["top1_agreement"] == 1.0


def test_fp16_that_overflows_on_data_is_refused(build: Build, tmp_path: Path) -> None:
    np.save(tmp_path / "large.npy", images(8, scale=1e4) + 6e4)

    with pytest.raises(PrecisionError, match="more than the 65504 that fp16 reaches"):
        build("fp16", calibration=tmp_path / "large.npy")
    assert not (tmp_path / "models").exists()


def test_float16_inputs_and_outputs_are_served_as_tensors(build: Build) -> None:
    path = build("fp16", io="float16").path

    served = open_model(path, RunOptions("cpu", intra_op_threads=1))

    assert served.signature.inputs[0].datatype == served.signature.outputs[0].datatype == "FP16"
    assert served.run({"x": images(2).astype(np.float16)})["y"].dtype == np.float16


def test_float16_images_are_refused_since_the_service_has_none() -> None:
    network = graph()

    with pytest.raises(UsageError, match="--io float16: the input is an image"):
        reduce_precision(
            network, original(network, image=True), PrecisionOptions("fp16", io="float16")
        )


@pytest.mark.parametrize("kind", KINDS)
def test_images_as_bytes_stay_bytes(kind: Any, tmp_path: Path) -> None:
    body = "t = Transpose<perm = [0, 3, 1, 2]>(u) x = Cast<to = 1>(t)" + CLASSIFIER
    network = graph(body, inputs="uint8[batch,8,8,3] u")
    taken = original(network, image=True)
    taken = replace(taken, input=replace(taken.input, layout="NHWC"))  # type: ignore[arg-type]  # an image
    pixels = np.random.default_rng(0).integers(0, 256, (40, 3, 8, 8)).astype(np.uint8)
    np.save(tmp_path / "mine.npy", pixels)

    reduced = reduce_precision(
        network, taken, PrecisionOptions(kind, calibration=tmp_path / "mine.npy")
    )

    assert reduced.model.graph.inputs[0].dtype == ir.DataType.UINT8
    assert reduced.report.top1_agreement == 1.0


@pytest.mark.parametrize("kind", KINDS)
def test_a_fixed_batch_takes_whole_batches(kind: Any, tmp_path: Path) -> None:
    network = graph(inputs="float[4,3,8,8] x", outputs=f"float[4,{CLASSES}] y")
    np.save(tmp_path / "mine.npy", images(40))
    options = PrecisionOptions(kind, calibration=tmp_path / "mine.npy", max_accuracy_drop=50.0)

    reduced = reduce_precision(network, original(network), options)

    assert reduced.report.samples == 8  # of the ten that are kept back


def test_less_than_one_whole_batch_is_refused(tmp_path: Path) -> None:
    network = graph(inputs="float[4,3,8,8] x", outputs=f"float[4,{CLASSES}] y")
    np.save(tmp_path / "mine.npy", images(8))
    options = PrecisionOptions("int8", calibration=tmp_path / "mine.npy")

    with pytest.raises(UsageError, match="2 samples are less than the model's batch of 4"):
        reduce_precision(network, original(network), options)


def test_samples_for_a_model_of_two_inputs_are_refused(tmp_path: Path) -> None:
    network = graph(
        "y = Add(x, z)", {}, inputs=f"{IMAGE}, float[batch,3,8,8] z", outputs="float[batch,3,8,8] y"
    )
    np.save(tmp_path / "mine.npy", images(8))
    options = PrecisionOptions("fp16", calibration=tmp_path / "mine.npy")

    with pytest.raises(UsageError, match="the model takes 2 inputs"):
        reduce_precision(network, original(network), options)


def test_a_model_without_inputs_is_refused() -> None:
    body = "y = Constant<value = float[1, 2] {1.0, 2.0}>()"
    network = graph(body, {}, inputs="", outputs="float[1,2] y")

    with pytest.raises(UsageError, match="the model takes no inputs"):
        reduce_precision(network, original(network), PrecisionOptions("fp16"))


def test_random_inputs_reach_a_model_of_two_inputs() -> None:
    body = "f = Flatten(x) s = Add(f, z) y = MatMul(s, m)"
    arrays = {"m": weights()["g"][:1].repeat(192, axis=0)}
    network = graph(body, arrays, inputs=f"{IMAGE}, float z")

    unjudged = PrecisionOptions("fp16", max_accuracy_drop=100.0)

    assert reduce_precision(network, original(network), unjudged).report.samples == 64


def test_outputs_that_cannot_be_ranked_are_refused_unless_they_need_no_judge() -> None:
    network = graph("y = Relu(x)", {}, outputs="float[batch,3,8,8] y")

    with pytest.raises(PrecisionError, match="--max-accuracy-drop 100 writes it unjudged"):
        reduce_precision(network, original(network), PrecisionOptions("fp16"))
    unjudged = PrecisionOptions("fp16", max_accuracy_drop=100.0)
    assert reduce_precision(network, original(network), unjudged).report.top1_agreement is None


def test_the_float32_model_that_was_measured_is_handed_on() -> None:
    reduced = reduce_precision(graph(), original(graph()), PrecisionOptions("fp16"))

    assert len(reduced.float32) == reduced.report.size_before
    assert operators(ir.from_proto(onnx.load_from_string(reduced.float32))) == operators(graph())
    assert reduced.before_ms > 0
    assert reduced.after_ms > 0


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"io": "float16"}, "--io float16: goes with --precision fp16 or int8"),
        ({"calibration": Path("x")}, "--calibration: goes with"),
        ({"held_out": Path("x"), "max_accuracy_drop": 2.0}, "--max-accuracy-drop: goes with"),
        ({"kind": "int8", "io": "float16"}, "--io float16: goes with --precision fp16 only"),
        ({"kind": "int8", "max_accuracy_drop": float("nan")}, "take points of 100"),
        ({"kind": "int8", "max_accuracy_drop": 101.0}, "take points of 100"),
    ],
)
def test_options_that_do_not_go_together_are_refused(given: dict[str, Any], message: str) -> None:
    nothing = {"kind": None, "io": "float32", "calibration": None, "held_out": None}

    with pytest.raises(UsageError, match=message):
        options_of(**{**nothing, "max_accuracy_drop": 1.0, **given})


def test_no_precision_is_none_of_it(source: Path, tmp_path: Path) -> None:
    built = pipeline.build(str(source), Place(tmp_path / "models", "m", 1))

    assert options_of(None, "float32", None, None, 1.0) is None
    assert built.reduced is None
    assert built.manifest["precision"] is None
    described = onnx.load(built.path).metadata_props
    stated = {entry.key: entry.value for entry in described}[manifest.KEY]
    assert json.loads(stated)["precision"] is None
