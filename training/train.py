"""A whole run: data, network, epochs, held-out measurement, checkpoint."""

import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from rich.console import Console
from torch import nn, optim
from torch.utils.tensorboard import SummaryWriter

from training import checkpoint as checkpoints
from training import optim as optimizers
from training import plots, samples_file, state
from training.batches import Batches
from training.checkpoint import Checkpoint
from training.config import ConfigError, TrainingConfig
from training.datasets import Dataset, Samples
from training.datasets import load as load_dataset
from training.display import Display, result_table
from training.loop import (
    Learned,
    Recipe,
    estimate_population_statistics,
    require_finite,
    train_epoch,
)
from training.metrics import Measured, answers, evaluate, example_mistakes, measure
from training.models import NormalizedNetwork
from training.network import fitted_config, initial
from training.progress import Progress
from training.reproducible import deterministic, seed_of
from training.run_folder import RunFolder, claimed

_INITIAL_WEIGHTS = 0  # the "epoch" whose seed the weights are drawn from; real ones count from 1


@dataclass(frozen=True)
class _Run:
    """The parts of a run that do not change."""

    config: TrainingConfig
    folder: RunFolder
    dataset: Dataset
    device: torch.device
    display: Display

    def batches(self, samples: Samples) -> Batches:
        return Batches(samples, self.config.training.batch_size, self.device)


def train(
    config: TrainingConfig,
    *,
    runs: Path = Path("runs"),
    fresh: bool = False,
    console: Console | None = None,
) -> Path:
    """Train as configured, or go on where a killed run stood.

    Args:
        config: What to train.
        runs: The run's folder is made in here.
        fresh: Begin anew even where there is something.
        console: Where to show progress; the standard output if none is given.

    Returns:
        The checkpoint's path.

    Raises:
        ConfigError: If model, data and device do not fit together.
        DatasetError: If the data set is missing or malformed.
        RunError: If the run's folder belongs to another configuration or process.
        NotFiniteError: If the training diverges.
    """
    console = console or Console()
    folder, display = RunFolder(runs / config.name), Display(console)
    with claimed(folder.path):
        if not fresh:
            folder.check(config)
        if folder.finished and not fresh:
            display.say(f"{folder.path} has finished already; --fresh trains it again")
        else:
            device = _device(config.training.device)
            with deterministic(device, config.training.threads):
                dataset = load_dataset(config.data)
                _train(_Run(config, folder, dataset, device, display), fresh=fresh)
    console.print(result_table(checkpoints.load(folder.checkpoint), folder.checkpoint))
    return folder.checkpoint


def _train(run: _Run, *, fresh: bool) -> None:
    seed = seed_of(run.config.training.seed, _INITIAL_WEIGHTS)
    model_config = fitted_config(run.config, run.dataset)
    model = initial(run.config.model["name"], model_config, run.dataset.train, seed, run.device)
    optimizer = optimizers.build(run.config.optimizer, model)
    # Not before all that can be refused was looked at: a misspelt folder must not cost a result.
    run.folder.prepare(run.config, fresh=fresh)
    progress = state.restore(run.folder.state, model, optimizer)
    epochs, patience = run.config.training.epochs, run.config.training.patience
    with (
        # Told again from the start: what a killed process had not flushed is in no events file.
        SummaryWriter(str(run.folder.path), purge_step=1) as board,
        run.display.running(progress.epochs, epochs),
    ):
        for row in progress.history:
            _to_board(board, row)
        while progress.epochs < epochs and not progress.out_of_patience(patience):
            row = _one_epoch(run, model, optimizer, progress)
            best = progress.note(row, model, len(run.dataset.validation))
            state.save(run.folder.state, model, optimizer, progress)
            run.folder.write_metrics(progress.history)
            _to_board(board, row)
            run.display.epoch_ends(row, epochs, best=best)
    model.load_state_dict(progress.best)
    _finish(run, model, model_config, progress)


def _device(name: str) -> torch.device:
    if name == "cuda" and not torch.cuda.is_available():
        raise ConfigError("training.device: no CUDA device is available (got 'cuda')")
    if name == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    return torch.device(name)


def _one_epoch(
    run: _Run, model: nn.Module, optimizer: optim.Optimizer, progress: Progress
) -> dict[str, Any]:
    """Fit, then look at the validation samples; one row of ``metrics.jsonl``."""
    began, epoch = time.monotonic(), progress.epochs
    batches, settings = run.batches(run.dataset.train), run.config.training
    run.display.epoch_begins(batches.steps)
    seed = seed_of(settings.seed, epoch + 1)
    torch.manual_seed(seed)  # dropout draws from the process-wide generator
    recipe = Recipe(
        run.config.optimizer.learning_rate,
        run.config.schedule,
        settings.epochs,
        settings.label_smoothing,
        run.config.augmentation,
        settings.precision,
    )
    learned = train_epoch(model, optimizer, batches, recipe, epoch, seed, run.display.step)
    validated = evaluate(model, run.batches(run.dataset.validation))
    # The last step's weights have met no loss yet: an epoch may end in ones that are no numbers.
    require_finite(validated.loss, epoch, recipe.learning_rate)
    return _row(epoch + 1, learned, validated, time.monotonic() - began)


def _row(epoch: int, learned: Learned, validated: Measured, seconds: float) -> dict[str, Any]:
    return {
        "epoch": epoch,
        "learning_rate": learned.learning_rate,
        "train_loss": learned.loss,
        "train_accuracy": learned.accuracy,
        "validation_loss": validated.loss,
        "validation_accuracy": validated.accuracy,
        "seconds": round(seconds, 3),
    }


def _to_board(board: SummaryWriter, row: dict[str, Any]) -> None:
    for split in ("train", "validation"):
        for quantity in ("loss", "accuracy"):
            board.add_scalar(f"{quantity}/{split}", row[f"{split}_{quantity}"], row["epoch"])
    board.add_scalar("learning_rate", row["learning_rate"], row["epoch"])


def _finish(
    run: _Run, model: NormalizedNetwork, model_config: dict[str, Any], progress: Progress
) -> None:
    """Re-estimate batch norm, measure on the held-out split, draw; the checkpoint comes last."""
    estimate_population_statistics(model, run.batches(run.dataset.train))
    logits, targets = answers(model, run.batches(run.dataset.test))
    measured = measure(logits, targets)
    final = {"split": "test", "epoch": progress.best_epoch, "test_loss": measured.loss}
    final |= {"test_accuracy": measured.accuracy, "samples": measured.samples}
    run.folder.write_metrics([*progress.history, final])
    plots.curves(run.folder.curves, progress.history, progress.best_epoch)
    plots.confusion(run.folder.confusion, measured.confusion, run.dataset.labels)
    mistakes = example_mistakes(logits, targets, plots.MOST_MISTAKES)
    plots.mistakes(run.folder.mistakes, run.dataset.test.inputs, mistakes, run.dataset.labels)
    samples_file.write(run.folder.samples, run.dataset)
    written = Checkpoint(
        model=model,
        model_name=run.config.model["name"],
        model_config=model_config,
        labels=run.dataset.labels,
        input=run.dataset.input,
        data=run.config.data.model_dump(mode="json"),
        metrics={
            "accuracy": measured.accuracy,
            "samples": measured.samples,
            "split": "test",
        },
    )
    run.folder.finish(lambda path: checkpoints.save(path, written))
