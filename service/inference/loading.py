"""From a model's file to a predictor: open it, run it for the first time, decide how it is served.

model.onnx → load (checks its files; blocks; in a thread) → Loaded
→ predictor_of (on the event loop) → Predictor
"""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import structlog

from service.artifact.files import check_unchanged, files_of_model
from service.artifact.lock import check_locked
from service.batching.admission import Limits
from service.errors import ModelLoadError
from service.images.decoding import Decoder
from service.inference.model import Model, RunOptions
from service.inference.parity import check_parity
from service.inference.predictor import Predictor
from service.inference.warm_up import FirstRuns, warm_up
from service.machine.memory import give_back
from service.machine.plan import Plan
from service.settings import Settings
from service.telemetry.metrics import ModelMetrics

_log = structlog.get_logger()

OpenModel = Callable[[Path, RunOptions], Model]


@dataclass(frozen=True)
class Loaded:
    """A model that runs, and what its first runs told.

    Args:
        model: open.
        batches: whether requests may share its runs.
        in_place: whether its runs are so short that the event loop does them itself.
        row_ms: milliseconds of a run of one row; None where nothing was measured.
        batch_ms: milliseconds of a run of ``max_batch_size`` rows, likewise.
        compared: whether it was held against the vector of its export; not every file has one.
    """

    model: Model
    batches: bool
    in_place: bool = False
    row_ms: float | None = None
    batch_ms: float | None = None
    compared: bool = False


def load(path: Path, options: RunOptions, settings: Settings, open_model: OpenModel) -> Loaded:
    """Open a model's file and run it for the first time; blocks.

    Args:
        path: of the file, whether it is there or not.
        options: of its runs.
        settings: whether it is warmed up, and with how many rows.
        open_model: opens one model file.

    Raises:
        ModelLoadError: it cannot be served; the message names no path.
        StartError: the provider that was asked for is not the one that runs.
    """
    if not path.is_file():
        raise ModelLoadError("there is no file model.onnx in the version's folder")
    model = _checked(path, options, settings, open_model)
    told = (
        warm_up(model, settings.max_batch_size, settings.batch_buckets)
        if settings.warm_up
        else FirstRuns(model.signature.batches)
    )
    compared = _check_parity(path, model)
    give_back()
    times = _ms(told.row_s), _ms(told.batch_s)
    return Loaded(model, told.batches, told.in_place, *times, compared)


def run_options(settings: Settings, plan: Plan) -> RunOptions:
    """Return how models run.

    Args:
        settings: the operator's.
        plan: of processes and threads.
    """
    return RunOptions(
        settings.provider,
        plan.intra_op_threads,
        settings.cuda_cpu_fallback,
        settings.run_timeout_s,
    )


def predictor_of(
    loaded: Loaded,
    settings: Settings,
    decoder: Decoder,
    metrics: ModelMetrics,
    *,
    runners: int = 1,
) -> Predictor:
    """Return what answers for a model; called on the event loop.

    Args:
        loaded: the predictor's own from here on.
        settings: sizes and times.
        decoder: shared by all models.
        metrics: the model's.
        runners: runs of it at once.
    """
    limits = Limits(
        settings.max_batch_size,
        settings.max_queue_size,
        settings.max_queue_delay_ms / 1000,
        runners,
    )
    return Predictor(
        loaded.model,
        decoder,
        limits,
        metrics,
        request_timeout_s=settings.request_timeout_s,
        max_image_pixels=settings.max_image_pixels,
        scaled_decoding=settings.scaled_decoding,
        batches=loaded.batches,
        in_place=loaded.in_place,
        buckets=settings.batch_buckets,
    )


def _checked(path: Path, options: RunOptions, settings: Settings, open_model: OpenModel) -> Model:
    """Open a model whose files lie where they should, and are the lock's where that is asked."""
    files = files_of_model(path, settings.max_model_bytes)
    if settings.require_lock:
        check_locked(path.parents[2], files)
    model = open_model(path, options)
    try:
        check_unchanged(files)
    except ModelLoadError:
        model.terminate()
        raise
    return model


def _check_parity(path: Path, model: Model) -> bool:
    try:
        was_checked = check_parity(model)
    except ModelLoadError:
        model.terminate()
        raise
    if not was_checked:
        version, name = path.parent.name, path.parents[1].name
        _log.info("the model carries no parity vector", model=name, version=version)
    return was_checked


def _ms(seconds: float | None) -> float | None:
    return None if seconds is None else round(seconds * 1e3, 3)
