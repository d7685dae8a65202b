"""`build --precision` on the command line: what it prints, and its exit codes."""

from pathlib import Path

import numpy as np
import pytest
from typer.testing import CliRunner, Result

from export.__main__ import app

pytestmark = pytest.mark.slow

SMALL = "tests.export.networks:small"


def build(folder: Path, *more: str | Path) -> Result:
    given = ("--input", "3x8x8", "--name", "small", "--output", folder / "models", "--samples", "6")
    return run("build", SMALL, *given, *more)


def run(*arguments: str | Path) -> Result:
    return CliRunner().invoke(app, [str(one) for one in arguments], env={"COLUMNS": "200"})


def build_digits(root: Path, folder: Path, *more: str | Path) -> Result:
    given = ("--name", "digits", "--output", folder / "models", "--samples", "6", "--fold", "safe")
    return run("build", root / "models/digits/1/checkpoint.safetensors", *given, *more)


def test_accuracy_size_and_latency_are_printed_with_what_they_are_of(
    tmp_path: Path, root: Path
) -> None:
    result = build_digits(root, tmp_path, "--precision", "fp16")

    assert result.exit_code == 0, result.output
    for words in (
        "fp16, after the fold",
        "accuracy",
        "99.44%",
        "top-1 agreement",
        "latency, 1 input, 1 thread",
        "Judged by 360 samples of the held-out split; calibrated on 512 inputs of the training ",
        "its speed is for CUDA",
    ):
        assert words in result.stdout


def test_int8_says_nothing_of_fp16(tmp_path: Path, root: Path) -> None:
    result = build_digits(root, tmp_path, "--precision", "int8")

    assert result.exit_code == 0, result.output
    assert "int8, after the fold" in result.stdout
    assert "CUDA" not in result.stdout


def test_agreement_on_nothing_but_one_class_is_no_judgement(tmp_path: Path) -> None:
    refused = build(tmp_path, "--precision", "fp16")
    allowed = build(tmp_path, "--precision", "fp16", "--max-accuracy-drop", "100")

    assert refused.exit_code == 1
    assert "all 64 samples fall into one class: --held-out names others" in refused.stderr
    assert allowed.exit_code == 0, allowed.output


def test_a_loss_beyond_what_is_allowed_is_exit_code_1_and_leaves_no_file(
    tmp_path: Path, root: Path
) -> None:
    blind = tmp_path / "black.npy"
    np.save(blind, np.zeros((4, 1, 8, 8), np.uint8))

    result = build_digits(root, tmp_path, "--precision", "int8", "--calibration", blind)

    assert result.exit_code == 1
    assert "foldserve-export: accuracy falls from 99.44% to " in result.stderr
    assert "--max-accuracy-drop raises that" in result.stderr
    assert not (tmp_path / "models").exists()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--precision", "int8"], "ranges are measured on data"),
        (["--calibration", "x.npy"], "--calibration: goes with --precision fp16 or int8"),
        (["--precision", "int8", "--io", "float16"], "goes with --precision fp16 only"),
        (["--precision", "int4"], "'int4'"),
    ],
)
def test_options_that_do_not_go_together_are_exit_code_2(
    options: list[str], message: str, tmp_path: Path
) -> None:
    result = build(tmp_path, *options)

    assert result.exit_code == 2
    assert message in result.stderr
    assert list(tmp_path.iterdir()) == []
