"""Damaged model files: each is loaded as the service loads it, and served or refused."""

import functools
import tempfile
from pathlib import Path

import numpy as np
from onnx import TensorProto, helper

from service.artifact.files import files_of_model
from service.errors import ModelLoadError, ServiceError
from service.inference.loading import load
from service.inference.model import RunOptions, open_model
from service.settings import Settings
from tests.service import zoo

_OPTIONS = RunOptions("cpu", intra_op_threads=1, timeout_s=2.0)
_LONGEST_ERROR = 1000

# Numbers that nothing else computes: who answers them has read the file.
_SECRET = np.array([0.123, 4.56, -78.9], np.float32)


def graphs() -> list[bytes]:
    """Small graphs with loops, branches and tables in them."""
    models = (
        *(zoo.doubler(), zoo.two_in_two_out(), zoo.brightness_classifier(), zoo.counter()),
        *(zoo.picker(), zoo.halves(), zoo.identity(TensorProto.STRING)),
    )
    return [model.SerializeToString() for model in models]


def described() -> list[bytes]:
    """Graphs whose manifest is long, so that it is damaged more often than they are."""
    found = []
    for color in ("L", "RGB"):
        labels = [f"class {i}" for i in range(3)]
        model = zoo.brightness_classifier(1, 1, color, labels, notes={"text": "é" * 20})
        found.append(model.SerializeToString())
        found.append(zoo.brightness_classifier(1, 1, color, labels).SerializeToString())
    return found


def external() -> list[bytes]:
    """Graphs whose numbers lie in files beside them, wherever a graph may have numbers."""
    tensor = TensorProto(name="w", data_type=1, dims=[3], data_location=TensorProto.EXTERNAL)
    for key, value in (("location", "w.bin"), ("offset", "0"), ("length", "12")):
        tensor.external_data.add(key=key, value=value)
    add = helper.make_node("Add", ["x", "w"], ["y"])
    ends = [zoo.info("x", ("batch", 3))], [zoo.info("y", ("batch", 3))]
    branch = helper.make_graph([add], "branch", [], ends[1], [tensor])
    choice = helper.make_node("If", ["c"], ["y"], then_branch=branch, else_branch=branch)
    models = (
        zoo.graph_model([add], *ends, [tensor]),
        zoo.graph_model([helper.make_node("Constant", [], ["w"], value=tensor), add], *ends),
        zoo.graph_model([choice], *ends, [zoo.constant("c", True, np.bool_)]),
    )
    return [model.SerializeToString() for model in models]


def serve(data: bytes) -> bool:
    """Load a model's file as the service does; whether it would be served.

    What the runtime has read from another file was looked at before.
    """
    path = _place() / "model.onnx"
    path.write_bytes(data)
    try:
        loaded = load(path, _OPTIONS, Settings(), open_model)
    except ModelLoadError as error:
        text = str(error)
        assert len(text) < _LONGEST_ERROR, text[:100]
        assert str(path.parent) not in text, text
        return False
    try:
        outputs = loaded.model.run({"x": np.zeros((1, 3), np.float32)})
    except ServiceError:
        outputs = {}
    finally:
        loaded.model.terminate()
    if any(np.array_equal(each, _SECRET[None]) for each in outputs.values()):
        files = files_of_model(path, 2**20)
        assert [file.path.name for file in files] == ["model.onnx", "w.bin"]
    return True


@functools.cache
def _place() -> Path:
    folder = Path(tempfile.mkdtemp()) / "m" / "1"
    folder.mkdir(parents=True)
    _SECRET.tofile(folder / "w.bin")
    return folder
