"""ONNX Runtime behind one module."""

import os
import threading
import weakref
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime  # type: ignore[import-untyped]  # the wheel has no types
import pytest
from onnx import TensorProto, helper

from service.artifact.signature import Signature, TensorSpec
from service.errors import InferenceFailed, ModelLoadError, StartError
from service.inference.model import OnnxModel, RunOptions, check_provider, open_model
from tests.service import zoo

OPTIONS = RunOptions("cpu", intra_op_threads=1)


def load(tmp_path: Path, model: onnx.ModelProto) -> Any:
    return open_model(zoo.put(tmp_path, "m", 1, model), OPTIONS)


def test_the_signature_is_the_graphs(tmp_path: Path) -> None:
    model = load(tmp_path, zoo.brightness_classifier())
    assert model.signature == Signature(
        (TensorSpec("input", "FP32", ("batch", 1, 4, 4)),),
        (TensorSpec("logits", "FP32", ("batch", 3)),),
    )
    assert model.signature.inputs[0].wire_shape == (-1, 1, 4, 4)
    assert model.provider == "CPU"
    assert model.manifest.name == "brightness"


def test_a_plain_model_has_no_manifest(tmp_path: Path) -> None:
    assert load(tmp_path, zoo.doubler()).manifest is None


@pytest.mark.parametrize("size", [1, "n"])
def test_more_dimensions_than_an_array_has_are_refused(tmp_path: Path, size: int | str) -> None:
    assert load(tmp_path / "most", zoo.doubler(shape=[size] * 64)).signature.inputs[0].shape[63]
    with pytest.raises(ModelLoadError, match="'x' has 65 dimensions, of 64 that can be served"):
        load(tmp_path / "more", zoo.doubler(shape=[size] * 65))


@pytest.mark.parametrize("what", [b"an input", b"Add", b"some metadata"])
def test_what_is_not_utf_8_in_a_file_is_refused(
    tmp_path: Path, what: bytes, capsys: pytest.CaptureFixture[str]
) -> None:
    model = zoo.graph_model(
        [helper.make_node("Add", ["an input", "an input"], ["y"])],
        [zoo.info("an input", ("batch", 3))],
        [zoo.info("y", ("batch", 3))],
        metadata={"foldserve.manifest": "some metadata"},
    )
    path = zoo.put(tmp_path, "m", 1, model)
    path.write_bytes(path.read_bytes().replace(what, what[:-1] + b"\xc4"))
    with pytest.raises(ModelLoadError):
        open_model(path, OPTIONS)
    assert capsys.readouterr() == ("", "")  # nothing else is tried, and nothing told past the log


def test_it_computes_every_output(tmp_path: Path) -> None:
    a, b = np.array([[1, 2]], np.float32), np.array([[10, 20]], np.float32)
    outputs = load(tmp_path, zoo.two_in_two_out()).run({"a": a, "b": b})
    assert {name: array.tolist() for name, array in outputs.items()} == {
        "sum": [[11, 22]],
        "difference": [[-9, -18]],
    }


@pytest.mark.parametrize(
    ("kind", "datatype"),
    [
        (TensorProto.BOOL, "BOOL"),
        (TensorProto.UINT8, "UINT8"),
        (TensorProto.INT64, "INT64"),
        (TensorProto.FLOAT16, "FP16"),
        (TensorProto.DOUBLE, "FP64"),
        (TensorProto.STRING, "BYTES"),
    ],
)
def test_the_types_of_a_graph_have_the_protocols_names(
    tmp_path: Path, kind: int, datatype: str
) -> None:
    assert load(tmp_path, zoo.identity(kind)).signature.inputs[0].datatype == datatype


@pytest.mark.parametrize(
    ("model", "batches"),
    [
        pytest.param(zoo.doubler(), True, id="one input"),
        pytest.param(zoo.two_in_two_out(), True, id="several"),
        pytest.param(zoo.doubler(shape=(1, 3)), False, id="a fixed size"),
        pytest.param(zoo.doubler(shape=(None, 3)), False, id="no symbol"),
        pytest.param(zoo.doubler(shape=()), False, id="a scalar"),
        pytest.param(zoo.mean_of_everything(), False, id="an output of all rows"),
    ],
)
def test_rows_are_batched_only_where_one_symbol_leads_everything(
    tmp_path: Path, model: onnx.ModelProto, batches: bool
) -> None:
    assert load(tmp_path, model).signature.batches is batches


