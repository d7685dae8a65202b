"""``results.jsonl``: one line for each trial that has ended, so that a killed study goes on."""

import json
import os
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from pydantic import TypeAdapter, ValidationError

from training.run_folder import RunError
from training.study.bench import Outcome
from training.study.trials import Trial


@dataclass(frozen=True)
class Result:
    """A trial and what became of it."""

    trial: Trial
    outcome: Outcome


_RESULT: TypeAdapter[Result] = TypeAdapter(Result)


class Results:
    """Every trial that has ended, in a file.

    Args:
        path: The file, whose folder is there.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._found = {result.trial: result for result in _read(path)}

    def __contains__(self, trial: Trial) -> bool:
        return trial in self._found

    def add(self, trial: Trial, outcome: Outcome) -> None:
        """Note what became of a trial; once this returns it is on the disk."""
        self._found[trial] = Result(trial, outcome)
        line = json.dumps({"trial": asdict(trial), "outcome": asdict(outcome)}) + "\n"
        with self._path.open("a", encoding="utf-8") as file:
            file.write(line)
            file.flush()
            os.fsync(file.fileno())

    def of(self, **chosen: Any) -> list[Result]:
        """Return the results of trials with these values, such as ``purpose="rates"``."""
        return [
            result
            for result in self._found.values()
            if all(getattr(result.trial, name) == value for name, value in chosen.items())
        ]


def _read(path: Path) -> list[Result]:
    """Read the lines; a killed process may have left half of the last, which is cut off."""
    if not path.exists():
        return []
    whole, newline, half = path.read_bytes().rpartition(b"\n")
    if half:
        os.truncate(path, len(whole + newline))
    try:
        return [_RESULT.validate_json(line) for line in whole.splitlines()]
    except ValidationError as error:
        raise RunError(f"{path} is damaged; another name begins a study anew") from error
