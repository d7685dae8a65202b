"""Tables show names as they are."""

from typing import Any

import pytest

from export import report
from export.folding.report import AffineOutcome
from tests.service.zoo import manifest_document_v1


def test_names_with_brackets_are_not_taken_for_markup(capsys: pytest.CaptureFixture[str]) -> None:
    kept = AffineOutcome("layers[bold].bn", "batch_norm", "kept", reason="shape [3, 1]")

    report.print_fold(report.console(), [kept])

    shown = capsys.readouterr().out
    assert "layers[bold].bn" in shown
    assert "kept: shape [3, 1]" in shown


def test_the_fold_ends_with_its_sum_and_its_decision(capsys: pytest.CaptureFixture[str]) -> None:
    moved = AffineOutcome("bn", "batch_norm", "folded_forward", ("conv",), ("relu_out",))

    report.print_fold(report.console(), [moved], "Moves were measured.")

    shown = capsys.readouterr().out
    assert "relu_out" in shown
    assert shown.splitlines()[-2:] == [
        "1 of 1 batch norm is gone: 1 folded forward.",
        "Moves were measured.",
    ]


def test_a_manifest_of_the_format_before_is_shown(capsys: pytest.CaptureFixture[str]) -> None:
    report.print_described_fold(report.console(), manifest_document_v1())

    shown = capsys.readouterr().out
    assert "folded backward into conv" in shown
    assert "1 of 1 batch norm is gone" in shown


def test_many_labels_are_cut_short(capsys: pytest.CaptureFixture[str]) -> None:
    labels: dict[str, Any] = {"labels": [f"c{index}" for index in range(1000)]}

    report.print_manifest(report.console(), labels)

    shown = capsys.readouterr().out
    assert "1000: c0, c1" in shown
    assert "c10" not in shown


def test_a_name_cannot_command_the_terminal(capsys: pytest.CaptureFixture[str]) -> None:
    kept = AffineOutcome("bn\x1b]0;owned\x07", "batch_norm", "kept", reason="\x1b[2Jgone")

    report.print_fold(report.console(), [kept])

    shown = capsys.readouterr().out
    assert "\x1b]0" not in shown
    assert "\x1b[2J" not in shown
    assert "bn\N{REPLACEMENT CHARACTER}]0;owned" in shown
