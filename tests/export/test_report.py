"""Tables show names as they are."""

import pytest

from export import report


def test_names_with_brackets_are_not_taken_for_markup(capsys: pytest.CaptureFixture[str]) -> None:
    kept = {"name": "layers[bold].bn", "outcome": "kept", "into": None, "reason": "shape [3, 1]"}

    report.print_fold(report.console(), [kept])

    shown = capsys.readouterr().out
    assert "layers[bold].bn" in shown
    assert "kept: shape [3, 1]" in shown


def test_an_outcome_of_another_version_is_shown_as_it_is(
    capsys: pytest.CaptureFixture[str],
) -> None:
    moved = {"name": "bn", "outcome": "folded_forward", "into": "conv", "reason": None}

    report.print_fold(report.console(), [moved])

    assert "folded_forward" in capsys.readouterr().out


def test_many_labels_are_cut_short(capsys: pytest.CaptureFixture[str]) -> None:
    report.print_manifest(report.console(), {"labels": [f"c{index}" for index in range(1000)]})

    shown = capsys.readouterr().out
    assert "1000: c0, c1" in shown
    assert "c10" not in shown
