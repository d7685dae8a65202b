import io
import re
from pathlib import Path

import pytest
from rich.console import Console

from tests.training.study.configs import TOML, tiny
from training.config import ConfigError
from training.run_folder import RunError
from training.study import study
from training.study.config import load
from training.study.run import study_document
from training.study.trials import by_batch_size, sweeps


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The page of a study."""
    return study(tiny(), runs=tmp_path_factory.mktemp("runs"), console=quiet())


def quiet() -> Console:
    return Console(file=io.StringIO(), width=160)


@pytest.mark.slow
def test_a_study_ends_as_one_page_with_its_pictures_and_a_table(finished: Path) -> None:
    page = finished.read_text()

    assert page.count("<img ") == 6
    assert len(list(finished.parent.glob("*.png"))) == 6
    assert re.search(r'<th scope="row">held-out accuracy</th><td>\d+\.\d %</td>', page)
    assert "http://" not in page
    assert "https://" not in page


@pytest.mark.slow
def test_every_trial_is_noted_once_and_the_same_command_runs_none_again(finished: Path) -> None:
    lines = (finished.parent / "results.jsonl").read_text().splitlines()
    config = tiny()
    expected = [*sweeps(config), *by_batch_size(config, {"before": 0.1, "none": 0.1})]

    assert len(lines) == len(expected)
    before = (finished.parent / "results.jsonl").stat().st_mtime_ns
    study(config, runs=finished.parent.parent, console=quiet())
    assert (finished.parent / "results.jsonl").stat().st_mtime_ns == before


@pytest.mark.slow
def test_another_study_of_the_same_name_is_refused(finished: Path) -> None:
    other = tiny().model_copy(update={"momentum": 0.5})
    with pytest.raises(RunError, match=r"\(momentum differ\)"):
        study(other, runs=finished.parent.parent, console=quiet())


@pytest.mark.slow
def test_for_machines_a_study_says_what_its_table_says(finished: Path) -> None:
    found = study_document(tiny(), finished)

    assert found["page"] == str(finished)
    assert len(Path(found["results"]).read_text().splitlines()) > 0
    page = finished.read_text()
    assert all(claim["without"] in page and claim["before"] in page for claim in found["claims"])
    assert any(claim["what"] == "held-out accuracy" for claim in found["claims"])


@pytest.mark.parametrize(
    ("name", "reason"), [("study.json", "cannot be read"), ("results.jsonl", "is damaged")]
)
def test_a_damaged_file_of_a_study_is_told(tmp_path: Path, name: str, reason: str) -> None:
    folder = tmp_path / tiny().name
    folder.mkdir()
    (folder / name).write_text("{}damaged\n")
    with pytest.raises(RunError, match=f"{reason}; another name begins a study anew"):
        study(tiny(), runs=tmp_path, console=quiet())


def test_each_network_meets_each_rate_depth_scale_and_seed() -> None:
    config = tiny().model_copy(update={"seeds": (0, 1)})
    trials = list(sweeps(config))

    assert len(trials) == len(set(trials)) == 2 * (3 * 1 + 2 * 2 * 1 + 2 * 2 * 1)


def test_trials_of_batch_sizes_see_as_many_samples_and_have_their_rate_in_proportion() -> None:
    trials = list(by_batch_size(tiny(), {"before": 0.1, "none": 0.4}))

    assert {trial.batch_size * trial.steps for trial in trials} == {12 * 32}
    rates = {(t.batch_norm, t.batch_size): t.learning_rate for t in trials}
    assert rates[("before", 4)] == pytest.approx(0.1 / 8)
    assert rates[("none", 32)] == pytest.approx(0.4)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (
            TOML.replace("trains_at = 0.3", "trains_at = 3"),
            "trains_at: input should be less than 1",
        ),
        (TOML.replace("[0.1]", "[]", 1), "article.learning_rates"),
        (TOML + "deeps = 1", "deep.deeps: no such key"),
        ("name", "not TOML"),
    ],
)
def test_a_mistake_is_named(tmp_path: Path, text: str, message: str) -> None:
    (tmp_path / "study.toml").write_text(text)
    with pytest.raises(ConfigError, match=re.escape(message)):
        load(tmp_path / "study.toml")


def test_the_study_of_this_repository_can_be_read(root: Path) -> None:
    assert load(root / "training/configs/study.toml").name == "study"
