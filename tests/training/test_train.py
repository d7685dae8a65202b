import fcntl
import io
import json
import re
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from PIL import Image
from rich.console import Console
from safetensors.torch import load_file
from tensorboard.backend.event_processing.event_accumulator import (  # type: ignore[import-untyped]  # has no annotations
    EventAccumulator,
)

from tests.training.configs import tiny
from training import checkpoint
from training.batches import Batches
from training.config import ConfigError, TrainingConfig
from training.datasets import DatasetError, load
from training.loop import NotFiniteError
from training.metrics import evaluate
from training.progress import Progress
from training.run_folder import RunError
from training.state import StateError
from training.train import train

pytestmark = pytest.mark.slow


def run(config: TrainingConfig, runs: Path, *, fresh: bool = False) -> str:
    """Train, and return what was shown."""
    shown = io.StringIO()
    train(config, runs=runs, fresh=fresh, console=Console(file=shown, width=120))
    return shown.getvalue()


def weights(runs: Path, name: str = "tiny") -> dict[str, torch.Tensor]:
    return load_file(runs / name / "checkpoint.safetensors")


def equal(first: dict[str, torch.Tensor], second: dict[str, torch.Tensor]) -> bool:
    return first.keys() == second.keys() and all(torch.equal(first[k], second[k]) for k in first)


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Path:
    runs = tmp_path_factory.mktemp("runs")
    run(tiny(), runs)
    return runs


def test_a_run_leaves_all_its_files(finished: Path) -> None:
    names = {path.name for path in (finished / "tiny").iterdir()}

    assert names >= {
        *("checkpoint.safetensors", "config.json", "confusion.png", "curves.png"),
        *("metrics.jsonl", "mistakes.png", "state.safetensors"),
    }
    assert any(name.startswith("events.out.tfevents.") for name in names)
    assert not any(name.endswith(".draft") for name in names)


def test_the_metrics_have_a_line_an_epoch_and_one_for_the_held_out_split(finished: Path) -> None:
    lines = (finished / "tiny" / "metrics.jsonl").read_text().splitlines()
    rows = [json.loads(line) for line in lines]

    assert [row["epoch"] for row in rows[:-1]] == [1, 2, 3]
    assert rows[0].keys() == {
        *("epoch", "learning_rate", "seconds", "train_loss", "train_accuracy"),
        *("validation_loss", "validation_accuracy"),
    }
    assert rows[-1]["split"] == "test"
    assert rows[-1]["samples"] == 360


def test_the_accuracy_in_the_checkpoint_is_that_of_its_weights_on_its_data(finished: Path) -> None:
    found = checkpoint.load(finished / "tiny" / "checkpoint.safetensors")
    test = load(found.data).test

    measured = evaluate(found.model, Batches(test, 50, torch.device("cpu")))

    assert found.metrics == {"accuracy": measured.accuracy, "samples": 360, "split": "test"}
    assert 0.1 < measured.accuracy < 1
    assert found.model_config["height"] == 8


def test_the_same_configuration_gives_the_same_weights_to_the_bit(
    finished: Path, tmp_path: Path
) -> None:
    run(tiny(), tmp_path)

    assert equal(weights(finished), weights(tmp_path))


def test_on_a_terminal_epochs_and_steps_have_progress_bars(tmp_path: Path) -> None:
    shown = io.StringIO()
    console = Console(file=shown, width=120, force_terminal=True)

    train(tiny(epochs=1), runs=tmp_path, console=console)

    assert "epochs" in shown.getvalue()
    assert "steps" in shown.getvalue()
    assert "held-out accuracy" in shown.getvalue()


def test_another_seed_gives_other_weights(finished: Path, tmp_path: Path) -> None:
    run(tiny(seed=1), tmp_path)

    assert not equal(weights(finished), weights(tmp_path))


def test_in_bfloat16_the_weights_stay_float32_and_the_result_is_the_same_every_time(
    finished: Path, tmp_path: Path
) -> None:
    for runs in ("first", "again"):
        run(tiny(precision="bfloat16"), tmp_path / runs)
    first = weights(tmp_path / "first")

    assert equal(first, weights(tmp_path / "again"))
    assert not equal(first, weights(finished))
    assert {tensor.dtype for tensor in first.values()} == {torch.float32, torch.int64}


def test_the_statistics_of_batch_norm_are_estimated_anew_at_the_end(finished: Path) -> None:
    final, state = weights(finished), load_file(finished / "tiny" / "state.safetensors")
    best = {k.removeprefix("best."): v for k, v in state.items() if k.startswith("best.")}

    changed = {name for name in final if not torch.equal(final[name], best[name])}

    # the counters of batches change too, unless training took as many steps as there are batches
    assert {name for name in changed if "num_batches_tracked" not in name} == {
        name for name in final if re.search("running_(mean|var)", name)
    }


def test_a_training_does_not_touch_the_caller_s_random_generator(tmp_path: Path) -> None:
    torch.manual_seed(5)
    expected = torch.rand(1)
    torch.manual_seed(5)

    run(tiny(epochs=1), tmp_path)

    assert torch.equal(torch.rand(1), expected)
    assert not torch.are_deterministic_algorithms_enabled()


