"""The one module that knows ONNX Runtime: open a model file, run it, end a run."""

import math
import os
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

# Before the import: the runtime reads it once, and a service tells nobody what it serves.
os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")  # noqa: TID251 -- set, not read

import onnxruntime  # type: ignore[import-untyped]  # the wheel has no types

from service.artifact.agreement import check_manifest
from service.artifact.manifest import METADATA_KEY, Manifest, read_manifest
from service.artifact.signature import Array, Signature, TensorSpec
from service.errors import (
    InferenceFailed,
    ModelLoadError,
    OutOfMemory,
    RunTimedOut,
    ServiceError,
    StartError,
)
from service.inference.watchdog import Turn, Watchdog

CPU = "CPUExecutionProvider"
CUDA = "CUDAExecutionProvider"

_DATATYPES = {
    "tensor(bool)": "BOOL",
    "tensor(uint8)": "UINT8",
    "tensor(uint16)": "UINT16",
    "tensor(uint32)": "UINT32",
    "tensor(uint64)": "UINT64",
    "tensor(int8)": "INT8",
    "tensor(int16)": "INT16",
    "tensor(int32)": "INT32",
    "tensor(int64)": "INT64",
    "tensor(float16)": "FP16",
    "tensor(float)": "FP32",
    "tensor(double)": "FP64",
    "tensor(string)": "BYTES",
}

# The runtime has no type of its own for it: its arenas say the first (bfc_arena.cc), C++ the
# second, CUDA and its libraries the rest.
_NO_MEMORY = re.compile(
    "Failed to allocate memory|bad_alloc|bad allocation|out of memory|ALLOC_FAILED", re.IGNORECASE
)

# As many as numpy's arrays have.
_MOST_DIMENSIONS = 64

_PATH = re.compile(r"\S*[/\\]\S*")
# The runtime quotes whole lists of operators; the first lines say what is wrong.
_LONGEST_REASON = 400

# Fatal only: an error is raised with the same words, and the runtime writes past our logs.
_LOG_SEVERITY = 4


@dataclass(frozen=True)
class RunOptions:
    """How models run on this machine.

    Args:
        provider: "cpu" or "cuda".
        intra_op_threads: of one run.
        cuda_cpu_fallback: whether nodes that CUDA lacks may run on the CPU.
        timeout_s: seconds of one run; a longer one is ended.
    """

    provider: str
    intra_op_threads: int
    cuda_cpu_fallback: bool = False
    timeout_s: float = math.inf


class Model(Protocol):
    """A model that can run; the tests have others than ONNX Runtime's."""

    signature: Signature
    manifest: Manifest | None
    provider: str

    @property
    def hangs(self) -> bool:
        """Whether a run takes too long now, or the last one that ended was ended for that."""

    def run(self, inputs: Mapping[str, Array]) -> dict[str, Array]:
        """Compute every output; blocks, and may be called from several threads."""

    def terminate(self) -> None:
        """End the runs in progress and those that would follow; they raise. Free the memory."""


class OnnxModel:
    """A session of ONNX Runtime with its signature and manifest.

    Args:
        session: an open session.
        timeout_s: seconds of one run; a longer one is ended.

    Raises:
        ModelLoadError: the graph has a type that the protocol cannot carry, or the manifest
            contradicts the graph.
    """

    def __init__(self, session: onnxruntime.InferenceSession, timeout_s: float = math.inf) -> None:
        self._session: Any = session
        self.provider: str = session.get_providers()[0].removesuffix("ExecutionProvider")
        self.signature = Signature(_specs(session.get_inputs()), _specs(session.get_outputs()))
        self._output_names = [spec.name for spec in self.signature.outputs]
        self.manifest = _manifest(session, self.signature)
        self._watchdog = Watchdog(onnxruntime.RunOptions, timeout_s)

    @property
    def hangs(self) -> bool:
        """Whether a run takes too long now, or the last one that ended was ended for that."""
        return self._watchdog.hangs

    def run(self, inputs: Mapping[str, Array]) -> dict[str, Array]:
        """Compute every output.

        Raises:
            InferenceFailed: the runtime refused the run, or the model is terminated.
            RunTimedOut: it took too long.
            OutOfMemory: there was not the memory for it.
        """
        names = self._output_names
        turn = self._watchdog.begin()
        try:
            # Of a terminated model there is no session, which is one failure more.
            values: Sequence[Array] = self._session.run(names, dict(inputs), turn.options)
        except Exception as error:
            raise _failure(error, turn) from error
        finally:
            self._watchdog.end(turn)
        return dict(zip(names, values, strict=True))

    def terminate(self) -> None:
        """End the runs in progress and those that would follow: ``InferenceFailed``.

        The weights are free at once; what else is left of a model waits for a collector.
        """
        self._watchdog.close()
        self._session = None


