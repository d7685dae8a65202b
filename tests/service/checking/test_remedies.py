"""What to do, of the reasons that the loading itself gives."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import onnx
import pytest

from service.checking.remedies import remedy
from service.errors import ModelLoadError
from service.inference.loading import load
from service.inference.model import RunOptions, open_model
from service.settings import Settings
from tests.service import zoo


def reason(path: Path, **choices: Any) -> str:
    settings = Settings(models=path.parents[2], **choices)
    with pytest.raises(ModelLoadError) as caught:
        load(path, RunOptions("cpu", 1), settings, open_model)
    return str(caught.value)


def with_external_data(path: Path) -> None:
    model = onnx.load(path)
    tensor = zoo.constant("w", [0.0])
    onnx.external_data_helper.set_external_data(tensor, "weights.bin")
    tensor.ClearField("raw_data")
    model.graph.initializer.append(tensor)
    path.write_bytes(model.SerializeToString())


def of_another_release(path: Path) -> None:
    path.write_bytes(zoo.brightness_classifier(format_version=99).SerializeToString())


def unreadable(path: Path) -> None:
    path.write_bytes(b"no model")


def as_it_is(_path: Path) -> None:
    pass


@pytest.mark.parametrize(
    ("spoil", "choices", "words"),
    [
        (as_it_is, {"max_model_bytes": 10}, "set it higher"),
        (as_it_is, {"require_lock": True}, "foldserve-export lock {models} writes it"),
        (with_external_data, {}, "put the data beside model.onnx"),
        (of_another_release, {}, "update the service"),
        (unreadable, {}, "write it anew with foldserve-export build"),
        (Path.unlink, {}, "put it there, or remove the folder"),
    ],
)
def test_each_reason_has_what_to_do(
    tmp_path: Path, spoil: Callable[[Path], None], choices: dict[str, Any], words: str
) -> None:
    path = zoo.put(tmp_path, "m", 1, zoo.doubler())
    spoil(path)
    assert words.format(models=tmp_path) in remedy(reason(path, **choices), path, tmp_path)


def test_a_file_of_another_name_is_to_be_renamed(tmp_path: Path) -> None:
    path = zoo.put(tmp_path, "m", 1, zoo.doubler())
    path.rename(path.with_name("net.onnx"))
    assert remedy(reason(path), path, tmp_path) == "rename net.onnx to model.onnx"
