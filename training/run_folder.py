"""``runs/<name>/``: what a run writes, who may write there, and what is left to do."""

import fcntl
import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from training import atomic
from training.config import TrainingConfig


class RunError(ValueError):
    """A run folder cannot be used as asked; the message says what to do."""


@contextmanager
def claimed(folder: Path) -> Iterator[None]:
    """Keep every other process out until the block ends; a killed process lets go by itself.

    Raises:
        RunError: If another process trains here.
    """
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / ".lock").open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise RunError(f"another process is training in {folder}") from error
        yield


class RunFolder:
    """The files of one run.

    Attributes:
        path: The folder.
        checkpoint: The result, written last. A run that begins anew leaves the one before until
            then.
        state: Where the run stands; the end of every epoch replaces it.
        metrics: One JSON object a line: every epoch, then the held-out result.
        curves: Loss and accuracy by epoch.
        confusion: Confusion matrix of the held-out split.
        mistakes: Examples of what was taken for another class there.
        samples: Samples to calibrate and to judge a narrower model with.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.checkpoint = path / "checkpoint.safetensors"
        self.state = path / "state.safetensors"
        self.metrics = path / "metrics.jsonl"
        self.curves = path / "curves.png"
        self.confusion = path / "confusion.png"
        self.mistakes = path / "mistakes.png"
        self.samples = path / "samples.npz"
        self._config = path / "config.json"
        # There as long as the checkpoint is of an earlier run.
        self._unfinished = path / ".unfinished"

    @property
    def finished(self) -> bool:
        """Whether the run has ended with a checkpoint."""
        return self.checkpoint.is_file() and not self._unfinished.exists()

    def check(self, config: TrainingConfig) -> None:
        """See that what an earlier run left, if anything, was made with the same configuration.

        Raises:
            RunError: If it was made with another one.
        """
        if not self.state.is_file() and not self.finished:
            return
        try:
            # Parsed, so that an option which is newer than the run has its default there.
            found = TrainingConfig.model_validate_json(self._config.read_bytes())
        except (OSError, ValidationError) as error:
            raise RunError(f"{self._config} cannot be read; --fresh trains anew") from error
        before, now = found.model_dump(mode="json"), config.model_dump(mode="json")
        if changed := differences(before, now):
            raise RunError(
                f"{self.path} was made with another configuration ({', '.join(changed)} differ);"
                " --fresh starts it anew, another name keeps it"
            )

    def prepare(self, config: TrainingConfig, *, fresh: bool) -> None:
        """Note the configuration.

        Args:
            config: What is to be trained.
            fresh: Remove what an earlier run left, but for its results.
        """
        if fresh:
            atomic.write(self._unfinished, b"")
            self._clear()
        noted = json.dumps(config.model_dump(mode="json"), indent=2) + "\n"
        atomic.write(self._config, noted.encode())

    def write_metrics(self, rows: list[dict[str, Any]]) -> None:
        """Replace ``metrics.jsonl``."""
        lines = "".join(json.dumps(row) + "\n" for row in rows)
        atomic.write(self.metrics, lines.encode())

    def finish(self, write: Callable[[Path], None]) -> None:
        """Write the checkpoint, and note that it is this run's.

        Args:
            write: Writes it whole to a path.
        """
        write(self.checkpoint)
        self._unfinished.unlink(missing_ok=True)

    def _clear(self) -> None:
        # Only what a run writes: the folder may hold somebody's notes. What it ends with, the
        # checkpoint and what lies beside it, is replaced in the end: until then there is a result.
        for path in [self.state, self.metrics, *self.path.glob("events.out.tfevents.*")]:
            path.unlink(missing_ok=True)


def differences(found: Any, wanted: Any) -> list[str]:
    """Return the keys, dotted, in which two configurations differ."""
    return sorted(_differences(found, wanted))


def _differences(found: Any, wanted: Any, key: str = "") -> Iterator[str]:
    if isinstance(found, dict) and isinstance(wanted, dict):
        for name in found.keys() | wanted.keys():
            yield from _differences(
                found.get(name), wanted.get(name), f"{key}.{name}" if key else name
            )
    elif found != wanted:
        yield key
