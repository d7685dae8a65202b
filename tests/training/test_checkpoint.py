import json
import resource
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import save_file

from training import atomic, checkpoint
from training.checkpoint import KEY, Checkpoint, CheckpointError
from training.inputs import ImageInput, SignalInput
from training.models import build

CONFIG = {"height": 8, "width": 8, "filters": [4], "blocks": [1]}


def a_checkpoint() -> Checkpoint:
    torch.manual_seed(0)
    model = build("residual", CONFIG)
    model.normalize.set_statistics([78.0], [95.5])
    return Checkpoint(
        model=model.eval(),
        model_name="residual",
        model_config=dict(CONFIG),
        labels=tuple("0123456789"),
        input=ImageInput(color="L", channels=1, height=8, width=8),
        data={"name": "digits", "split_seed": 0},
        metrics={"accuracy": 0.99, "samples": 360, "split": "test"},
    )


def a_header(**changes: Any) -> dict[str, Any]:
    header = {
        "format_version": 1,
        "model": {"name": "residual", "config": dict(CONFIG)},
        "labels": list("0123456789"),
        "input": {"kind": "image", "color": "L", "channels": 1, "height": 8, "width": 8},
        "data": {},
        "metrics": {},
        "created_by": {},
    }
    return {key: value for key, value in {**header, **changes}.items() if value is not None}


def written(path: Path, header: Any, **tensors: Any) -> Path:
    state = {name: value.contiguous() for name, value in a_checkpoint().model.state_dict().items()}
    state = {name: value for name, value in {**state, **tensors}.items() if value is not None}
    text = header if isinstance(header, str) else json.dumps(header)
    save_file(state, path, metadata={KEY: text})
    return path


def test_a_checkpoint_comes_back_as_it_was_written(tmp_path: Path) -> None:
    original, path = a_checkpoint(), tmp_path / "checkpoint.safetensors"
    checkpoint.save(path, original)

    found = checkpoint.load(path)

    images = torch.rand(5, 1, 8, 8) * 255
    assert torch.equal(found.model(images), original.model(images))
    assert not found.model.training
    assert replace(found, model=original.model) == original
    assert found.created_by.keys() == {"foldserve", "torch"}
    assert [entry.name for entry in tmp_path.iterdir()] == ["checkpoint.safetensors"]


def test_loading_draws_no_random_numbers(tmp_path: Path) -> None:
    checkpoint.save(tmp_path / "c.safetensors", a_checkpoint())
    torch.manual_seed(5)
    expected = torch.rand(1)
    torch.manual_seed(5)

    found = checkpoint.load(tmp_path / "c.safetensors")

    assert torch.equal(torch.rand(1), expected)
    assert all(parameter.requires_grad for parameter in found.model.parameters())


def test_the_header_is_the_json_that_the_format_promises(tmp_path: Path) -> None:
    path = tmp_path / "c.safetensors"
    checkpoint.save(path, a_checkpoint())

    length = int.from_bytes(path.read_bytes()[:8], "little")
    metadata = json.loads(path.read_bytes()[8 : 8 + length])["__metadata__"]
    header = json.loads(metadata[KEY])

    assert header["format_version"] == 1
    assert header["model"] == {"name": "residual", "config": CONFIG}
    assert header["input"] == {
        "kind": "image",
        "color": "L",
        "channels": 1,
        "height": 8,
        "width": 8,
        "value_range": [0, 255],
        "resize_filter": "bilinear",
        "crop_fraction": None,
    }


def test_a_model_of_signals_comes_back_too(tmp_path: Path) -> None:
    config = {"channels": 1, "length": 40}
    original = replace(
        a_checkpoint(),
        model=build("cnn1d", config).eval(),
        model_name="cnn1d",
        model_config=config,
        input=SignalInput(shape=(1, 40), value_range=(-6, 5)),
    )
    checkpoint.save(tmp_path / "c.safetensors", original)

    assert checkpoint.load(tmp_path / "c.safetensors").input == original.input


