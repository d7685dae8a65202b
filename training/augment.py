"""Random changes to training batches that leave the class as it is; seeded, in torch operations."""

import math

import torch
from pydantic import BaseModel, ConfigDict, Field
from torch import Tensor
from torch.nn import functional


class AugmentationConfig(BaseModel):
    """How much of each change; zero and false leave it out.

    ``flip``, ``rotation`` and ``scale`` are for images; the rest is for signals too.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    shift: int = Field(default=0, ge=0, le=64, description="pixels or samples, zeros move in")
    flip: bool = Field(default=False, description="left and right, every second image")
    rotation: float = Field(default=0.0, ge=0, le=180, description="degrees, either way")
    scale: float = Field(default=0.0, ge=0, lt=1, description="zoom by 1 - scale to 1 + scale")
    erase: float = Field(default=0.0, ge=0, le=1, description="share of inputs with a part erased")
    erase_size: float = Field(default=0.3, gt=0, le=1, description="longest side of that part")
    noise: float = Field(default=0.0, ge=0, le=1e6, description="standard deviation, in raw units")

    @property
    def needs_images(self) -> tuple[str, ...]:
        """Names of the changes in use that make no sense for a signal."""
        return tuple(name for name in ("flip", "rotation", "scale") if getattr(self, name))


def augment(batch: Tensor, config: AugmentationConfig, generator: torch.Generator) -> Tensor:
    """Change every input of a batch by its own random numbers.

    Args:
        batch: Raw values, (N, C, H, W) or (N, C, L).
        config: What to do; nothing is drawn for what is left out.
        generator: Where every random number comes from.

    Returns:
        A batch of the same shape; the one given is not written to.
    """
    if config.rotation or config.scale:
        batch = turn_and_zoom(batch, config.rotation, config.scale, generator)
    if config.shift:
        batch = shift(batch, config.shift, generator)
    if config.flip:
        batch = flip(batch, generator)
    if config.noise:
        batch = batch + config.noise * torch.randn(batch.shape, generator=generator)
    if config.erase:
        batch = erase(batch, config.erase, config.erase_size, generator)
    return batch


def shift(batch: Tensor, most: int, generator: torch.Generator) -> Tensor:
    """Move each input by up to ``most`` whole steps along every axis; zeros move in."""
    axes = batch.dim() - 2
    windows = functional.pad(batch, [most] * (2 * axes))
    for axis, extent in enumerate(batch.shape[2:], start=2):
        windows = windows.unfold(axis, extent, 1)
    offsets = torch.randint(0, 2 * most + 1, (axes, len(batch)), generator=generator)
    rows = torch.arange(len(batch))
    if axes == 1:
        return windows[rows, :, offsets[0]]
    return windows[rows, :, offsets[0], offsets[1]]


def flip(images: Tensor, generator: torch.Generator) -> Tensor:
    """Mirror every second image (by chance) left to right."""
    chosen = torch.rand(len(images), generator=generator) < 0.5
    return torch.where(chosen.view(-1, 1, 1, 1), images.flip(3), images)


def turn_and_zoom(
    images: Tensor, degrees: float, scale: float, generator: torch.Generator
) -> Tensor:
    """Rotate and zoom each image about its middle, bilinear; zeros outside."""
    count, _, height, width = images.shape
    angle = _between(-degrees, degrees, count, generator) * (math.pi / 180)
    zoom = _between(1 - scale, 1 + scale, count, generator)
    cos, sin, nothing = angle.cos() / zoom, angle.sin() / zoom, torch.zeros(count)
    # The grid's units are half an image: an image that is not square needs its aspect put back.
    rows = [
        torch.stack([cos, -sin * (height / width), nothing], dim=1),
        torch.stack([sin * (width / height), cos, nothing], dim=1),
    ]
    grid = functional.affine_grid(torch.stack(rows, dim=1), list(images.shape), align_corners=False)
    return functional.grid_sample(images, grid, align_corners=False)


def erase(batch: Tensor, share: float, most: float, generator: torch.Generator) -> Tensor:
    """Fill one box of some inputs with the batch's mean.

    Source: Z. Zhong et al., "Random Erasing Data Augmentation", AAAI 2020.
    """
    count = len(batch)
    inside = (torch.rand(count, generator=generator) < share).view(-1, *[1] * (batch.dim() - 1))
    for axis, extent in enumerate(batch.shape[2:], start=2):
        length = _between(0, most * extent, count, generator)
        start = torch.rand(count, generator=generator) * (extent - length)
        position = torch.arange(extent).add(0.5)
        along = (position >= start[:, None]) & (position < (start + length)[:, None])
        shape = [count, *[1] * (batch.dim() - 1)]
        shape[axis] = extent
        inside = inside & along.view(shape)
    return torch.where(inside, batch.mean(), batch)


def _between(low: float, high: float, count: int, generator: torch.Generator) -> Tensor:
    return low + (high - low) * torch.rand(count, generator=generator)
