"""Trials in processes of their own, which are told and tell in lines of JSON.

No pools of Python's: those send pickles.
"""

import json
import subprocess
import sys
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor, as_completed
from contextlib import ExitStack
from dataclasses import asdict
from queue import SimpleQueue

from pydantic import TypeAdapter

from training.study.bench import Outcome, run
from training.study.config import StudyConfig
from training.study.trials import Trial

_TRIAL: TypeAdapter[Trial] = TypeAdapter(Trial)
_OUTCOME: TypeAdapter[Outcome] = TypeAdapter(Outcome)


class WorkerError(RuntimeError):
    """A process that ran trials has ended; its own words stand above."""


class _Worker:
    """A process that runs one trial after the other."""

    def __init__(self, config: StudyConfig) -> None:
        self._process = subprocess.Popen(
            [sys.executable, "-m", "training.study.workers"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        self._tell(config.model_dump_json())

    def run(self, trial: Trial) -> Outcome:
        """Have a trial run."""
        self._tell(json.dumps(asdict(trial)))
        line = self._process.stdout.readline() if self._process.stdout else ""
        if not line:
            raise WorkerError(f"a process of the study ended with {self._process.wait()}")
        return _OUTCOME.validate_json(line)

    def _tell(self, line: str) -> None:
        if self._process.stdin is not None:
            self._process.stdin.write(line + "\n")
            self._process.stdin.flush()

    def close(self) -> None:
        """End the process, whatever it is at."""
        self._process.kill()
        self._process.communicate()


def run_all(
    config: StudyConfig, trials: Iterable[Trial], jobs: int
) -> Iterator[tuple[Trial, Outcome]]:
    """Run trials, and yield each as it ends.

    Args:
        config: The study.
        trials: Of it, in the order in which they begin.
        jobs: Processes.

    Raises:
        WorkerError: A process ended.
    """
    free: SimpleQueue[_Worker] = SimpleQueue()

    def run_one(trial: Trial) -> Outcome:
        worker = free.get()
        try:
            return worker.run(trial)
        finally:
            free.put(worker)

    with ExitStack() as stack:
        threads = stack.enter_context(ThreadPoolExecutor(jobs))
        for _ in range(jobs):
            worker = _Worker(config)
            stack.callback(worker.close)
            free.put(worker)
        started = {threads.submit(run_one, trial): trial for trial in trials}
        stack.callback(threads.shutdown, cancel_futures=True)
        for ended in as_completed(started):
            yield started[ended], ended.result()


def _work() -> None:
    config = StudyConfig.model_validate_json(sys.stdin.readline())
    for line in sys.stdin:
        outcome = run(config, _TRIAL.validate_json(line))
        print(json.dumps(asdict(outcome)), flush=True)  # noqa: T201 -- the process above reads it


if __name__ == "__main__":
    _work()
