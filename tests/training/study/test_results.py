from pathlib import Path

from tests.training.study.configs import a_trial
from training.study.bench import Outcome
from training.study.results import Results


def test_what_has_ended_is_there_again(tmp_path: Path) -> None:
    path = tmp_path / "results.jsonl"
    outcome = Outcome([(1, 0.5)], [2.0], train_accuracy=0.6, test_accuracy=0.4)
    Results(path).add(a_trial(), outcome)
    found = Results(path)

    assert a_trial() in found
    assert a_trial(seed=1) not in found
    assert [result.outcome for result in found.of(purpose="rates", seed=0)] == [outcome]
    assert found.of(purpose="depths") == []


def test_a_training_that_diverged_is_there_again(tmp_path: Path) -> None:
    """It has accuracies that are no numbers."""
    path = tmp_path / "results.jsonl"
    Results(path).add(a_trial(), Outcome(diverged=True))

    assert Results(path).of()[0].outcome.diverged


def test_half_a_line_of_a_killed_process_is_left_out_and_the_next_is_whole(tmp_path: Path) -> None:
    path = tmp_path / "results.jsonl"
    Results(path).add(a_trial(), Outcome())
    with path.open("a") as file:
        file.write('{"trial": {"part"')
    found = Results(path)
    found.add(a_trial(seed=1), Outcome())

    assert a_trial() in found
    assert [result.trial.seed for result in Results(path).of()] == [0, 1]
