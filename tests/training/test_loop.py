import copy
from itertools import chain

import numpy as np
import pytest
import torch
from torch import nn

from training.augment import AugmentationConfig
from training.batches import Batches
from training.datasets import Samples, load
from training.loop import NotFiniteError, Recipe, estimate_population_statistics, train_epoch
from training.metrics import evaluate, example_mistakes, measure
from training.models import build
from training.optim import OptimizerConfig
from training.optim import build as build_optimizer
from training.progress import Progress, standard_error
from training.schedule import ScheduleConfig

CPU = torch.device("cpu")


def numbered(count: int) -> Samples:
    """Every input says which one it is."""
    inputs = np.arange(count, dtype=np.uint8).reshape(-1, 1, 1, 1)
    return Samples(inputs, np.arange(count, dtype=np.int64))


def a_network() -> nn.Module:
    torch.manual_seed(0)
    model = build("residual", {"height": 8, "width": 8, "filters": [8], "blocks": [1]})
    model.normalize.set_statistics([78.0], [95.0])
    return model


def test_an_epoch_has_every_sample_at_most_once_in_whole_batches() -> None:
    batches = list(Batches(numbered(50), 16, CPU).shuffled(AugmentationConfig(), seed=0))

    seen = torch.cat([targets for _, targets in batches])
    assert [len(targets) for _, targets in batches] == [16] * 3
    assert len(set(seen.tolist())) == 48
    assert all(torch.equal(x.flatten(), y.float()) for x, y in batches)


def test_the_order_follows_from_the_seed() -> None:
    batches = Batches(numbered(50), 16, CPU)

    def order(seed: int) -> list[int]:
        return [int(t) for _, ts in batches.shuffled(AugmentationConfig(), seed) for t in ts]

    assert order(1) == order(1) != order(2)


def test_in_order_every_sample_comes_once() -> None:
    seen = [int(t) for _, targets in Batches(numbered(50), 16, CPU).in_order() for t in targets]

    assert seen == list(range(50))


def test_a_batch_larger_than_the_set_becomes_the_set() -> None:
    batches = Batches(numbered(5), 16, CPU)

    assert (batches.steps, batches.batch_size) == (1, 5)


def test_statistics_are_taken_in_one_mixed_order() -> None:
    batches = Batches(numbered(50), 10, CPU)

    first, again = ([x.flatten().tolist() for x in batches.for_statistics()] for _ in range(2))

    assert first == again
    assert sorted(chain.from_iterable(first)) == list(range(50))
    assert all(max(batch) - min(batch) > 15 for batch in first)  # sorted ones would span 9


def test_population_statistics_are_those_of_the_whole_training_set() -> None:
    samples = load({"name": "digits", "train_limit": 640}).train
    model = a_network()
    first_norm = next(m for m in model.modules() if isinstance(m, nn.BatchNorm2d))
    before = first_norm.running_mean.clone() if first_norm.running_mean is not None else None

    estimate_population_statistics(model, Batches(samples, 64, CPU))

    conv = next(m for m in model.modules() if isinstance(m, nn.Conv2d))
    with torch.no_grad():
        normalized = model.get_submodule("normalize")(torch.from_numpy(samples.inputs).float())
        expected = conv(normalized).double().mean(dim=(0, 2, 3))
    assert first_norm.running_mean is not None
    assert before is not None
    # equal batches: the mean of their means is the mean, but for float32 sums
    assert (first_norm.running_mean - expected).abs().max() < 1e-5
    assert (before - expected).abs().max() > 1e-2  # the check can fail
    assert first_norm.momentum == 0.1  # given back
    assert not model.training


def test_an_epoch_learns() -> None:
    torch.manual_seed(0)
    dataset = load({"name": "digits"})
    model = build("cnn2d", {"channels": 1, "height": 8, "width": 8})
    model.normalize.set_statistics([78.0], [95.0])
    batches = Batches(dataset.train, 32, CPU)
    optimizer = build_optimizer(OptimizerConfig(learning_rate=0.1), model)
    recipe = Recipe(0.1, ScheduleConfig(), 1, 0.0, AugmentationConfig())
    steps: list[int] = []

    learned = train_epoch(model, optimizer, batches, recipe, 0, 0, lambda: steps.append(1))
    after = evaluate(model, Batches(dataset.validation, 32, CPU))

    assert after.accuracy > 0.5  # a guess has 0.1
    assert len(steps) == batches.steps
    assert 0 < learned.learning_rate < 1e-3  # the schedule's end