def open_model(path: Path, options: RunOptions) -> OnnxModel:
    """Open one model file.

    Raises:
        ModelLoadError: the file is not a model that can be served; the message has no path.
        StartError: the provider that was asked for is not the one that runs.
    """
    try:
        session = onnxruntime.InferenceSession(
            path,
            _session_options(options),
            providers=_providers(options),
            enable_fallback=0,  # it would try others, and tell of it on the standard output
        )
    except Exception as error:
        raise ModelLoadError(_reason(error, path)) from error
    check_provider(options.provider, session.get_providers())
    try:
        return OnnxModel(session, options.timeout_s)
    except UnicodeDecodeError:  # the runtime keeps bytes, and its bindings decode them here
        raise ModelLoadError("a name, or the metadata, in the file is not UTF-8") from None


def check_provider(asked: str, found: Sequence[str]) -> None:
    """Compare the provider that was asked for with those that the runtime has.

    Args:
        asked: "cpu" or "cuda".
        found: the providers of the build or of a session, the preferred one first.

    Raises:
        StartError: CUDA was asked for and is not there, or is not what runs.
    """
    if asked == "cuda" and CUDA not in found:
        raise StartError(
            f"FOLDSERVE_PROVIDER=cuda, but ONNX Runtime offers only {', '.join(found)}:"
            " install onnxruntime-gpu in place of onnxruntime, with CUDA and cuDNN,"
            " or set FOLDSERVE_PROVIDER=cpu"
        )


def prepare_provider(asked: str) -> None:
    """Check, before any model is opened, that the installed build has the provider.

    Raises:
        StartError: the build of ONNX Runtime has no CUDA.
    """
    check_provider(asked, onnxruntime.get_available_providers())
    if asked == "cuda":  # pragma: no cover -- needs the GPU build
        onnxruntime.preload_dlls()


def _failure(error: Exception, turn: Turn) -> ServiceError:
    """Return what a client is told of a run that failed."""
    if turn.was_ended:
        return RunTimedOut("the model took too long on this input, and was ended")
    if isinstance(error, MemoryError) or _NO_MEMORY.search(str(error)):
        return OutOfMemory("there is not the memory for this run; try again later, or fewer rows")
    return InferenceFailed("the model failed on this input")


def _providers(options: RunOptions) -> list[str]:
    if options.provider == "cpu":
        return [CPU]
    # The runtime refuses a CPU provider that is listed and forbidden at once.
    return [CUDA, CPU] if options.cuda_cpu_fallback else [CUDA]


def _session_options(options: RunOptions) -> onnxruntime.SessionOptions:
    session = onnxruntime.SessionOptions()
    session.log_severity_level = _LOG_SEVERITY
    session.intra_op_num_threads = options.intra_op_threads
    # Several sessions, the decoders and the event loop share the cores; a spinning thread takes
    # theirs. A lone session of two threads that was asked every 5 ms was at best a fifth faster
    # for it, of a run of a millisecond, and took three to eight times the processor's time.
    session.add_session_config_entry("session.intra_op.allow_spinning", "0")
    if options.provider == "cuda" and not options.cuda_cpu_fallback:
        session.add_session_config_entry("session.disable_cpu_ep_fallback", "1")
    return session


def _specs(nodes: Sequence[Any]) -> tuple[TensorSpec, ...]:
    return tuple(_spec(node) for node in nodes)


def _spec(node: Any) -> TensorSpec:
    if len(node.shape) > _MOST_DIMENSIONS:
        dimensions = f"{len(node.shape)} dimensions, of {_MOST_DIMENSIONS} that can be served"
        raise ModelLoadError(f"{node.name!r} has {dimensions}")
    if node.type not in _DATATYPES:
        raise ModelLoadError(f"{node.name!r} is of type {node.type}, which cannot be served")
    return TensorSpec(node.name, _DATATYPES[node.type], tuple(node.shape))


def _manifest(session: onnxruntime.InferenceSession, signature: Signature) -> Manifest | None:
    metadata: Mapping[str, str] = session.get_modelmeta().custom_metadata_map
    if METADATA_KEY not in metadata:
        return None
    manifest = read_manifest(metadata[METADATA_KEY])
    check_manifest(manifest, signature)
    return manifest


def _reason(error: Exception, path: Path) -> str:
    """Return the runtime's own words in one line, without a path of this or another machine."""
    text = str(error)
    for own in (path, path.parent, path.parent.resolve()):  # they may hold blanks
        text = text.replace(str(own), "/")
    words = _PATH.sub("(path)", " ".join(text.split()))
    return f"ONNX Runtime does not load it: {words[:_LONGEST_REASON]}"
