import os
import signal
from pathlib import Path

import pytest

from tests.training.study.configs import a_trial, tiny
from training.study.bench import run
from training.study.workers import WorkerError, run_all


def children() -> list[int]:
    own = Path(f"/proc/{os.getpid()}/task/{os.getpid()}/children")
    return [int(pid) for pid in own.read_text().split()]


@pytest.mark.slow
def test_trials_in_processes_have_the_outcomes_that_they_have_here() -> None:
    """Also one that diverges, whose accuracies are no numbers."""
    trials = [a_trial(), a_trial(seed=1), a_trial(batch_norm="none", scale=1e30)]
    found = dict(run_all(tiny(), trials, jobs=2))

    assert found.keys() == set(trials)
    assert [found[trial] for trial in trials[:2]] == [run(tiny(), trial) for trial in trials[:2]]
    assert found[trials[2]].diverged


@pytest.mark.slow
def test_a_process_that_is_killed_is_told_and_none_is_left_behind() -> None:
    before = set(children())
    found = run_all(tiny(), [a_trial(seed=seed) for seed in range(50)], jobs=1)
    next(found)
    (worker,) = set(children()) - before
    os.kill(worker, signal.SIGKILL)
    with pytest.raises(WorkerError, match="ended with -9"):
        for _ in found:
            pass

    assert set(children()) == before
