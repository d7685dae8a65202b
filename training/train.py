"""A whole run: data, network, epochs, held-out measurement, checkpoint."""

import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from rich.console import Console
from torch import nn, optim
from torch.utils.tensorboard import SummaryWriter

from training import checkpoint as checkpoints
from training import optim as optimizers
from training import plots, state
from training.batches import Batches
from training.checkpoint import Checkpoint
from training.config import ConfigError, TrainingConfig, without_name
from training.datasets import Dataset, Samples
from training.datasets import load as load_dataset
from training.display import Display, result_table
from training.inputs import ImageInput
from training.loop import Learned, Recipe, estimate_population_statistics, train_epoch
from training.metrics import Measured, evaluate
from training.models import ModelError, NormalizedNetwork, build, parse
from training.reproducible import deterministic, seed_of
from training.run_folder import RunFolder

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
    with folder.claimed():
        folder.prepare(config, fresh=fresh)
        if folder.finished:
            display.say(f"{folder.path} has finished already; --fresh trains it again")
        else:
            device = _device(config.training.device)
            with deterministic(device, config.training.threads):
                dataset = load_dataset(config.data)
                _train(_Run(config, folder, dataset, device, display))
    console.print(result_table(checkpoints.load(folder.checkpoint), folder.checkpoint))
    return folder.checkpoint


def _train(run: _Run) -> None:
    model, model_config = _network(run)
    optimizer = optimizers.build(run.config.optimizer, model)
    progress = state.restore(run.folder.state, model, optimizer)
    epochs = run.config.training.epochs
    with (
        SummaryWriter(str(run.folder.path), purge_step=progress.epochs + 1) as board,
        run.display.running(progress.epochs, epochs),
    ):
        while progress.epochs < epochs and not _out_of_patience(run.config, progress):
            row = _one_epoch(run, model, optimizer, progress)
            _note(progress, row, model)
            state.save(run.folder.state, model, optimizer, progress)
            run.folder.write_metrics(progress.history)
            _to_board(board, row)
            best = progress.best_epoch == progress.epochs
            run.display.epoch_ends(row, epochs, best=best)
    model.load_state_dict(progress.best)
    _finish(run, model, model_config, progress)


def _device(name: str) -> torch.device:
    if name == "cuda" and not torch.cuda.is_available():
        raise ConfigError("training.device: no CUDA device is available (got 'cuda')")
    if name == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    return torch.device(name)


def _network(run: _Run) -> tuple[NormalizedNetwork, dict[str, Any]]:
    """Build the network for the data set's input and classes, normalization set."""
    name, config = run.config.model["name"], _model_config(run.config, run.dataset)
    torch.manual_seed(seed_of(run.config.training.seed, _INITIAL_WEIGHTS))
    model = build(name, config)
    model.normalize.set_statistics(*_statistics(run.dataset.train))
    model.to(run.device)
    if isinstance(run.dataset.input, ImageInput):
        model.to(memory_format=torch.channels_last)  # type: ignore[call-overload]  # torch has no stub for it
    return model, config


def _model_config(config: TrainingConfig, dataset: Dataset) -> dict[str, Any]:
    """What the file says, and what follows from the data set."""
    name, given = config.model["name"], without_name(config.model)
    shape = dataset.input.shape
    axes = ("channels", "height", "width") if len(shape) == 3 else ("channels", "length")
    fields = {**dict(zip(axes, shape, strict=True)), "classes": len(dataset.labels), **given}
    try:
        parsed = parse(name, fields)
    except ModelError as error:
        raise ConfigError(f"model: {error}; {config.data.name} has inputs of {shape}") from error
    if (parsed.input_shape, parsed.classes) != (shape, len(dataset.labels)):
        raise ConfigError(
            f"model: {name} takes {parsed.input_shape} and gives {parsed.classes} classes, but"
            f" {config.data.name} has inputs of {shape} and {len(dataset.labels)} classes"
        )
    if len(shape) != 3 and config.augmentation.needs_images:
        wrong = config.augmentation.needs_images[0]
        raise ConfigError(f"augmentation.{wrong}: for images, but {config.data.name} has signals")
    return parsed.model_dump(mode="json")


def _statistics(samples: Samples) -> tuple[list[float], list[float]]:
    """Mean and standard deviation of each channel, in raw units; a constant channel has 1."""
    axes = (0, *range(2, samples.inputs.ndim))
    mean = samples.inputs.mean(axis=axes, dtype=np.float64)
    std = samples.inputs.std(axis=axes, dtype=np.float64)
    return mean.tolist(), np.where(std > 0, std, 1.0).tolist()


def _one_epoch(
    run: _Run, model: nn.Module, optimizer: optim.Optimizer, progress: state.Progress
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
    )
    learned = train_epoch(model, optimizer, batches, recipe, epoch, seed, run.display.step)
    validated = evaluate(model, run.batches(run.dataset.validation))
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


def _note(progress: state.Progress, row: dict[str, Any], model: nn.Module) -> None:
    """Keep the row, and the weights if no epoch was better: accuracy first, then loss."""
    rows = progress.history
    best = rows[progress.best_epoch - 1] if progress.best_epoch else None
    if best is None or _merit(row) > _merit(best):
        progress.best_epoch = row["epoch"]
        progress.best = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    rows.append(row)


def _merit(row: dict[str, Any]) -> tuple[float, float]:
    return row["validation_accuracy"], -row["validation_loss"]


def _out_of_patience(config: TrainingConfig, progress: state.Progress) -> bool:
    patience = config.training.patience
    return patience is not None and progress.epochs - progress.best_epoch >= patience


def _to_board(board: SummaryWriter, row: dict[str, Any]) -> None:
    for split in ("train", "validation"):
        for quantity in ("loss", "accuracy"):
            board.add_scalar(f"{quantity}/{split}", row[f"{split}_{quantity}"], row["epoch"])
    board.add_scalar("learning_rate", row["learning_rate"], row["epoch"])


def _finish(
    run: _Run, model: NormalizedNetwork, model_config: dict[str, Any], progress: state.Progress
) -> None:
    """Re-estimate batch norm, measure on the held-out split, draw, and write the checkpoint."""
    estimate_population_statistics(model, run.batches(run.dataset.train))
    measured = evaluate(model, run.batches(run.dataset.test))
    final = {"split": "test", "epoch": progress.best_epoch, "test_loss": measured.loss}
    final |= {"test_accuracy": measured.accuracy, "samples": measured.samples}
    run.folder.write_metrics([*progress.history, final])
    plots.curves(run.folder.curves, progress.history, progress.best_epoch)
    plots.confusion(run.folder.confusion, measured.confusion, run.dataset.labels)
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
    checkpoints.save(run.folder.checkpoint, written)
