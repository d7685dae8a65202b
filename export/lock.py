"""``lock.json``: the hash of every model's file in a repository, for a service that asks for it.

`service/artifact/lock.py` reads it. A build says in ``.lock.json.pending`` what it is about to
write before it writes, and records it afterwards. Where it is killed between, the model may be new
and its hash old: the service refuses such a file, or serves on what it has in memory, until the
next build or `lock` settles it. That takes over only what was announced, so a file that somebody
else put there does not come into the lock by accident.
"""

import contextlib
import fcntl
import hashlib
import json
import os
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

from export import artifact
from export.artifact import CHECKPOINT_FILE, MODEL_FILE, PAGE_FILE, Place
from export.errors import ArtifactError
from export.sources.onnx import external_files

LOCK_FILE = "lock.json"
PENDING_FILE = ".lock.json.pending"
FORMAT_VERSION = 1
# Bytes; the service reads no larger one. An entry takes 150: enough for 25,000 files.
LARGEST = 4 * 2**20

Files = dict[str, dict[str, Any]]
"""Hash and size of files by their paths in the repository."""


def put(place: Place, data: bytes, checkpoint: Path | None = None, page: str | None = None) -> Path:
    """Write an artifact, as `artifact.write`, and its hash into the repository's lock.

    Raises:
        ArtifactError: It cannot be written, or the lock cannot be read.
    """
    name = place.model.relative_to(place.repository).as_posix()
    new = {name: _entry(data)}
    with _alone(place.repository):
        files = _settled(place.repository)
        _sweep(place.folder)
        _write(place.repository / PENDING_FILE, new)
        try:
            path = artifact.write(place, data, checkpoint, page)
            gone = [one for one in files if one.startswith(f"{Path(name).parent}/")]
            _record(place.repository, {n: e for n, e in files.items() if n not in gone} | new)
        except BaseException:
            if not _is(place.model, new[name]):  # else the next build settles it
                (place.repository / PENDING_FILE).unlink(missing_ok=True)
            raise
        (place.repository / PENDING_FILE).unlink(missing_ok=True)
    return path


def lock(repository: Path) -> Files:
    """Write the lock of a repository anew, from the files that lie there now.

    Raises:
        ArtifactError: There is no such repository, or a file of it cannot be read or written.
    """
    _check_repository(repository)
    with _alone(repository):
        found = _found(repository)
        _record(repository, found)
        (repository / PENDING_FILE).unlink(missing_ok=True)
    return found


def differences(repository: Path) -> list[str]:
    """Say in a line each where a repository is not as its lock says; nothing is written.

    Raises:
        ArtifactError: There is no repository or no lock, or a file cannot be read.
    """
    _check_repository(repository)
    if not (repository / LOCK_FILE).exists():
        raise ArtifactError(f"{repository} has no {LOCK_FILE}; foldserve-export lock writes it")
    locked, found = _read(repository / LOCK_FILE), _found(repository)
    return [
        *(f"{name} is missing" for name in sorted(locked.keys() - found.keys())),
        *(f"{name} is not in the lock" for name in sorted(found.keys() - locked.keys())),
        *(
            f"{name} is another file than the lock's"
            for name in sorted(found.keys() & locked.keys())
            if found[name] != locked[name]
        ),
    ]


def _check_repository(repository: Path) -> None:
    if not repository.is_dir():
        raise ArtifactError(f"{repository} is no folder; name that of <name>/<version>/model.onnx")


def _found(repository: Path) -> Files:
    found = {}
    for model in sorted(repository.glob(f"[!.]*/[1-9]*/{MODEL_FILE}")):
        for path in (model, *sorted(external_files(model))):
            found[path.relative_to(repository).as_posix()] = _hashed(path)
    return found


def _settled(repository: Path) -> Files:
    """What the lock says, and of what a killed build announced that which it wrote."""
    files = _read(repository / LOCK_FILE)
    announced = _read(repository / PENDING_FILE)
    written = {n: e for n, e in announced.items() if _is(repository / n, e)}
    if written:
        files |= written
        _record(repository, files)
    return files


def _is(path: Path, entry: Mapping[str, Any]) -> bool:
    return path.is_file() and _hashed(path) == entry


def _hashed(path: Path) -> dict[str, Any]:
    try:
        with path.open("rb") as file:
            digest = hashlib.file_digest(file, "sha256").hexdigest()
        return {"sha256": digest, "bytes": path.stat().st_size}
    except OSError as error:
        raise ArtifactError(f"{path} cannot be read: {error.strerror}") from error


def _entry(data: bytes) -> dict[str, Any]:
    return {"sha256": hashlib.sha256(data).hexdigest(), "bytes": len(data)}


def _read(path: Path) -> Files:
    """The files that a lock names, none if there is no lock."""
    try:
        document = json.loads(_bounded(path))
        versions = {FORMAT_VERSION: document["files"]}
        files = versions[document["format_version"]]
        return {str(name): dict(entry) for name, entry in files.items()}
    except FileNotFoundError:
        return {}
    except (OSError, ValueError, TypeError, KeyError, AttributeError, RecursionError) as error:
        raise ArtifactError(
            f"{path} cannot be read; foldserve-export lock {path.parent} writes the lock anew"
        ) from error


def _bounded(path: Path) -> bytes:
    with path.open("rb") as file:
        text = file.read(LARGEST + 1)
    if len(text) > LARGEST:
        raise ValueError(f"more than {LARGEST} bytes")
    return text


def _record(repository: Path, files: Files) -> None:
    _write(repository / LOCK_FILE, dict(sorted(files.items())))


def _write(path: Path, files: Files) -> None:
    document = {"format_version": FORMAT_VERSION, "files": files}
    artifact.write_file(path, (json.dumps(document, indent=1) + "\n").encode())


def _sweep(folder: Path) -> None:
    """Remove what killed builds left half-written; whoever holds the repository is alone here."""
    _remove(
        path
        for name in (MODEL_FILE, CHECKPOINT_FILE, PAGE_FILE)
        for path in folder.glob(f".{name}.*")
    )


def _remove(paths: Iterable[Path]) -> None:
    for path in paths:
        with contextlib.suppress(OSError):
            path.unlink()


@contextlib.contextmanager
def _alone(repository: Path) -> Iterator[None]:
    """Keep other builds out of a repository; a killed process lets go by itself."""
    new = [step for step in (repository, *repository.parents) if not step.exists()]
    try:
        repository.mkdir(parents=True, exist_ok=True)
        handle = os.open(repository, os.O_RDONLY)
    except OSError as error:
        raise ArtifactError(f"{repository} cannot be written: {error.strerror}") from error
    try:
        fcntl.flock(handle, fcntl.LOCK_EX)
        _remove(path for path in repository.glob(f".*{LOCK_FILE}*") if path.name != PENDING_FILE)
        yield
    except BaseException:
        for step in new:
            with contextlib.suppress(OSError):  # somebody's files are in it
                step.rmdir()
        raise
    finally:
        os.close(handle)
