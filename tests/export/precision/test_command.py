"""`build --precision` on the command line: what it prints, and its exit codes."""

from pathlib import Path

import numpy as np
import pytest
from typer.testing import CliRunner, Result

from export.__main__ import app

SMALL = "tests.export.networks:small"


def build(folder: Path, *more: str | Path) -> Result:
    given = ("--input", "3x8x8", "--name", "small", "--output", folder / "models", "--samples", "6")
    return run("build", SMALL, *given, *more)


def run(*arguments: str | Path) -> Result:
    return CliRunner().invoke(app, [str(one) for one in arguments], env={"COLUMNS": "200"})


@pytest.fixture
def data(tmp_path: Path) -> Path:
    """Calibration data for the network, none of it labelled."""
    path = tmp_path / "mine.npy"
    np.save(path, np.random.default_rng(0).standard_normal((400, 3, 8, 8)).astype(np.float32))
    return path


def test_agreement_size_and_latency_are_printed(tmp_path: Path, data: Path) -> None:
    result = build(tmp_path, "--precision", "fp16", "--calibration", data)

    assert result.exit_code == 0, result.output
    for words in (
        "fp16, after the fold",
        "top-1 agreement",
        "latency, 1 input, 1 thread",
        "Judged by 100 samples of a kept-back quarter of mine.npy; ",
        "calibrated on 300 inputs of mine.npy.",
        "its speed is for CUDA",
    ):
        assert words in result.stdout


def test_int8_says_nothing_of_fp16(tmp_path: Path, data: Path) -> None:
    result = build(
        tmp_path, "--precision", "int8", "--calibration", data, "--max-accuracy-drop", "50"
    )

    assert result.exit_code == 0, result.output
    assert "int8, after the fold" in result.stdout
    assert "CUDA" not in result.stdout


def test_a_loss_beyond_what_is_allowed_is_exit_code_1_and_leaves_no_file(
    tmp_path: Path, root: Path
) -> None:
    blind, digits = tmp_path / "black.npy", root / "models/digits/1/checkpoint.safetensors"
    np.save(blind, np.zeros((4, 1, 8, 8), np.uint8))
    given = ("--name", "digits", "--output", tmp_path / "models", "--samples", "6")

    result = run("build", digits, *given, "--precision", "int8", "--calibration", blind)

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
