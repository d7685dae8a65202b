"""Networks of torchvision and timm by name, with random weights, as ONNX with its batch norms.

A program of its own, started with the Python that has the two libraries:

    python -m benchmarks.folding.architectures timm:repvgg_a0 repvgg_a0.onnx
"""

import importlib
import sys
from pathlib import Path

import numpy as np
import onnx_ir as ir
import torch
from torch import nn

from benchmarks.folding.inputs import images
from benchmarks.folding.weights import (
    CALIBRATION_BATCH,
    MEAN_DRIFT,
    NEGATIVE_GAMMAS,
    SMALLEST_DEVIATION,
    VARIANCE_DRIFT,
)
from export.sources.module import read_module

SEED = 20
SIZE = 224  # where a network does not name the size of its images
# Scales of a residual branch: they start at 1e-5 and then hide whatever is wrong in the branch.
LAYER_SCALES = ("gamma", "gamma_1", "gamma_2", "layer_scale", "layer_scale_1", "layer_scale_2")
BatchNorm = nn.BatchNorm1d | nn.BatchNorm2d | nn.BatchNorm3d  # timm derives its own from them
BATCH_NORMS = (nn.BatchNorm1d, nn.BatchNorm2d, nn.BatchNorm3d)


def export(name: str, path: Path, seed: int = SEED) -> None:
    """Write a network with random weights as ONNX, opset and names as the export stage has them.

    Args:
        name: ``torchvision:NAME`` or ``timm:NAME``.
        path: The file to write.
        seed: Of the weights.

    Raises:
        export.errors.SourceError: PyTorch cannot convert it, or not without losing a batch norm.
    """
    torch.manual_seed(seed)
    module, size = _build(name)
    randomize(module)
    calibrate(module, size)
    model, _ = read_module(module, size)
    ir.save(model, path)


def randomize(module: nn.Module) -> None:
    """Draw what starts at zero or one, so that every part has a say in the result."""
    for part in module.modules():
        if isinstance(part, BATCH_NORMS):
            nn.init.uniform_(part.weight, 0.5, 1.5)
            part.weight.data[torch.rand_like(part.weight) < NEGATIVE_GAMMAS] *= -1
            nn.init.normal_(part.bias, std=0.2)
        elif isinstance(part, nn.Conv2d | nn.Linear) and not part.weight.any():
            nn.init.kaiming_normal_(part.weight)
    for name, parameter in module.named_parameters():
        if name.rpartition(".")[2] in LAYER_SCALES:
            nn.init.uniform_(parameter, 0.2, 0.6)


def calibrate(module: nn.Module, size: tuple[int, ...]) -> None:
    """Give every batch norm the statistics of random data, and leave the module in eval mode."""
    norms = [part for part in module.modules() if isinstance(part, BATCH_NORMS)]
    module.eval()
    for norm in norms:
        norm.reset_running_stats()
        norm.momentum = None  # the plain average
        norm.train()
    with torch.no_grad():
        module(torch.from_numpy(images((CALIBRATION_BATCH, *size), np.random.default_rng(SEED))))
        for norm in norms:
            _drift(norm)
    module.eval()


def _drift(norm: BatchNorm) -> None:
    mean, variance = norm.running_mean, norm.running_var
    if mean is None or variance is None:
        return
    mean += MEAN_DRIFT * variance.sqrt() * torch.randn_like(mean)
    variance *= 1 + VARIANCE_DRIFT * (2 * torch.rand_like(variance) - 1)
    variance.clamp_(min=(SMALLEST_DEVIATION * mean).square())


def _build(name: str) -> tuple[nn.Module, tuple[int, ...]]:
    library, _, architecture = name.partition(":")
    if library == "torchvision":
        options = {"init_weights": True} if architecture in {"inception_v3", "googlenet"} else {}
        if options:
            options["aux_logits"] = False
        models = importlib.import_module("torchvision.models")
        return models.get_model(architecture, weights=None, **options), (3, SIZE, SIZE)
    timm = importlib.import_module("timm")
    module = timm.create_model(architecture, pretrained=False, exportable=True)
    return module, tuple(module.default_cfg.get("input_size", (3, SIZE, SIZE)))


if __name__ == "__main__":
    export(sys.argv[1], Path(sys.argv[2]))
