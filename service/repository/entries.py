"""The model repository: which models and versions there are, and in which state.

The layout is Triton's, ``<name>/<version>/model.onnx``. Names and versions are found by
listing the folder once; a request's words are only ever looked up among them.
"""

import os
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Literal

from service.errors import ModelNotFound, ModelNotReady, StartError, VersionNotFound
from service.inference.predictor import Predictor
from service.repository.in_use import InUse
from service.repository.names import MODEL_NAME, VERSION

MODEL_FILE = "model.onnx"

State = Literal["loading", "ready", "failed", "unavailable"]
Files = tuple[tuple[str, int, int, int], ...]
"""Name, size, time of change and inode of each file of a version."""


@dataclass(frozen=True)
class Entry:
    """One version of one model.

    Args:
        name: the folder's.
        version: the folder's.
        path: of the file, whether it is there or not.
        state: "loading", "ready", "failed", or "unavailable" once it was unloaded.
        reason: why it is not served, or why a newer file is not; without a path.
        predictor: there when the state is "ready".
        files: that the predictor was made from.
        refused: files that could not be loaded.
        in_use: entered by each request that the predictor answers, so that a version that is
            replaced or unloaded is closed behind the last of them.
    """

    name: str
    version: str
    path: Path
    state: State = "loading"
    reason: str | None = None
    predictor: Predictor | None = None
    files: Files = ()
    refused: Files = ()
    in_use: InUse = field(default_factory=InUse, compare=False)

    def ready(self, predictor: Predictor, files: Files = ()) -> "Entry":
        """Return the entry as one that is served."""
        return replace(self, state="ready", predictor=predictor, files=files, in_use=InUse())

    def failed(self, reason: str, refused: Files = ()) -> "Entry":
        """Return the entry as one that cannot be served."""
        return replace(self, state="failed", reason=reason, refused=refused)

    def outdated(self, reason: str, refused: Files = ()) -> "Entry":
        """Return the entry as one that is served on, because its newer file cannot be."""
        return replace(self, reason=f"a newer file is not served: {reason}", refused=refused)

    def current(self) -> "Entry":
        """Return the entry as one whose newer file is no more."""
        return replace(self, reason=None, refused=())

    def unloaded(self) -> "Entry":
        """Return the entry as one that clients no longer want."""
        return replace(self, state="unavailable", reason="unloaded", predictor=None, files=())


class Repository:
    """The entries by name and version; names and versions in ascending order.

    Args:
        entries: what was found.
    """

    def __init__(self, entries: Iterable[Entry] = ()) -> None:
        self._entries: dict[str, dict[str, Entry]] = {}
        for entry in entries:
            self.update(entry)

    def update(self, entry: Entry) -> None:
        """Put an entry in its place, or in the place of the one of its name and version."""
        versions = self._entries.get(entry.name, {})
        known = entry.version in versions
        versions[entry.version] = entry
        if not known:  # a new model or version: dictionaries keep the order of insertion
            ordered = sorted(versions.items(), key=lambda item: int(item[0]))
            models = self._entries | {entry.name: dict(ordered)}
            self._entries = dict(sorted(models.items()))

    def remove(self, entry: Entry) -> None:
        """Forget a version, and with its last one a model."""
        versions = self._entries[entry.name]
        del versions[entry.version]
        if not versions:
            del self._entries[entry.name]

    def __iter__(self) -> Iterator[Entry]:
        for versions in self._entries.values():
            yield from versions.values()

    @property
    def models(self) -> Mapping[str, Mapping[str, Entry]]:
        """Versions by model."""
        return self._entries

    def versions(self, name: str) -> Mapping[str, Entry]:
        """Return the versions of a model.

        Raises:
            ModelNotFound: there is no such model.
        """
        if name not in self._entries:
            raise ModelNotFound("there is no model of this name; GET /models lists them")
        return self._entries[name]

    def entry(self, name: str, version: str | None = None) -> Entry:
        """Return one version, by default the highest that is ready, or else the highest.

        Raises:
            ModelNotFound, VersionNotFound: there is no such thing.
        """
        versions = self.versions(name)
        if version is None:
            latest_first = list(versions.values())[::-1]
            return next((entry for entry in latest_first if entry.predictor), latest_first[0])
        if version not in versions:
            raise VersionNotFound(f"model {name} has no such version; it has {', '.join(versions)}")
        return versions[version]

    def serving(self, name: str, version: str | None = None) -> tuple[Entry, Predictor]:
        """Return one version that can answer.

        Raises:
            ModelNotFound, VersionNotFound: there is no such thing.
            ModelNotReady: it is there and was not loaded.
        """
        entry = self.entry(name, version)
        if entry.predictor is None:
            raise ModelNotReady(
                f"model {name} version {entry.version} is {entry.state}; GET /models has the reason"
            )
        return entry, entry.predictor

    def ready(self, name: str, version: str | None = None) -> Entry:
        """Return one version that can answer, and whose runs end.

        Raises:
            ModelNotFound, VersionNotFound: there is no such thing.
            ModelNotReady: it was not loaded, or its last run had to be ended.
        """
        entry, predictor = self.serving(name, version)
        if predictor.model.hangs:
            raise ModelNotReady(f"a run of model {name} version {entry.version} took too long")
        return entry


def find_models(root: Path, on_ignored: Callable[[str, str], None]) -> Iterator[Entry]:
    """List the versions in a repository; nothing is opened.

    Args:
        root: the repository's folder.
        on_ignored: told each folder that is no model or version, and why.

    Raises:
        StartError: the repository cannot be listed.
    """
    try:
        models = _folders(root)
    except OSError as error:
        raise StartError(
            f"cannot list the model repository {root}: {error.strerror};"
            " set FOLDSERVE_MODELS to a folder of <name>/<version>/model.onnx"
        ) from None
    for model in models:
        if not MODEL_NAME.fullmatch(model.name):
            on_ignored(model.name, "its name is no model's")
            continue
        try:
            versions = _folders(model)
        except OSError as error:
            on_ignored(model.name, f"it cannot be listed: {error.strerror}")
            continue
        for version in versions:
            if VERSION.fullmatch(version.name):
                yield Entry(model.name, version.name, version / MODEL_FILE)
            else:
                on_ignored(f"{model.name}/{version.name}", "its name is no version's")


def files_of(folder: Path) -> Files:
    """Return what tells a version's folder from the same folder with other files.

    Files whose names begin with a dot are not the version's: they may still be written.

    Raises:
        OSError: the folder or a file of it is not there any more.
    """
    paths = (path for path in folder.iterdir() if not path.name.startswith("."))
    files = sorted(path for path in paths if path.is_file())
    return tuple((file.name, *_identity(file.stat())) for file in files)


def file_of(path: Path) -> Files:
    """Return what tells a file from another in its place; nothing if there is none."""
    try:
        return ((path.name, *_identity(path.stat())),)
    except OSError:
        return ()


def _identity(status: os.stat_result) -> tuple[int, int, int]:
    return status.st_size, status.st_mtime_ns, status.st_ino


def _folders(parent: Path) -> list[Path]:
    """Return the folders in a folder, hidden ones left out."""
    found = sorted(parent.iterdir())
    return [path for path in found if path.is_dir() and not path.name.startswith(".")]
