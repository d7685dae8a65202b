"""The models that are served, each in a model repository of its own."""

import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import onnxruntime  # type: ignore[import-untyped]  # it has no types

ROOT = Path(__file__).parents[2]  # of the repository: where `python -m ...` finds everything
IMAGENET = ("--mean", "0.485,0.456,0.406", "--std", "0.229,0.224,0.225")
FACTORIES = "benchmarks.serving.networks"
# Name: how many classes it has, and what `foldserve-export build` is told of its input.
BUILT: Mapping[str, tuple[int, Sequence[str]]] = {
    "network8": (10, ("--input", "1x8x8", "--color", "L")),
    "network28": (10, ("--input", "1x28x28", "--color", "L")),
    "resnet18": (1000, ("--input", "3x224x224", "--color", "RGB", *IMAGENET)),
}
MODELS = ("network8", "digits", "network28", "resnet18")
BUILD_LIMIT_S = 600


class NoModelError(Exception):
    """A model cannot be made here; the message says why."""


@dataclass(frozen=True)
class ServedModel:
    """A model with one input (N, channels, height, width) and one output (N, classes).

    Attributes:
        name: In its repository, and in the table.
        repository: The folder with `<name>/1/model.onnx` in it.
        input: The input's name.
        shape: Of one input, without the batch.
    """

    name: str
    repository: Path
    input: str
    shape: tuple[int, int, int]

    @property
    def path(self) -> Path:
        """The ONNX file."""
        return self.repository / self.name / "1" / "model.onnx"


def provide(name: str, folder: Path) -> ServedModel:
    """A model as files.

    Args:
        name: One of `MODELS`.
        folder: Where those are built that this project does not bring; what is there is taken.

    Raises:
        NoModelError: It could not be built.
    """
    if name not in BUILT:
        return described(name, ROOT / "models")
    repository = folder.resolve() / name
    if not (repository / name / "1" / "model.onnx").exists():
        _build(name, repository)
    return described(name, repository)


def described(name: str, repository: Path) -> ServedModel:
    """A model of a repository, its input read from the file."""
    path = repository / name / "1" / "model.onnx"
    session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
    (declared,) = session.get_inputs()
    _, channels, height, width = declared.shape
    return ServedModel(name, repository, declared.name, (channels, height, width))


def _build(name: str, repository: Path) -> None:
    classes, options = BUILT[name]
    repository.mkdir(parents=True, exist_ok=True)
    labels = repository / "labels.txt"  # without them, a service classifies no pictures
    labels.write_text("".join(f"class {index}\n" for index in range(classes)))
    command = [sys.executable, "-m", "export", "build", f"{FACTORIES}:{name}", "--name", name]
    command += ["--output", str(repository), "--labels", str(labels), *options]
    done = subprocess.run(  # noqa: S603 - this project's own command
        command, cwd=ROOT, capture_output=True, text=True, timeout=BUILD_LIMIT_S, check=False
    )
    if done.returncode != 0:
        raise NoModelError(f"{name}: {done.stderr.strip() or done.stdout.strip()}")
