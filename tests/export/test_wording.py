"""What became of a batch norm is said in words that a person understands."""

from typing import Any, get_args

import pytest

from export import wording
from export.folding.report import AffineOutcome, Decision, Outcome


def outcome(what: Any, **fields: Any) -> AffineOutcome:
    return AffineOutcome(fields.pop("name", "bn"), fields.pop("kind", "batch_norm"), what, **fields)


@pytest.mark.parametrize("what", get_args(Outcome))
def test_every_outcome_has_its_sentence(what: Outcome) -> None:
    said = wording.sentence(outcome(what, into=("conv",)))

    assert what in wording.WORDS
    assert "_" not in said
    assert said.endswith("into conv")


def test_what_there_is_nothing_to_say_about_is_one_word() -> None:
    assert wording.sentence(outcome("kept")) == "kept"


def test_an_outcome_of_another_version_is_said_as_it_is() -> None:
    assert wording.sentence(outcome("absorbed_sideways")) == "absorbed_sideways"
    assert wording.summaries([outcome("absorbed_sideways")]) == [
        "1 of 1 batch norm is gone: 1 absorbed_sideways."
    ]


def test_why_something_stays_and_what_forbids_more_are_said_once() -> None:
    named = outcome("kept", reason="Sigmoid 'gate' is not linear", blocked_by=("gate",))
    unnamed = outcome("reduced", reason="a shift meets padding", blocked_by=("shift",))
    partly = outcome("reduced", into=("next",), reason="its shift meets padding")

    assert wording.sentence(named) == "kept: Sigmoid 'gate' is not linear"
    assert wording.sentence(unnamed) == (
        "reduced to one operator: a shift meets padding (forbidden by shift)"
    )
    assert wording.sentence(partly) == (
        "reduced to one operator: the rest into next: its shift meets padding"
    )


def test_of_many_names_the_first_and_the_last_are_shown() -> None:
    names = [f"t{index}" for index in range(20)]

    assert wording.listed(names[:4]) == "t0, t1, t2, t3"
    assert wording.listed(names[:5]) == "t0, t1, … 2 more …, t4"
    assert wording.listed(names) == "t0, t1, … 17 more …, t19"


def test_batch_norms_and_other_chains_are_summed_up_apart() -> None:
    outcomes = [
        outcome("kept"),
        outcome("folded_forward"),
        outcome("folded_backward"),
        outcome("folded_backward"),
        outcome("reduced"),
        outcome("merged", kind="affine"),
    ]

    assert wording.summaries(outcomes) == [
        "3 of 5 batch norms are gone: 2 folded backward, 1 folded forward, "
        "1 reduced to one operator, 1 kept.",
        "1 of 1 chain of Mul, Add, Sub or Div is gone: 1 merged with a branch.",
    ]


def test_a_model_without_any_says_so() -> None:
    assert wording.summaries([]) == [wording.NOTHING]


def test_a_decision_is_one_sentence() -> None:
    decision = Decision("fast", "cuda", "all", "rule", "by rule: clamps pay there")
    fold = {"mode": "fast", "target": "cuda", "decision": wording.moves(decision)}

    assert wording.decided(fold) == "Fold fast for cuda: all moves, by rule: clamps pay there."
    assert wording.decided({}) is None