@pytest.mark.parametrize(
    ("header", "message"),
    [
        ("{", "is not JSON"),
        ("[" * 100_000, "is not JSON"),
        ("9" * 5_000, "is not JSON"),
        (a_header(metrics=["accuracy"]), "malformed"),
        ([1], "format_version None is unknown; this version reads 1"),
        (a_header(format_version=2), "format_version 2 is unknown"),
        (a_header(labels=None, data=None), "the header lacks labels, data"),
        (a_header(model={"name": "vgg", "config": {}}), "no such model: 'vgg'"),
        (a_header(model={"name": "residual", "config": {"depth": 3}}), "depth: no such key"),
        (a_header(model={"config": {}}), "malformed"),
        (a_header(model="residual"), "malformed"),
        (a_header(labels=["a", "b"]), "2 labels, but the model has 10 classes"),
        (a_header(input={"kind": "sound"}), "input: "),
        (
            a_header(input={"kind": "signal", "shape": [64], "value_range": [0, 1]}),
            "input is (64,)",
        ),
        (
            a_header(
                input={"kind": "image", "color": "RGB", "channels": 1, "height": 8, "width": 8}
            ),
            "color RGB has 3 channels, not 1",
        ),
    ],
)
def test_a_header_that_does_not_hold_is_refused_by_name(
    tmp_path: Path, header: Any, message: str
) -> None:
    path = written(tmp_path / "c.safetensors", header)

    with pytest.raises(CheckpointError) as caught:
        checkpoint.load(path)

    assert message in str(caught.value)
    assert str(path) in str(caught.value)


@pytest.mark.parametrize(
    ("tensors", "message"),
    [
        ({"normalize.mean": None}, "tensors are missing: normalize.mean"),
        ({"extra": torch.zeros(1)}, "tensors do not belong to the model: extra"),
        ({"normalize.mean": torch.zeros(2)}, "tensor normalize.mean is torch.float32 (2,)"),
        ({"normalize.mean": torch.zeros(1, 1, 1).half()}, "is torch.float16 (1, 1, 1)"),
    ],
)
def test_tensors_of_another_model_are_refused_by_name(
    tmp_path: Path, tensors: dict[str, Any], message: str
) -> None:
    with pytest.raises(CheckpointError) as caught:
        checkpoint.load(written(tmp_path / "c.safetensors", a_header(), **tensors))

    assert message in str(caught.value)


def test_the_header_that_the_refusals_vary_is_itself_accepted(tmp_path: Path) -> None:
    assert checkpoint.load(written(tmp_path / "c.safetensors", a_header())).labels[3] == "3"


def test_a_file_that_is_not_safetensors_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "c.safetensors"
    path.write_bytes(b"\x80\x04N.")

    with pytest.raises(CheckpointError, match="not a safetensors file"):
        checkpoint.load(path)


def test_weights_without_our_header_are_refused(tmp_path: Path) -> None:
    save_file({"w": torch.zeros(1)}, tmp_path / "c.safetensors")

    with pytest.raises(CheckpointError, match="these are weights alone"):
        checkpoint.load(tmp_path / "c.safetensors")


def test_a_missing_file_is_said_to_be_missing(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match=r"no checkpoint at .*nowhere"):
        checkpoint.load(tmp_path / "nowhere")


def test_a_disk_that_is_full_is_an_error_that_names_the_file(tmp_path: Path) -> None:
    path = tmp_path / "file"
    atomic.write(path, b"old")
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(
        resource.RLIMIT_FSIZE, (10_000, before[1])
    )  # Python turns it into an OSError
    try:
        with pytest.raises(OSError, match=f"File too large: '{path}'"):
            atomic.write(path, b"x" * 20_000)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)

    assert path.read_bytes() == b"old"
    assert list(tmp_path.iterdir()) == [path]


def test_a_write_that_fails_leaves_the_old_file_and_no_other(tmp_path: Path) -> None:
    path = tmp_path / "file"
    atomic.write(path, b"old")

    with pytest.raises(TypeError):
        atomic.write(path, "text is not bytes")  # type: ignore[arg-type]  # that is what fails

    assert path.read_bytes() == b"old"
    assert list(tmp_path.iterdir()) == [path]