def test_a_finished_run_says_so_and_is_left_alone(finished: Path) -> None:
    path = finished / "tiny" / "checkpoint.safetensors"
    before = path.stat().st_mtime_ns

    assert "has finished already; --fresh trains it again" in run(tiny(), finished)
    assert path.stat().st_mtime_ns == before


def test_the_path_of_a_result_is_shown_whole_and_as_it_is(finished: Path, tmp_path: Path) -> None:
    runs = tmp_path / "of_a_long_name" / "[bold]loud[/bold]" / ("x" * 90)
    shutil.copytree(finished, runs)

    shown = run(tiny(), runs)

    assert f"{runs / 'tiny'} has finished already" in shown
    cells = re.findall(r"│ ([^│]*?) *│$", shown, re.MULTILINE)
    assert "".join(cells).endswith(str(runs / "tiny" / "checkpoint.safetensors"))


def test_another_configuration_is_refused_unless_fresh(tmp_path: Path) -> None:
    run(tiny(epochs=1), tmp_path)
    notes = tmp_path / "tiny" / "notes.txt"
    notes.write_text("mine")

    with pytest.raises(RunError, match=r"\(training\.epochs, training\.seed differ\); --fresh"):
        run(tiny(epochs=2, seed=3), tmp_path)
    run(tiny(epochs=2, seed=3), tmp_path, fresh=True)

    assert len((tmp_path / "tiny" / "metrics.jsonl").read_text().splitlines()) == 3
    assert notes.read_text() == "mine"


def test_fresh_takes_nothing_away_before_the_new_run_can_begin(tmp_path: Path) -> None:
    run(tiny(epochs=1), tmp_path)
    before = {path.name: path.read_bytes() for path in (tmp_path / "tiny").iterdir()}
    absent = {"name": "image_folder", "folder": "misspelt", "height": 8, "width": 8}

    for section, values in (("data", absent), ("model", {"name": "residual", "classes": 3})):
        config = TrainingConfig.model_validate({**tiny().model_dump(), section: values})
        with pytest.raises((DatasetError, ConfigError)):
            run(config, tmp_path, fresh=True)

    assert before == {path.name: path.read_bytes() for path in (tmp_path / "tiny").iterdir()}


def test_an_earlier_run_without_its_configuration_is_an_error_of_one_line(tmp_path: Path) -> None:
    run(tiny(epochs=1), tmp_path)
    (tmp_path / "tiny" / "config.json").unlink()

    with pytest.raises(RunError, match=r"config\.json cannot be read; --fresh trains anew"):
        run(tiny(epochs=1), tmp_path)


def test_an_unreadable_configuration_of_an_earlier_run_is_an_error_of_one_line(
    tmp_path: Path,
) -> None:
    run(tiny(epochs=1), tmp_path)
    (tmp_path / "tiny" / "config.json").write_text("{")

    with pytest.raises(RunError, match=r"config\.json cannot be read; --fresh trains anew"):
        run(tiny(epochs=1), tmp_path)


def test_a_damaged_state_is_an_error_of_one_line(tmp_path: Path) -> None:
    run(tiny(epochs=1), tmp_path)
    (tmp_path / "tiny" / "checkpoint.safetensors").unlink()
    (tmp_path / "tiny" / "state.safetensors").write_bytes(b"damaged")

    with pytest.raises(
        StateError, match=r"state\.safetensors is damaged or of other data; --fresh"
    ):
        run(tiny(epochs=1), tmp_path)


def test_a_class_that_was_added_since_a_run_was_killed_is_an_error_of_one_line(
    tmp_path: Path,
) -> None:
    def add_a_class(name: str) -> None:
        (tmp_path / "pets" / name).mkdir(parents=True)
        for number in range(10):
            image = Image.new("L", (8, 8), 20 * number)
            image.save(tmp_path / "pets" / name / f"{number}.png")

    data = {"name": "image_folder", "folder": tmp_path / "pets", "height": 8, "width": 8}
    config = TrainingConfig.model_validate({**tiny(epochs=1).model_dump(), "data": data})
    add_a_class("cat")
    add_a_class("dog")
    run(config, tmp_path)
    (tmp_path / "tiny" / "checkpoint.safetensors").unlink()
    add_a_class("emu")

    with pytest.raises(StateError, match=r"of other data.*size mismatch") as caught:
        run(config, tmp_path)

    assert "\n" not in str(caught.value)


def test_a_run_killed_after_its_last_epoch_is_brought_to_its_end(
    finished: Path, tmp_path: Path
) -> None:
    run(tiny(), tmp_path)
    (tmp_path / "tiny" / "checkpoint.safetensors").unlink()

    assert "resumed after epoch 3 of 3" in run(tiny(), tmp_path)
    assert equal(weights(finished), weights(tmp_path))


def steps_on_the_board(folder: Path) -> list[int]:
    events = EventAccumulator(str(folder)).Reload()
    return [event.step for event in events.Scalars("loss/validation")]