def test_a_loss_that_is_no_number_stops_the_training() -> None:
    model = a_network()
    optimizer = build_optimizer(OptimizerConfig(learning_rate=0.1), model)
    nn.init.constant_(model.get_parameter("network.classifier.weight"), torch.inf)
    batches = Batches(load({"name": "digits"}).train, 32, CPU)
    recipe = Recipe(0.1, ScheduleConfig(), 1, 0.0, AugmentationConfig())

    with pytest.raises(NotFiniteError, match="learning_rate is too high"):
        train_epoch(model, optimizer, batches, recipe, 0, 0, lambda: None)


def test_an_evaluation_counts_loss_accuracy_and_confusion() -> None:
    logits = torch.tensor([[9.0, 0, 0], [0, 9, 0], [9, 0, 0], [0, 0, 9]])

    measured = measure(logits, torch.tensor([0, 1, 2, 2]))

    assert measured.confusion.tolist() == [[1, 0, 0], [0, 1, 0], [1, 0, 1]]
    assert (measured.samples, measured.accuracy) == (4, 0.75)
    assert measured.loss == pytest.approx(9 / 4, rel=1e-3)  # one miss by 9, three hits near 0


def test_of_each_kind_of_mistake_the_surest_is_shown_and_frequent_kinds_first() -> None:
    logits = torch.tensor([[9.0, 0, 0], [0, 3, 0], [4, 0, 0], [5, 0, 0], [0, 8, 0], [9, 0, 0]])
    targets = torch.tensor([0, 0, 1, 1, 2, 1])

    found = example_mistakes(logits, targets, most=2)

    # 1 taken for 0 three times, the last of them the surest; of those that came once, the surest.
    assert [(each.index, each.actual, each.predicted) for each in found] == [(5, 1, 0), (4, 2, 1)]
    assert found[0].probability == pytest.approx(torch.tensor([9.0, 0, 0]).softmax(0)[0].item())
    assert example_mistakes(logits[:1], targets[:1], most=2) == []


def test_an_evaluation_gives_the_mode_back_and_changes_no_weight() -> None:
    model = a_network().train()
    before = copy.deepcopy(model.state_dict())

    evaluate(model, Batches(load({"name": "digits"}).test, 64, CPU))

    assert model.training
    assert all(torch.equal(before[name], value) for name, value in model.state_dict().items())


def a_row(epoch: int, accuracy: float, loss: float) -> dict[str, float]:
    return {"epoch": epoch, "validation_accuracy": accuracy, "validation_loss": loss}


def noted(rows: list[tuple[float, float]], samples: int) -> tuple[Progress, list[bool]]:
    progress, model = Progress(), nn.Linear(1, 1)
    chosen = [progress.note(a_row(i, *r), model, samples) for i, r in enumerate(rows, start=1)]
    return progress, chosen


def test_of_epochs_that_the_samples_cannot_tell_apart_the_latest_is_chosen() -> None:
    # the standard error of 90 % on 900 samples is 1 %
    rows = [(0.5, 1.0), (0.9, 0.4), (0.895, 0.5), (0.88, 0.3)]

    progress, chosen = noted(rows, 900)

    assert chosen == [True, True, True, False]
    assert progress.best_epoch == 3


def test_of_epochs_that_many_samples_can_tell_apart_the_best_is_chosen() -> None:
    progress, _ = noted([(0.5, 1.0), (0.9, 0.4), (0.895, 0.5), (0.88, 0.3)], 90_000)

    assert progress.best_epoch == 2


def test_even_where_all_samples_are_correct_the_error_is_not_zero() -> None:
    assert standard_error(1.0, 144) == pytest.approx(0.0095, abs=1e-4)
    assert standard_error(0.9, 900) == pytest.approx(0.01, rel=0.01)


def test_the_chosen_weights_are_a_copy() -> None:
    progress, model = Progress(), nn.Linear(1, 1)
    progress.note(a_row(1, 0.5, 1), model, 100)
    kept = progress.best["weight"].clone()

    nn.init.constant_(model.weight, 7)

    assert torch.equal(progress.best["weight"], kept)


def test_patience_ends_after_so_many_epochs_without_a_better_one() -> None:
    # the second is better: as accurate, with less loss
    progress, _ = noted([(0.5, 1.0), (0.5, 0.9), (0.4, 1), (0.5, 0.95)], 100)

    assert [progress.out_of_patience(p) for p in (None, 3, 2)] == [False, False, True]
    assert not Progress().out_of_patience(1)
