"""One trial: a network is trained for so many steps, and looked at on the way."""

import itertools
import math
from collections.abc import Iterator
from dataclasses import asdict, dataclass, field
from functools import cache

import numpy as np
import torch
from torch import Tensor, nn, optim
from torch.nn import functional

from training import optim as optimizers
from training.augment import AugmentationConfig
from training.batches import Batch, Batches
from training.config import without_name
from training.datasets import DataOptions, Dataset, Samples
from training.datasets import load as load_dataset
from training.metrics import evaluate
from training.models import NormalizedNetwork
from training.network import initial
from training.optim import OptimizerConfig
from training.reproducible import deterministic, seed_of
from training.study.config import Article, Deep, Part, StudyConfig
from training.study.inference import accuracies
from training.study.layers import observe
from training.study.trials import Trial

_CPU = torch.device("cpu")
_INITIAL_WEIGHTS = 0  # the "epoch" whose seed the weights are drawn from
_AT_ONCE = 512  # samples of an evaluation
_MOST_JUDGED = 2000  # samples of validation, and of the test set: half a point of standard error


@dataclass
class Outcome:
    """What became of a trial; of JSON's types.

    Attributes:
        validation: Step and validation accuracy, at every look.
        loss: Mean training loss between two looks.
        diverged: Whether the loss was no finite number; the rest is of the time before.
        train_accuracy: On as many training samples as are tested, at the end.
        test_accuracy: On the held-out split, at the end.
        layers: Of the first batch, before the first step and after the last.
        inference: Accuracy by the statistics that normalize; of trials of batch sizes.
    """

    validation: list[tuple[int, float]] = field(default_factory=list)
    loss: list[float] = field(default_factory=list)
    diverged: bool = False
    train_accuracy: float = math.nan
    test_accuracy: float = math.nan
    layers: dict[str, list[dict[str, float]]] = field(default_factory=dict)
    inference: dict[str, float] = field(default_factory=dict)


def run(config: StudyConfig, trial: Trial) -> Outcome:
    """Train and look; the same trial has the same outcome on one kind of processor."""
    part: Part = getattr(config, trial.part)
    dataset = _dataset(part.data)
    with deterministic(_CPU, threads=1):
        model = _network(part, dataset, trial)
        settings = OptimizerConfig(
            learning_rate=trial.learning_rate, momentum=config.momentum, weight_decay=0
        )
        bench = _Bench(part, dataset, trial)
        return bench.train(model, optimizers.build(settings, model))


@cache
def _dataset(options: DataOptions) -> Dataset:
    """A process runs many trials on two data sets."""
    return load_dataset(options)


def _network(part: Part, dataset: Dataset, trial: Trial) -> NormalizedNetwork:
    axes = (
        ("channels", "height", "width")
        if dataset.train.inputs.ndim == 4
        else ("channels", "length")
    )
    fields = without_name(part.model) | {"batch_norm": trial.batch_norm}
    fields |= dict(zip(axes, dataset.train.inputs.shape[1:], strict=True))
    fields |= {"classes": len(dataset.labels)}
    if isinstance(part, Deep):
        fields["filters"] = (part.width,) * trial.depth
    seed = seed_of(trial.seed, _INITIAL_WEIGHTS)
    model = initial(part.model["name"], fields, dataset.train, seed, _CPU)
    with torch.no_grad():
        for each in model.modules():
            if isinstance(each, nn.Conv1d | nn.Conv2d):
                each.weight.mul_(trial.scale)
    return model


class _Bench:
    """The samples of one trial."""

    def __init__(self, part: Part, dataset: Dataset, trial: Trial) -> None:
        self._part, self._trial = part, trial
        steps, looks = trial.steps, min(part.looks, trial.steps)
        self._looks = {steps * look // looks for look in range(1, looks + 1)}
        self._train = Batches(dataset.train, trial.batch_size, _CPU)
        self._judged = {
            "train": _some(dataset.train),
            "validation": _some(dataset.validation),
            "test": _some(dataset.test),
        }

    def train(self, model: nn.Module, optimizer: optim.Optimizer) -> Outcome:
        outcome, losses = Outcome(), list[float]()
        first: Batch | None = None
        for step, (inputs, targets) in enumerate(self._steps(), start=1):
            if first is None:
                first = inputs, targets
                outcome.layers["first"] = list(map(asdict, observe(model, *first)))
            losses.append(_step(model, optimizer, inputs, targets))
            if not math.isfinite(losses[-1]):
                outcome.diverged = True
                return outcome
            if step in self._looks:
                outcome.loss.append(float(np.mean(losses)))
                outcome.validation.append((step, self._accuracy(model, "validation")))
                losses.clear()
        if first is not None:
            outcome.layers["last"] = list(map(asdict, observe(model, *first)))
        outcome.train_accuracy = self._accuracy(model, "train")
        outcome.test_accuracy = self._accuracy(model, "test")
        if self._trial.purpose == "batches" and self._trial.batch_norm != "none":
            sizes = self._part.inference_batch_sizes if isinstance(self._part, Article) else ()
            outcome.inference = accuracies(model, self._train, self._judged["test"], sizes)
        return outcome

    def _steps(self) -> Iterator[Batch]:
        """As many batches as the trial has steps, in an order of its seed in each epoch."""
        epochs = (
            self._train.shuffled(AugmentationConfig(), seed_of(self._trial.seed, epoch))
            for epoch in itertools.count(1)
        )
        return itertools.islice(itertools.chain.from_iterable(epochs), self._trial.steps)

    def _accuracy(self, model: nn.Module, split: str) -> float:
        return evaluate(model, Batches(self._judged[split], _AT_ONCE, _CPU)).accuracy


def _some(samples: Samples) -> Samples:
    """The first so many; the splits are in no order of classes."""
    return Samples(samples.inputs[:_MOST_JUDGED], samples.targets[:_MOST_JUDGED])


def _step(model: nn.Module, optimizer: optim.Optimizer, inputs: Tensor, targets: Tensor) -> float:
    loss = functional.cross_entropy(model(inputs), targets)
    optimizer.zero_grad()
    loss.backward()  # type: ignore[no-untyped-call]  # torch leaves it without annotations
    optimizer.step()
    return loss.item()
