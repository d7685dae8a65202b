"""The file of settings, such as ``foldserve.env``, in which some lines are replaced."""

import os
import re
import tempfile
from collections.abc import Iterable, Mapping
from contextlib import suppress
from pathlib import Path

from service.environment import as_written, variable
from service.errors import StartError

# Begins the comment, which the next run replaces.
_MARK = "# foldserve-serve "

_LINE = re.compile(r"\s*(?:export\s+)?(\w+)\s*=")

_MODE = 0o644


def require_writable(file: Path) -> None:
    """Return if the file can be written, which is to be known before anything is measured.

    Raises:
        StartError: it cannot be read or written.
    """
    try:
        _read(file)
        with tempfile.TemporaryFile(dir=file.resolve().parent):
            pass
    except (OSError, UnicodeDecodeError) as error:
        raise _refusal(file, error) from None


def write_settings(file: Path, chosen: Mapping[str, object], remark: str) -> None:
    """Write settings into a file at once; lines of other settings stay as they are.

    Args:
        file: which need not be there yet.
        chosen: values by field.
        remark: the command that found the values, and where, in one line.

    Raises:
        StartError: the file cannot be read or written.
    """
    try:
        _replace(file.resolve(), "\n".join([*merged(_read(file), chosen, remark), ""]))
    except (OSError, UnicodeDecodeError) as error:
        raise _refusal(file, error) from None


def merged(lines: Iterable[str], chosen: Mapping[str, object], remark: str) -> list[str]:
    """Return the lines of a file with the chosen settings at its end.

    Args:
        lines: as they are.
        chosen: values by field.
        remark: one line.
    """
    names = {variable(field) for field in chosen}
    kept = [line for line in lines if not line.startswith(_MARK) and _name(line) not in names]
    written = [f"{variable(field)}={as_written(value)}" for field, value in chosen.items()]
    return [*kept, f"{_MARK}{remark}", *written]


def _read(file: Path) -> list[str]:
    return file.read_text("utf-8").splitlines() if file.exists() else []


def _refusal(file: Path, error: OSError | UnicodeDecodeError) -> StartError:
    reason = error.strerror if isinstance(error, OSError) else "it is no text"
    return StartError(f"cannot write {file}: {reason}")


def _name(line: str) -> str | None:
    """Return the variable that a line sets; the service does not tell cases apart."""
    found = _LINE.match(line)
    return found[1].upper() if found else None


def _replace(file: Path, text: str) -> None:
    """Write a file beside the file and put it in its place."""
    mode = file.stat().st_mode & 0o7777 if file.exists() else _MODE
    descriptor, name = tempfile.mkstemp(dir=file.parent, prefix=f".{file.name}.")
    try:
        with os.fdopen(descriptor, "w", encoding="utf-8") as written:
            written.write(text)
            written.flush()
            os.fsync(descriptor)
        Path(name).chmod(mode)
        Path(name).replace(file)
    except BaseException:
        with suppress(FileNotFoundError):
            Path(name).unlink()
        raise
