"""The models that the searches ask: one for each kind of input that a request can have."""

from pathlib import Path

from onnx import TensorProto

from tests.service import zoo


def models(folder: Path) -> Path:
    """Fill a repository with models of the names that the seeds have; return its folder."""
    row, alone = ("batch", 3), ()
    made = {
        "m": zoo.doubler(),
        "two": zoo.two_in_two_out(),
        "texts": zoo.identity(TensorProto.STRING, row),
        "truths": zoo.identity(TensorProto.BOOL, row),
        "whole": zoo.doubler(TensorProto.INT64, row),
        "small": zoo.identity(TensorProto.UINT8, ("batch", "width")),
        "half": zoo.doubler(TensorProto.FLOAT16, ("batch", None)),
        "alone": zoo.doubler(TensorProto.DOUBLE, alone),
        "brightness": zoo.brightness_classifier(),
    }
    for name, model in made.items():
        zoo.put(folder, name, 1, model)
    return folder
