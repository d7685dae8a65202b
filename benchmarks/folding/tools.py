"""The folders that are compared, each run as its own documentation says.

A program of its own, so that one that crashes or hangs takes nothing with it, and so that peers may
live in another virtual environment than this project. Besides peers it imports onnx, numpy and
onnxruntime alone:

    python -m benchmarks.folding.tools onnxslim in.onnx out.onnx [in.onnx out.onnx ...]

Of every model it prints one line of JSON: `version`, `seconds` to fold what is loaded already, and
`invalid`, why the result is no valid model or null; or `failure`, why there is none.
"""

import importlib
import importlib.metadata
import json
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

MARK = "@@ "  # begins a line that is ours: tools print things of their own
Fold = Callable[[Any], Any]


def foldserve(mode: str) -> Fold:
    """This project's engine."""
    folding = importlib.import_module("export.folding")
    return lambda model: folding.fold(model, mode=mode).model


def onnxoptimizer() -> Fold:
    """All its fuse and elimination passes, until nothing changes."""
    tool = importlib.import_module("onnxoptimizer")
    passes = tool.get_fuse_and_elimination_passes()
    return lambda model: tool.optimize(model, passes, fixed_point=True)


def onnxscript() -> Fold:
    """`optimize`: constant folding and all default rewrite rules, those of batch norm included."""
    tool = importlib.import_module("onnxscript.optimizer")
    optimize: Fold = tool.optimize
    return optimize


def onnxslim() -> Fold:
    """`slim` with its defaults."""
    slim: Fold = importlib.import_module("onnxslim").slim
    return slim


def onnxsim() -> Fold:
    """`simplify` with its defaults."""
    tool = importlib.import_module("onnxsim")
    return lambda model: tool.simplify(model)[0]


def ort(level: str) -> Fold:
    """ONNX Runtime's own optimizations, written to a file (its "offline mode")."""
    runtime = importlib.import_module("onnxruntime")
    onnx = importlib.import_module("onnx")
    tempfile = importlib.import_module("tempfile")

    def optimize(model: Any) -> Any:
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / "optimized.onnx"
            options = _session_options(runtime, level)
            options.optimized_model_filepath = str(path)
            runtime.InferenceSession(model.SerializeToString(), options, providers=PROVIDERS)
            return onnx.load(path)

    return optimize


PROVIDERS = ["CPUExecutionProvider"]
# Name: the package whose version is shown, and what makes the fold.
TOOLS: Mapping[str, tuple[str, Callable[[], Fold]]] = {
    "safe": ("foldserve", lambda: foldserve("safe")),
    "fast": ("foldserve", lambda: foldserve("fast")),
    "all": ("foldserve", lambda: foldserve("all")),
    "onnxoptimizer": ("onnxoptimizer", onnxoptimizer),
    "onnxscript": ("onnxscript", onnxscript),
    "onnxslim": ("onnxslim", onnxslim),
    "onnxsim": ("onnxsim", onnxsim),
    "ort-basic": ("onnxruntime", lambda: ort("ORT_ENABLE_BASIC")),
    "ort-all": ("onnxruntime", lambda: ort("ORT_ENABLE_ALL")),
}
OWN = ("safe", "fast", "all")


def main(name: str, files: Sequence[str]) -> None:
    """Fold files with one tool, and say what came of each.

    Args:
        name: Of the tool.
        files: A model, where its folded twin goes, the next model, and so on.
    """
    package, load = TOOLS[name]
    try:
        fold = load()
        version = importlib.metadata.version(package)
    except (ImportError, importlib.metadata.PackageNotFoundError) as error:
        for _ in files[::2]:
            _say({"failure": f"missing: {error.name}"})
        return
    for source, target in zip(files[::2], files[1::2], strict=True):
        _say({"version": version, **attempt(fold, source, target)})


def attempt(fold: Fold, source: str, target: str) -> dict[str, object]:
    """Fold one file and check the result; what a line says."""
    onnx = importlib.import_module("onnx")
    try:
        model = onnx.load(source)
        begin = time.perf_counter()
        folded = fold(model)
        seconds = time.perf_counter() - begin
        onnx.save(folded, target)
    except Exception as error:  # noqa: BLE001 - a tool may raise anything, and that is its result
        return {"failure": f"{type(error).__name__}: {_first_line(error)}"}
    return {"seconds": seconds, "invalid": why_invalid(Path(target))}


def why_invalid(path: Path) -> str | None:
    """What the ONNX checker (shape inference included) or ONNX Runtime have against a file."""
    onnx = importlib.import_module("onnx")
    runtime = importlib.import_module("onnxruntime")
    try:
        onnx.checker.check_model(str(path), full_check=True)
    except Exception as error:  # noqa: BLE001 - whatever it raises is its verdict
        return f"checker: {_first_line(error)}"
    for level in ("ORT_DISABLE_ALL", "ORT_ENABLE_ALL"):
        try:
            options = _session_options(runtime, level)
            session = runtime.InferenceSession(str(path), options, providers=PROVIDERS)
            session.run(None, _feeds(session))
        except Exception as error:  # noqa: BLE001 - as above
            return f"ONNX Runtime: {_first_line(error)}"
    return None


def _feeds(session: Any) -> dict[str, Any]:
    numpy = importlib.import_module("numpy")
    types = {"tensor(float)": "float32", "tensor(float16)": "float16"}
    return {
        one.name: numpy.ones([s if isinstance(s, int) else 1 for s in one.shape], types[one.type])
        for one in session.get_inputs()
    }


def _session_options(runtime: Any, level: str) -> Any:
    options = runtime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    options.log_severity_level = 4  # what is fatal is raised besides
    options.graph_optimization_level = getattr(runtime.GraphOptimizationLevel, level)
    return options


def _first_line(error: Exception) -> str:
    return (str(error).strip() or type(error).__name__).splitlines()[0][:200]


def _say(what: dict[str, object]) -> None:
    print(MARK + json.dumps(what), flush=True)  # noqa: T201 - a program


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2:])
