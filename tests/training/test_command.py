import json
import sys
from pathlib import Path

import pytest

from training.__main__ import main

pytestmark = pytest.mark.slow

CONFIG = """
name = "tiny"
[data]
name = "digits"
train_limit = 64
[model]
name = "residual"
filters = [4]
blocks = [1]
[training]
epochs = 1
batch_size = 32
threads = 1
[optimizer]
learning_rate = 0.1
"""


def command(
    monkeypatch: pytest.MonkeyPatch, folder: Path, *arguments: str, config: str = CONFIG
) -> int:
    """Run ``foldserve-train`` in a folder and return its exit status."""
    (folder / "tiny.toml").write_text(config)
    monkeypatch.chdir(folder)
    monkeypatch.setattr(sys, "argv", ["foldserve-train", *arguments])
    with pytest.raises(SystemExit) as caught:
        main()
    return int(caught.value.code or 0)


def test_the_command_trains_and_shows_a_table(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert command(monkeypatch, tmp_path, "tiny.toml", "--set", "training.seed=1") == 0

    shown = capsys.readouterr().out
    assert "held-out accuracy" in shown
    assert "of 360" in shown
    assert (tmp_path / "runs" / "tiny" / "checkpoint.safetensors").is_file()


@pytest.mark.parametrize(
    ("config", "arguments", "message"),
    [
        (CONFIG, ("no.toml",), "error: no.toml: No such file or directory"),
        (CONFIG.replace("= 0.1", "= 0"), ("tiny.toml",), "optimizer.learning_rate: input should"),
        (CONFIG, ("tiny.toml", "--set", "speed=9"), "error: tiny.toml: speed: no such key (got 9)"),
        (
            CONFIG.replace('"digits"', '"fashion_mnist"\nfolder = "nowhere"'),
            ("tiny.toml",),
            "apt install dataset-fashion-mnist",
        ),
    ],
)
def test_a_mistake_ends_with_one_line_and_status_2(
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    config: str,
    arguments: tuple[str, ...],
    message: str,
) -> None:
    assert command(monkeypatch, tmp_path, *arguments, config=config) == 2

    shown = capsys.readouterr().err
    assert message in shown
    assert shown.count("\n") == 1


def test_a_folder_that_cannot_be_made_ends_with_one_line(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "file").write_text("no folder")

    assert command(monkeypatch, tmp_path, "tiny.toml", "--runs", "file") == 2

    assert capsys.readouterr().err == "error: file/tiny: Not a directory\n"


def test_a_damaged_result_of_a_finished_run_ends_with_one_line(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "runs" / "tiny").mkdir(parents=True)
    (tmp_path / "runs" / "tiny" / "checkpoint.safetensors").write_bytes(b"damaged")
    command(monkeypatch, tmp_path, "tiny.toml", "--fresh")
    (tmp_path / "runs" / "tiny" / "checkpoint.safetensors").write_bytes(b"damaged")

    assert command(monkeypatch, tmp_path, "tiny.toml") == 2

    assert "not a safetensors file" in capsys.readouterr().err


def test_a_training_that_diverges_ends_with_one_line_and_status_1(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    diverging = CONFIG.replace("epochs = 1", "epochs = 9").replace(
        "= 0.1", "= 10\nmomentum = 0.999"
    )
    changes = ("--set", "model.batch_norm=none", "--set", "optimizer.weight_decay=1")

    assert command(monkeypatch, tmp_path, "tiny.toml", *changes, config=diverging) == 1

    assert "learning_rate is too high" in capsys.readouterr().err


def test_for_machines_the_result_is_one_document(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert command(monkeypatch, tmp_path, "tiny.toml", "--json") == 0

    shown = capsys.readouterr()
    found = json.loads(shown.out)
    assert found["checkpoint"] == "runs/tiny/checkpoint.safetensors"
    assert (found["data"], found["model"], found["samples"]) == ("digits", "residual", 360)
    assert found["errors"] == round(360 * (1 - found["accuracy"]))
    assert "held-out accuracy" in shown.err


@pytest.mark.parametrize("name", ["train", "study"])
def test_each_help_ends_with_examples(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str], name: str
) -> None:
    assert command(monkeypatch, tmp_path, name, "--help") == 0

    shown = capsys.readouterr().out
    assert "foldserve-train " in shown.split("Examples:")[1]
    assert "--json" in shown


def test_a_shell_completes_commands(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for name, value in (
        ("_FOLDSERVE_TRAIN_COMPLETE", "complete_bash"),
        ("COMP_WORDS", "foldserve-train st"),
        ("COMP_CWORD", "1"),
    ):
        monkeypatch.setenv(name, value)
    assert command(monkeypatch, tmp_path) == 0

    assert capsys.readouterr().out == "study\n"
