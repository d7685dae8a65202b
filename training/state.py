"""Where a training stands at the end of an epoch: one file, whole or not at all, no pickle.

Tensors are safetensors, the rest is JSON in the header. Random generators need no entry: all that
is random follows from the seed and the epoch (`training.reproducible`).
"""

import json
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save as serialize
from torch import Tensor, nn, optim

from training import atomic
from training.progress import Progress

_KEY = "foldserve.training_state"


class StateError(ValueError):
    """The state of an earlier run cannot be read; the message says what to do."""


def save(path: Path, model: nn.Module, optimizer: optim.Optimizer, progress: Progress) -> None:
    """Write all of it in one step."""
    tensors = {f"model.{name}": tensor for name, tensor in model.state_dict().items()}
    tensors |= {f"best.{name}": tensor for name, tensor in progress.best.items()}
    for index, entries in optimizer.state_dict()["state"].items():
        for name, value in entries.items():
            if isinstance(value, Tensor):
                tensors[f"optimizer.{index}.{name}"] = value
    header = {"history": progress.history, "best_epoch": progress.best_epoch}
    content = {name: tensor.detach().cpu().contiguous() for name, tensor in tensors.items()}
    atomic.write(path, serialize(content, metadata={_KEY: json.dumps(header)}))


def restore(path: Path, model: nn.Module, optimizer: optim.Optimizer) -> Progress:
    """Put model and optimizer back to where `save` found them.

    Returns:
        The progress of then; a fresh one where there is no file yet.

    Raises:
        StateError: If the file is damaged, or the data have another shape or classes since.
    """
    if not path.is_file():
        return Progress()
    try:
        header, tensors = _read(path)
        model.load_state_dict(_under("model.", tensors))
        _restore_optimizer(optimizer, _under("optimizer.", tensors))
        return Progress(header["history"], header["best_epoch"], _under("best.", tensors))
    except (SafetensorError, KeyError, TypeError, ValueError, RuntimeError) as error:
        reason = " ".join(str(error).split())  # torch tells of a wrong shape in several lines
        raise StateError(
            f"{path} is damaged or of other data; --fresh trains anew ({reason})"
        ) from error


def _read(path: Path) -> tuple[dict[str, Any], dict[str, Tensor]]:
    with safe_open(path, framework="pt") as file:
        tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 - not a dict
        return json.loads(file.metadata()[_KEY]), tensors


def _under(prefix: str, tensors: dict[str, Tensor]) -> dict[str, Tensor]:
    return {name.removeprefix(prefix): t for name, t in tensors.items() if name.startswith(prefix)}


def _restore_optimizer(optimizer: optim.Optimizer, tensors: dict[str, Tensor]) -> None:
    parameters = [p for group in optimizer.param_groups for p in group["params"]]
    state: dict[int, dict[str, Tensor]] = {}
    for key, value in tensors.items():
        index, name = key.split(".")
        state.setdefault(int(index), {})[name] = _laid_out_as(parameters[int(index)], value)
    optimizer.load_state_dict({**optimizer.state_dict(), "state": state})


def _laid_out_as(parameter: Tensor, value: Tensor) -> Tensor:
    """Give a moment its parameter's memory layout back, so that the same vector code runs on it."""
    if value.shape != parameter.shape:
        return value
    return torch.empty_like(parameter).copy_(value).detach()
