"""ONNX Runtime, the one place that loads it."""

import os
from typing import Any

import numpy as np
from numpy.typing import NDArray

# Read when the library is loaded: a tool that measures on private models sends nothing home.
os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")  # noqa: TID251 - the library has no other switch

import onnxruntime  # type: ignore[import-untyped]  # the wheel has no types

from export.errors import ExportError, SourceError, first_line
from export.sources.original import Feeds

# One thread: sums are added up in the same order on every machine, so the same source gives the
# same measured errors and with them the same bytes.
THREADS = 1
NOTHING_BUT_FATAL = 4  # it raises what it would log besides


class Runner:
    """A model loaded by ONNX Runtime."""

    def __init__(
        self, session: onnxruntime.InferenceSession, error: type[ExportError] = SourceError
    ) -> None:
        self._session, self._error = session, error

    def __call__(self, feeds: Feeds) -> list[NDArray[Any]]:
        """Run the model: arrays by input name to the outputs in order.

        Raises:
            ExportError: The model does not run on these arrays; of the class that `load` was given.
        """
        try:
            outputs = self._session.run(None, dict(feeds))
        except Exception as error:
            reason = first_line(error)
            raise self._error(f"ONNX Runtime cannot run the model: {reason}") from error
        return [np.asarray(output) for output in outputs]


PROVIDERS = {"cpu": "CPUExecutionProvider", "cuda": "CUDAExecutionProvider"}


def devices() -> frozenset[str]:
    """The devices that ONNX Runtime, as it is installed here, was built for."""
    built = onnxruntime.get_available_providers()
    return frozenset(device for device, provider in PROVIDERS.items() if provider in built)


def load(
    model: bytes,
    *,
    optimized: bool,
    error: type[ExportError] = SourceError,
    device: str = "cpu",
) -> Runner:
    """Load a serialized model.

    Args:
        model: The bytes of an ONNX file without external data.
        optimized: All of ONNX Runtime's own optimizations, or none.
        error: What to raise, now and where it does not run.
        device: "cpu" or "cuda"; single operators that CUDA lacks run on the CPU.

    Raises:
        ExportError: ONNX Runtime does not load it; of the class that was asked for.
    """
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = THREADS
    options.inter_op_num_threads = THREADS
    options.log_severity_level = NOTHING_BUT_FATAL
    levels = onnxruntime.GraphOptimizationLevel
    options.graph_optimization_level = (
        levels.ORT_ENABLE_ALL if optimized else levels.ORT_DISABLE_ALL
    )
    try:
        providers = list(dict.fromkeys((PROVIDERS[device], PROVIDERS["cpu"])))
        session = onnxruntime.InferenceSession(model, options, providers=providers)
    except Exception as failure:
        raise error(f"ONNX Runtime cannot load the model: {first_line(failure)}") from failure
    if PROVIDERS[device] not in session.get_providers():
        raise error(f"ONNX Runtime cannot run on {device} here")  # it falls back without a word
    return Runner(session, error)


def version() -> str:
    """The version of ONNX Runtime."""
    return str(onnxruntime.__version__)