def test_tensorboard_shows_every_epoch_once_whatever_a_kill_has_lost(tmp_path: Path) -> None:
    run(tiny(), tmp_path)
    folder = tmp_path / "tiny"
    assert steps_on_the_board(folder) == [1, 2, 3]

    (folder / "checkpoint.safetensors").unlink()
    run(tiny(), tmp_path)
    assert steps_on_the_board(folder) == [1, 2, 3]

    (folder / "checkpoint.safetensors").unlink()
    for events in folder.glob("events.*"):
        events.unlink()  # as if nothing had been flushed before the kill
    run(tiny(), tmp_path)
    assert steps_on_the_board(folder) == [1, 2, 3]


def test_two_processes_cannot_train_in_one_folder(tmp_path: Path) -> None:
    (tmp_path / "tiny").mkdir()
    with (tmp_path / "tiny" / ".lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        with pytest.raises(RunError, match="another process is training"):
            run(tiny(), tmp_path)


def test_patience_stops_early(tmp_path: Path) -> None:
    config = TrainingConfig.model_validate(
        {
            **tiny(epochs=50, patience=2).model_dump(),
            "optimizer": {"learning_rate": 1e-9},  # learns nothing, so no epoch is better for long
        }
    )
    run(config, tmp_path)

    rows = (tmp_path / "tiny" / "metrics.jsonl").read_text().splitlines()
    assert len(rows) < 50


def test_weights_that_the_last_step_made_infinite_are_never_a_result(tmp_path: Path) -> None:
    deep = {"name": "residual", "filters": [4, 4], "blocks": [8, 8], "batch_norm": "none"}
    config = TrainingConfig.model_validate(
        {
            **tiny(epochs=1, batch_size=160).model_dump(),
            "model": deep,
            "optimizer": {"learning_rate": 10},
        }
    )

    with pytest.raises(NotFiniteError, match=r"in epoch 1; optimizer\.learning_rate is too high"):
        run(config, tmp_path)

    assert not list((tmp_path / "tiny").glob("*.safetensors"))


@pytest.mark.parametrize(
    ("section", "values", "message"),
    [
        ("model", {"name": "residual", "height": 28}, "takes (1, 28, 8) and gives 10 classes, but"),
        ("model", {"name": "residual", "classes": 3}, "gives 3 classes, but digits has inputs"),
        ("model", {"name": "cnn1d"}, "cnn1d: height: no such key (got 8); digits has inputs of"),
        ("data", {"name": "mnist1d"}, "model: residual: length: no such key (got 40)"),
    ],
)
def test_a_model_that_does_not_fit_the_data_is_refused(
    tmp_path: Path, section: str, values: dict[str, object], message: str
) -> None:
    config = TrainingConfig.model_validate({**tiny().model_dump(), section: values})

    with pytest.raises(ConfigError) as caught:
        run(config, tmp_path)

    assert message in str(caught.value)


def test_a_signal_cannot_be_rotated(tmp_path: Path) -> None:
    fields = {**tiny().model_dump(), "data": {"name": "mnist1d"}, "model": {"name": "cnn1d"}}

    with pytest.raises(ConfigError, match=r"augmentation\.rotation: for images, but mnist1d has"):
        run(TrainingConfig.model_validate(fields), tmp_path)


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a CUDA device here")
def test_a_missing_cuda_device_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="no CUDA device is available"):
        run(tiny(device="cuda"), tmp_path)


@pytest.mark.slow
@pytest.mark.parametrize("optimizer", ["sgd", "adamw"])
def test_a_run_killed_within_an_epoch_ends_like_an_unbroken_one(
    tmp_path: Path, optimizer: str
) -> None:
    fields = tiny(epochs=8).model_dump(mode="json")
    fields["optimizer"] |= {"name": optimizer, "learning_rate": 0.01}
    fields["data"]["train_limit"] = None  # an epoch long enough to be killed in
    config = TrainingConfig.model_validate(fields)
    file = tmp_path / "tiny.toml"
    file.write_text(as_toml(fields))
    command = [sys.executable, "-m", "training", str(file), "--runs", str(tmp_path / "killed")]

    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        next(line for line in process.stdout if line.startswith("epoch 2/8"))
        process.send_signal(signal.SIGKILL)
    assert process.returncode == -signal.SIGKILL
    assert not (tmp_path / "killed" / "tiny" / "checkpoint.safetensors").exists()

    resumed = run(config, tmp_path / "killed")
    unbroken = run(config, tmp_path / "unbroken")

    assert re.search(r"resumed after epoch [2-7] of 8", resumed)
    assert "resumed" not in unbroken
    assert equal(weights(tmp_path / "killed"), weights(tmp_path / "unbroken"))


def as_toml(fields: dict[str, dict[str, object]]) -> str:
    """JSON's values are TOML's, but for null, which TOML leaves out."""
    lines = [f'name = "{fields["name"]}"']
    for section, values in fields.items():
        if isinstance(values, dict):
            lines.append(f"[{section}]")
            lines += [f"{k} = {json.dumps(v)}" for k, v in values.items() if v is not None]
    return "\n".join(lines)


def test_progress_starts_empty() -> None:
    assert (Progress().epochs, Progress().best_epoch) == (0, 0)