@pytest.mark.parametrize("content", [b"garbage", b"", b"\x08\x08"])
def test_a_file_that_is_no_model_is_refused_without_its_path(
    tmp_path: Path, content: bytes
) -> None:
    path = tmp_path / "model.onnx"
    path.write_bytes(content)
    with pytest.raises(ModelLoadError, match="ONNX Runtime does not load it") as caught:
        open_model(path, OPTIONS)
    assert str(tmp_path) not in str(caught.value)
    assert "/" not in str(caught.value)


def test_a_reason_holds_no_word_of_a_path_with_blanks(tmp_path: Path) -> None:
    path = tmp_path / "models of somebody else" / "model.onnx"
    path.parent.mkdir()
    path.write_bytes(b"garbage")
    with pytest.raises(ModelLoadError, match=r"Load model from \(path\) failed") as caught:
        open_model(path, OPTIONS)
    assert "somebody" not in str(caught.value)


def test_a_type_that_the_protocol_lacks_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ModelLoadError, match=r"'x' is of type tensor\(bfloat16\)"):
        load(tmp_path, zoo.identity(TensorProto.BFLOAT16))


def test_a_sequence_is_refused(tmp_path: Path) -> None:
    sequence = helper.make_tensor_sequence_value_info("y", zoo.FLOAT, None)
    model = zoo.graph_model(
        [helper.make_node("SequenceConstruct", ["x"], ["y"])], [zoo.info("x", ("n",))], [sequence]
    )
    with pytest.raises(ModelLoadError, match=r"'y' is of type seq"):
        load(tmp_path, model)


def test_a_manifest_that_contradicts_the_graph_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ModelLoadError, match="2 labels"):
        load(tmp_path, zoo.brightness_classifier(labels=["a", "b"]))


def test_a_run_that_fails_says_nothing_of_the_inside(tmp_path: Path) -> None:
    model = load(tmp_path, zoo.doubler())
    with pytest.raises(InferenceFailed, match=r"^the model failed on this input$"):
        model.run({"x": np.zeros((1, 7), np.float32)})


def test_a_run_that_does_not_end_can_be_ended(tmp_path: Path) -> None:
    model = load(tmp_path, zoo.endless())
    failed = threading.Event()

    def run() -> None:
        try:
            model.run({"x": np.zeros((1,), np.float32)})
        except InferenceFailed:
            failed.set()

    thread = threading.Thread(target=run, daemon=True)
    thread.start()
    while not failed.wait(0.05):  # until the run has begun there is nothing to end
        model.terminate()
    thread.join()


def test_a_run_that_begins_after_the_end_ends_at_once(tmp_path: Path) -> None:
    model = load(tmp_path, zoo.endless())
    model.terminate()
    with pytest.raises(InferenceFailed):
        model.run({"x": np.zeros((1,), np.float32)})


def test_a_terminated_model_holds_no_weights(tmp_path: Path) -> None:
    session = onnxruntime.InferenceSession(zoo.put(tmp_path, "m", 1, zoo.doubler()))
    held = weakref.ref(session)
    model = OnnxModel(session)
    del session
    assert held() is not None
    model.terminate()
    assert held() is None  # at once: weights are large, and collectors wait
    with pytest.raises(InferenceFailed):
        model.run({"x": np.zeros((1, 3), np.float32)})


def test_telemetry_is_off_before_the_runtime_is_imported() -> None:
    assert os.environ["ORT_DISABLE_TELEMETRY"] == "1"


def test_cuda_that_the_build_lacks_is_an_error_with_the_way_out() -> None:
    with pytest.raises(
        StartError, match=r"FOLDSERVE_PROVIDER=cuda, but .* install onnxruntime-gpu"
    ):
        check_provider("cuda", ["CPUExecutionProvider"])


def test_what_runs_as_asked_is_fine() -> None:
    check_provider("cuda", ["CUDAExecutionProvider", "CPUExecutionProvider"])
    check_provider("cpu", ["CPUExecutionProvider"])


@pytest.mark.parametrize(
    ("fallback", "error", "message"),
    [
        (True, StartError, "offers only CPUExecutionProvider"),
        (False, ModelLoadError, "fallback to CPU EP has been explicitly disabled"),
    ],
)
def test_a_session_that_fell_back_to_the_cpu_is_refused(
    tmp_path: Path, fallback: bool, error: type[Exception], message: str
) -> None:
    options = RunOptions("cuda", intra_op_threads=1, cuda_cpu_fallback=fallback)
    path = zoo.put(tmp_path, "m", 1, zoo.doubler())
    with (
        pytest.warns(UserWarning, match="CUDAExecutionProvider"),  # the CPU wheel's own words
        pytest.raises(error, match=message),
    ):
        open_model(path, options)
