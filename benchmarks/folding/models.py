"""Which models to compare: names and files to ONNX files.

resnet50.onnx          a file
light:resnet50         one of ONNX's light networks; `light` is all of them
pattern:repvgg         one of the small networks; `pattern` is all of them
torchvision:resnet18   an architecture of torchvision, with random weights
timm:levit_128s        one of timm
"""

import subprocess
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path

import onnx

from benchmarks.folding.light import light
from benchmarks.folding.light import names as light_names
from benchmarks.folding.patterns import PATTERNS, pattern
from benchmarks.folding.running import ROOT

MADE_HERE: Mapping[str, Callable[[str], onnx.ModelProto]] = {"light": light, "pattern": pattern}
ELSEWHERE = frozenset({"torchvision", "timm"})
LARGEST_BATCH = 200_000_000  # bytes
EXPORT_LIMIT_S = 900  # the largest architectures take minutes to trace


class UnknownModelError(Exception):
    """There is no such model, or it cannot be made here."""


def expand(wanted: Sequence[str]) -> list[str]:
    """Names with `light` and `pattern` written out as all that there are."""
    every = {
        "light": [f"light:{name}" for name in light_names()],
        "pattern": [f"pattern:{name}" for name in PATTERNS],
    }
    return [name for one in wanted for name in every.get(one, [one])]


def provide(name: str, folder: Path, architectures: Path) -> Path:
    """A model as a file.

    Args:
        name: As above.
        folder: Where a file goes that has to be made; one that is there is taken as it is.
        architectures: The Python that has torchvision and timm.

    Raises:
        UnknownModelError: There is no such model, or its library is missing.
    """
    kind, _, which = name.partition(":")
    if kind not in ELSEWHERE | MADE_HERE.keys():
        if not Path(name).is_file():
            raise UnknownModelError(f"{name}: no such file")
        return Path(name)
    path = folder / f"{kind}_{which}.onnx"
    if not path.exists():
        folder.mkdir(parents=True, exist_ok=True)
        _make(kind, which, path, architectures)
    return path


def batches(models: Iterable[tuple[str, Path]]) -> Iterator[dict[str, Path]]:
    """Models in groups that tools start once for, names and files.

    Every tool's result of every model of a group is on disk at one time.
    """
    group: dict[str, Path] = {}
    size = 0
    for name, path in models:
        if group and size + path.stat().st_size > LARGEST_BATCH:
            yield group
            group, size = {}, 0
        group[name] = path
        size += path.stat().st_size
    if group:
        yield group


def _make(kind: str, which: str, path: Path, architectures: Path) -> None:
    if kind in ELSEWHERE:
        _export(f"{kind}:{which}", path, architectures)
        return
    try:
        model = MADE_HERE[kind](which)
    except (KeyError, FileNotFoundError) as error:
        raise UnknownModelError(f"{kind}:{which}: there is none of this name") from error
    onnx.save(model, path)


def _export(name: str, path: Path, architectures: Path) -> None:
    module = "benchmarks.folding.architectures"
    command = [str(architectures), "-W", "ignore", "-m", module, name, str(path.resolve())]
    try:
        done = subprocess.run(  # noqa: S603 - the interpreter that the user named
            command, cwd=ROOT, capture_output=True, timeout=EXPORT_LIMIT_S, check=False
        )
    except subprocess.TimeoutExpired as error:
        raise UnknownModelError(f"{name}: not exported in {EXPORT_LIMIT_S} s") from error
    except OSError as error:
        raise UnknownModelError(f"{name}: {architectures} does not start: {error}") from error
    if done.returncode != 0:
        said = done.stderr.decode(errors="replace").strip().splitlines() or ["no word"]
        raise UnknownModelError(f"{name}: {said[-1][:200]}")
