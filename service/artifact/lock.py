"""Holds a model's files against ``lock.json``, which says what was put into the repository.

The files are hashed where they lie and then opened by the runtime; `files.check_unchanged` shows
afterwards that they were the same. To read them once and open the bytes instead would take each
model's memory twice, and external data could not be had that way at all.
"""

import hashlib
import json
from collections.abc import Iterable, Mapping
from pathlib import Path, PurePosixPath
from typing import Annotated, Any

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationError

from service.artifact.files import ModelFile
from service.errors import ModelLoadError

LOCK_FILE = "lock.json"
# An entry takes 150 bytes: enough for 25,000 files.
_LARGEST = 4 * 2**20
# As much of a hash as a person compares.
_SHOWN = 12


def _relative(name: str) -> str:
    parts = PurePosixPath(name)
    if str(parts) != name or parts.is_absolute() or {"..", "."} & {*parts.parts} or "\\" in name:
        raise ValueError("not a plain path inside the repository")
    return name


class Locked(BaseModel):
    """What one file was when it was written."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)

    sha256: Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]
    bytes: Annotated[int, Field(ge=0)]


class _Lock(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)

    format_version: Annotated[int, Field(ge=1, le=1)]  # Literal takes true for 1
    files: dict[Annotated[str, AfterValidator(_relative)], Locked]


def read_lock(repository: Path) -> Mapping[str, Locked]:
    """Return what a repository's lock says, by the files' paths inside the repository.

    Raises:
        ModelLoadError: there is none, or it is not as it should be.
    """
    try:
        with (repository / LOCK_FILE).open("rb") as file:
            text = file.read(_LARGEST + 1)
    except FileNotFoundError:
        raise ModelLoadError(
            "the repository has no lock.json, and FOLDSERVE_REQUIRE_LOCK is set"
        ) from None
    except OSError as error:
        raise ModelLoadError(f"lock.json cannot be read ({error.strerror})") from None
    if len(text) > _LARGEST:
        raise ModelLoadError(f"lock.json is larger than {_LARGEST} bytes")
    return _parsed(text)


def check_locked(repository: Path, files: Iterable[ModelFile]) -> None:
    """Hash the files of a model and compare.

    Raises:
        ModelLoadError: one is not in the lock, or is another than the one that was written.
    """
    lock = read_lock(repository)
    for file in files:
        name = file.path.relative_to(repository).as_posix()
        if name not in lock:
            raise ModelLoadError(f"{file.path.name} is not in the repository's lock.json")
        with file.path.open("rb") as content:
            found = hashlib.file_digest(content, "sha256").hexdigest()
        if found != lock[name].sha256:
            raise ModelLoadError(
                f"{file.path.name} is not the file of lock.json: its hash begins with"
                f" {found[:_SHOWN]}, the lock's with {lock[name].sha256[:_SHOWN]}"
            )


def _parsed(text: bytes) -> Mapping[str, Locked]:
    try:
        document: Any = json.loads(text, object_pairs_hook=_once)
        return _Lock.model_validate(document).files
    except ValidationError as error:
        detail = error.errors()[0]
        field = ".".join(str(part)[:100] for part in detail["loc"])
        raise ModelLoadError(f"lock.json, {field}: {detail['msg']}") from None
    except (ValueError, RecursionError):
        raise ModelLoadError("lock.json is not JSON, or says a thing twice") from None


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        raise ValueError("twice")
    return found
