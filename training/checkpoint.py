"""A trained network in one file: safetensors, and in its header all that is needed to use it.

The header's one key, ``foldserve.checkpoint``, holds JSON: format version, model and its
configuration, labels, input, data set, held-out metrics and the versions that wrote it.
"""

import json
from dataclasses import dataclass, field
from importlib.metadata import version
from pathlib import Path
from typing import Any

import torch
from pydantic import ValidationError
from safetensors import SafetensorError, safe_open
from safetensors.torch import save as serialize
from torch import Tensor, nn

from training import atomic
from training.inputs import ImageInput, SignalInput, parse_input
from training.models import ModelError, build, describe, parse

FORMAT_VERSION = 1
KEY = "foldserve.checkpoint"

_FIELDS = ("model", "labels", "input", "data", "metrics", "created_by")


class CheckpointError(ValueError):
    """A file is not a checkpoint that this version can read; the message says why."""


def _versions() -> dict[str, str]:
    return {"foldserve": version("foldserve"), "torch": torch.__version__.split("+", 1)[0]}


@dataclass(frozen=True)
class Checkpoint:
    """A trained network and what travels with it.

    Attributes:
        model: In eval mode, normalization included: raw values (N, *input.shape) -> logits.
        model_name: Its name in `training.models`.
        model_config: Its parameters.
        labels: One per logit.
        input: What the model takes.
        data: Data set and options that give the same held-out split again.
        metrics: Held-out accuracy, number of samples and split, measured on these weights.
        created_by: Versions of foldserve and torch.
    """

    model: nn.Module
    model_name: str
    model_config: dict[str, Any]
    labels: tuple[str, ...]
    input: ImageInput | SignalInput
    data: dict[str, Any]
    metrics: dict[str, Any]
    created_by: dict[str, Any] = field(default_factory=_versions)


def save(path: Path | str, checkpoint: Checkpoint) -> None:
    """Write a checkpoint atomically: a reader finds the old file or the new one, whole.

    Raises:
        OSError: If the folder cannot be written.
    """
    tensors = {
        name: tensor.detach().cpu().contiguous()
        for name, tensor in checkpoint.model.state_dict().items()
    }
    header = {
        "format_version": FORMAT_VERSION,
        "model": {"name": checkpoint.model_name, "config": checkpoint.model_config},
        "labels": list(checkpoint.labels),
        "input": checkpoint.input.model_dump(mode="json"),
        "data": checkpoint.data,
        "metrics": checkpoint.metrics,
        "created_by": checkpoint.created_by,
    }
    atomic.write(Path(path), serialize(tensors, metadata={KEY: json.dumps(header)}))


def load(path: Path | str) -> Checkpoint:
    """Read a checkpoint and build its network, in eval mode.

    Raises:
        CheckpointError: If the file is not safetensors, has no or an unknown format version, names
            an unknown model, or its tensors are not those of that model.
        FileNotFoundError: If there is no such file.
    """
    path = Path(path)
    metadata, tensors = _read(path)
    header = _header(path, metadata)
    try:
        return _assemble(header, tensors)
    except (CheckpointError, ModelError) as error:
        raise CheckpointError(f"{path}: {error}") from error
    except ValidationError as error:
        raise CheckpointError(f"{path}: input: {describe(error)}") from error
    except (KeyError, TypeError, AttributeError, ValueError) as error:
        raise CheckpointError(f"{path}: the header is malformed ({error!r})") from error


def _read(path: Path) -> tuple[dict[str, str], dict[str, Tensor]]:
    if not path.is_file():
        raise FileNotFoundError(f"no checkpoint at {path}")
    try:
        with safe_open(path, framework="pt") as file:
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 - not a dict
            return file.metadata() or {}, tensors
    except SafetensorError as error:
        raise CheckpointError(f"{path}: not a safetensors file ({error})") from error


def _header(path: Path, metadata: dict[str, str]) -> dict[str, Any]:
    if KEY not in metadata:
        raise CheckpointError(f"{path}: no {KEY!r} in the header; these are weights alone")
    try:
        header = json.loads(metadata[KEY])
    except (ValueError, RecursionError) as error:  # endless numbers, bottomless brackets
        raise CheckpointError(f"{path}: {KEY!r} is not JSON ({error})") from error
    found = header.get("format_version") if isinstance(header, dict) else None
    if found != FORMAT_VERSION:
        raise CheckpointError(
            f"{path}: format_version {found!r} is unknown; this version reads {FORMAT_VERSION}"
        )
    missing = [name for name in _FIELDS if name not in header]
    if missing:
        raise CheckpointError(f"{path}: the header lacks {', '.join(missing)}")
    return dict(header)


def _assemble(header: dict[str, Any], tensors: dict[str, Tensor]) -> Checkpoint:
    name, config = header["model"]["name"], header["model"]["config"]
    parsed, accepted = parse(name, config), parse_input(header["input"])
    labels = tuple(str(label) for label in header["labels"])
    if accepted.shape != parsed.input_shape:
        raise CheckpointError(
            f"input is {accepted.shape}, but the model takes {parsed.input_shape}"
        )
    if len(labels) != parsed.classes:
        raise CheckpointError(f"{len(labels)} labels, but the model has {parsed.classes} classes")
    return Checkpoint(
        model=_restore(_skeleton(name, config), tensors),
        model_name=name,
        model_config=dict(config),
        labels=labels,
        input=accepted,
        data=dict(header["data"]),
        metrics=dict(header["metrics"]),
        created_by=dict(header["created_by"]),
    )


def _skeleton(name: str, config: dict[str, Any]) -> nn.Module:
    """The network without storage: no weight is drawn only to be replaced."""
    with torch.device("meta"):
        return build(name, config)


def _restore(model: nn.Module, tensors: dict[str, Tensor]) -> nn.Module:
    expected = model.state_dict()
    if missing := sorted(expected.keys() - tensors.keys()):
        raise CheckpointError(f"tensors are missing: {', '.join(missing)}")
    if extra := sorted(tensors.keys() - expected.keys()):
        raise CheckpointError(f"tensors do not belong to the model: {', '.join(extra)}")
    for name, tensor in tensors.items():
        if (tensor.shape, tensor.dtype) != (expected[name].shape, expected[name].dtype):
            raise CheckpointError(
                f"tensor {name} is {tensor.dtype} {tuple(tensor.shape)},"
                f" expected {expected[name].dtype} {tuple(expected[name].shape)}"
            )
    model.load_state_dict(tensors, assign=True)
    return model.eval()
