"""``.keras`` files: what is in one is looked at before Keras reads it, and no code in it is run.

Keras is started here, on PyTorch, in this process, without a look at the user's settings and
without a trace in the home folder.
"""

import contextlib
import importlib
import json
import os
import tempfile
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from export.errors import SourceError, UsageError, first_line
from export.sources.archive import DAMAGED, objects
from export.sources.tracing import quiet

BACKEND = "torch"
CONFIG = "config.json"
# Of a config. Weights are not read with it; the largest network of keras.applications has 1 MB.
LARGEST_CONFIG = 1 << 26  # bytes
# Unpacked: weights of the largest artifact, and beside them what an optimizer keeps of each.
LARGEST_ARCHIVE = 1 << 33  # bytes
POLICIES = frozenset(
    {"float16", "bfloat16", "float32", "float64", "mixed_float16", "mixed_bfloat16"}
)
# Whose code a file may name: Keras's own, and Python's where activations are meant by name.
OWN_MODULES = ("keras", "builtins")
LAMBDA = "__lambda__"
POLICY = "DTypePolicy"


def load(path: Path, dtype: str = "float32") -> Any:
    """Load a model, in one type throughout.

    Mixed precision is how a network was trained: its variables are float32, and so is the network
    that is loaded. What an artifact computes in is chosen when it is exported.

    Args:
        path: The ``.keras`` file.
        dtype: What variables are and what is computed in, in place of what the file says.

    Returns:
        The `keras.Model`, on the CPU.

    Raises:
        SourceError: It cannot be read, holds code, or was never built.
        UsageError: Keras runs on another backend in this process.
    """
    config = _read_config(path)
    _check_no_code(config, path)
    _set_type(config, dtype)
    keras = start()
    with tempfile.TemporaryDirectory() as folder, quiet(), keras.device("cpu"):
        copy = Path(folder, path.name)
        try:
            _write(path, copy, config)
        except DAMAGED as error:
            raise SourceError(f"{path} cannot be unpacked: {first_line(error)}") from error
        try:
            model = keras.saving.load_model(copy, compile=False, safe_mode=True)
        except Exception as error:
            raise SourceError(f"{path}: Keras cannot load it: {first_line(error)}") from error
    if not model.built or not getattr(model, "inputs", None):
        raise SourceError(
            f"{path}: the model was saved before it was built, so that it has no weights; give it "
            "a keras.Input or call it once, train it and save it again"
        )
    return model


def start() -> Any:
    """Keras, running on PyTorch.

    Raises:
        UsageError: It runs on another backend already.
    """
    with (
        tempfile.TemporaryDirectory() as home,
        _environment(KERAS_BACKEND=BACKEND, KERAS_HOME=home),
        quiet(),
    ):
        keras = importlib.import_module("keras")
    if keras.backend.backend() != BACKEND:
        raise UsageError(
            f"Keras runs on {keras.backend.backend()} in this process; .keras files are read with "
            f"KERAS_BACKEND={BACKEND}"
        )
    return keras


@contextlib.contextmanager
def _environment(**values: str) -> Iterator[None]:
    """Environment variables for as long as a library that knows no other switch is imported."""
    environment = os.environ  # noqa: TID251 - read by Keras when it is imported
    before = {name: environment.get(name) for name in values}
    environment.update(values)
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                environment.pop(name)
            else:
                environment[name] = value


def _read_config(path: Path) -> dict[str, Any]:
    if not path.is_file():
        raise SourceError(f"{path}: no such file")
    try:
        with zipfile.ZipFile(path) as archive:
            _check_sizes(archive, path)
            config = json.loads(archive.read(CONFIG))
    except DAMAGED as error:
        raise SourceError(f"{path} is no .keras file of Keras 3: {first_line(error)}") from error
    if not isinstance(config, dict):
        raise SourceError(f"{path} is no .keras file of Keras 3: its {CONFIG} is no object")
    return config


def _check_sizes(archive: zipfile.ZipFile, path: Path) -> None:
    if archive.getinfo(CONFIG).file_size > LARGEST_CONFIG:
        raise SourceError(f"{path}: its {CONFIG} is larger than {LARGEST_CONFIG} bytes")
    if sum(info.file_size for info in archive.infolist()) > LARGEST_ARCHIVE:
        raise SourceError(f"{path}: more than {LARGEST_ARCHIVE} bytes when unpacked")


def _write(path: Path, copy: Path, config: dict[str, Any]) -> None:
    """A copy of an archive with another config."""
    with zipfile.ZipFile(path) as archive, zipfile.ZipFile(copy, "w") as written:
        for info in archive.infolist():
            if info.filename == CONFIG:
                written.writestr(CONFIG, json.dumps(config))
                continue
            with archive.open(info) as source, written.open(info.filename, "w") as target:
                while chunk := source.read(1 << 20):
                    target.write(chunk)


def _check_no_code(config: dict[str, Any], path: Path) -> None:
    """Refuse what only the code that made the file could load, or what is code itself."""
    for found in objects(config):
        name, module = found.get("class_name"), found.get("module")
        if name == LAMBDA:
            raise SourceError(
                f"{path}: a Lambda layer holds Python code, which is not run; export to ONNX where "
                "the model was made, and give the .onnx file"
            )
        if isinstance(name, str) and name.endswith(POLICY) and name != POLICY:
            raise SourceError(f"{path}: the model is quantized ({name}); give it as it was before")
        registered = str(found.get("registered_name") or name)  # others' are ``package>name``
        own = module is None or str(module).split(".", 1)[0] in OWN_MODULES
        if isinstance(name, str) and (not own or ">" in registered):
            raise SourceError(
                f"{path}: {registered} is no part of Keras, and its code is not in the file; "
                "export to ONNX where the model was made, and give the .onnx file"
            )


def _is_float(dtype: Any) -> bool:
    """Whether that is a type or a policy of floats, as a layer's config has it."""
    if isinstance(dtype, dict) and dtype.get("class_name") == POLICY:
        dtype = dtype.get("config", {}).get("name")
    return isinstance(dtype, str) and dtype in POLICIES


def _set_type(config: dict[str, Any], dtype: str) -> None:
    """Replace every type of floats, in place; those of integers stay."""
    for found in objects(config):
        if _is_float(found.get("dtype")):
            found["dtype"] = dtype
