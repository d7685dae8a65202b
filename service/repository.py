"""The model repository: which models and versions there are, and in which state.

The layout is Triton's, ``<name>/<version>/model.onnx``. Names and versions are found by
listing the folder once; a request's words are only ever looked up among them.
"""

import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

from service.errors import ModelNotFound, ModelNotReady, StartError, VersionNotFound
from service.predictor import Predictor

MODEL_FILE = "model.onnx"

# What needs no quoting in a URL, a metric's label or a shell.
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*")
# Triton's rule: a positive number without a leading zero; other folders are not versions.
_VERSION = re.compile(r"[1-9][0-9]{0,17}")


@dataclass(frozen=True)
class Entry:
    """One version of one model.

    Args:
        name: the folder's.
        version: the folder's.
        path: of the file, whether it is there or not.
        state: "loading", "ready" or "failed".
        reason: why it failed, without a path.
        predictor: there when the state is "ready".
    """

    name: str
    version: str
    path: Path
    state: Literal["loading", "ready", "failed"] = "loading"
    reason: str | None = None
    predictor: Predictor | None = None

    def ready(self, predictor: Predictor) -> "Entry":
        """Return the entry as one that is served."""
        return replace(self, state="ready", predictor=predictor)

    def failed(self, reason: str) -> "Entry":
        """Return the entry as one that cannot be served."""
        return replace(self, state="failed", reason=reason)


class Repository:
    """The entries by name and version; versions in ascending order.

    Args:
        entries: what was found.
    """

    def __init__(self, entries: Iterator[Entry]) -> None:
        self._entries: dict[str, dict[str, Entry]] = {}
        for entry in sorted(entries, key=lambda entry: (entry.name, int(entry.version))):
            self.update(entry)

    def update(self, entry: Entry) -> None:
        """Put an entry in the place of the one of its name and version."""
        self._entries.setdefault(entry.name, {})[entry.version] = entry

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
        if not _NAME.fullmatch(model.name):
            on_ignored(model.name, "its name is no model's")
            continue
        try:
            versions = _folders(model)
        except OSError as error:
            on_ignored(model.name, f"it cannot be listed: {error.strerror}")
            continue
        for version in versions:
            if _VERSION.fullmatch(version.name):
                yield Entry(model.name, version.name, version / MODEL_FILE)
            else:
                on_ignored(f"{model.name}/{version.name}", "its name is no version's")


def _folders(parent: Path) -> list[Path]:
    """Return the folders in a folder, hidden ones left out."""
    found = sorted(parent.iterdir())
    return [path for path in found if path.is_dir() and not path.name.startswith(".")]
