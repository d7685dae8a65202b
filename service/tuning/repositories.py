"""Repositories of one model, or of one version of it, made of links to folders.

A plan is measured with the version that it is about and nothing else in memory.
"""

import re
import shutil
from dataclasses import dataclass
from pathlib import Path

from service.errors import StartError

MODEL_FILE = "model.onnx"

# What the service takes for a model's name.
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*")


@dataclass(frozen=True)
class Source:
    """A model as the command names it.

    Args:
        name: under which it is served.
        folder: of its versions, or of the file.
        file: given in place of a folder of versions.
    """

    name: str
    folder: Path
    file: Path | None = None


def find_source(model: str, models: Path) -> Source:
    """Find a model by its name in a repository, or a file by its path.

    Raises:
        StartError: there is neither.
    """
    path = Path(model)
    if path.suffix == ".onnx":
        if not path.is_file():
            raise StartError(f"there is no file {model}")
        # Its own name may be none that the service takes.
        return Source("model", path.parent.absolute(), path.absolute())
    folder = models / model
    if not _NAME.fullmatch(model) or not folder.is_dir():
        raise StartError(f"there is no model {model} in {models}; --models names the repository")
    return Source(model, folder.absolute())


def whole(source: Source, place: Path) -> Path:
    """Make a repository of the model with all its versions.

    Args:
        source: the model.
        place: an empty folder for it.
    """
    if source.file is None:
        (place / source.name).symlink_to(source.folder)
    else:
        _link_file(source.file, place / source.name / "1")
    return place


def single(source: Source, version: str, place: Path) -> Path:
    """Make a repository of one version, or return the one that is there.

    Args:
        source: the model.
        version: of it.
        place: a folder for all such repositories.
    """
    repository = place / version
    target = repository / source.name / version
    if target.exists():
        return repository
    if source.file is None:
        target.parent.mkdir(parents=True)
        target.symlink_to(source.folder / version)
    else:
        _link_file(source.file, target)
    return repository


def _link_file(file: Path, folder: Path) -> None:
    """Make the folder of a version; what lies beside a ``model.onnx`` may belong to it."""
    if file.name == MODEL_FILE:
        folder.parent.mkdir(parents=True)
        folder.symlink_to(file.parent)
    else:
        folder.mkdir(parents=True)
        shutil.copyfile(file, folder / MODEL_FILE)  # a link to a file elsewhere is not loaded
