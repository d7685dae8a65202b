"""Samples as torch batches: all in memory, uint8 until the moment they are used."""

from collections.abc import Iterator

import torch
from torch import Tensor

from training.augment import AugmentationConfig, augment
from training.datasets import Samples

Batch = tuple[Tensor, Tensor]

_ORDER_OF_STATISTICS = 0  # any fixed seed: update_bn wants mixed classes, the same every time


class Batches:
    """Hands out (inputs float32 (N, ...), targets int64 (N,)) on a device."""

    def __init__(self, samples: Samples, batch_size: int, device: torch.device) -> None:
        self._inputs = torch.from_numpy(samples.inputs)
        self._targets = torch.from_numpy(samples.targets)
        self._device = device
        self.batch_size = min(batch_size, len(samples))

    @property
    def steps(self) -> int:
        """Whole batches of an epoch; the few samples left over wait for another epoch's order."""
        return len(self._targets) // self.batch_size

    def in_order(self) -> Iterator[Batch]:
        """Every sample once, none changed."""
        for indices in self._chunks(torch.arange(len(self._targets))):
            yield self._take(indices)

    def for_statistics(self) -> Iterator[Tensor]:
        """Inputs in whole batches, none changed, in one fixed mixed order."""
        generator = torch.Generator().manual_seed(_ORDER_OF_STATISTICS)
        for indices in self._shuffled(generator):
            yield self._take(indices)[0]

    def shuffled(self, config: AugmentationConfig, seed: int) -> Iterator[Batch]:
        """One epoch: whole batches in random order, augmented; all of it follows from the seed."""
        generator = torch.Generator().manual_seed(seed)
        for indices in self._shuffled(generator):
            inputs = self._inputs[indices].float()
            yield self._place(augment(inputs, config, generator), self._targets[indices])

    def _shuffled(self, generator: torch.Generator) -> Iterator[Tensor]:
        order = torch.randperm(len(self._targets), generator=generator)
        return self._chunks(order[: self.steps * self.batch_size])

    def _chunks(self, order: Tensor) -> Iterator[Tensor]:
        for start in range(0, len(order), self.batch_size):
            yield order[start : start + self.batch_size]

    def _take(self, indices: Tensor) -> Batch:
        return self._place(self._inputs[indices].float(), self._targets[indices])

    def _place(self, inputs: Tensor, targets: Tensor) -> Batch:
        inputs = inputs.to(self._device)
        if inputs.dim() == 4:  # oneDNN's convolutions are a third faster so
            inputs = inputs.contiguous(memory_format=torch.channels_last)
        return inputs, targets.to(self._device)
