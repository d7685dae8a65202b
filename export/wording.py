"""What became of a batch norm, in words for people; tables and the page say the same."""

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

from export.folding.report import AffineOutcome, Decision, Kind

NOTHING = "The model has no BatchNormalization."
SHOWN_NAMES = 4  # more fill the lines of a table; the whole list stands in the manifest

# What an outcome is called, in sentences, counts and marks.
WORDS = {
    "folded_backward": "folded backward",
    "folded_forward": "folded forward",
    "split": "split between both sides",
    "merged": "merged with a branch",
    "clamped": "folded with a clamp for a ReLU",
    "reduced": "reduced to one operator",
    "kept": "kept",
}
REMAINING = ("reduced", "kept")
KINDS: dict[Kind, tuple[str, str]] = {
    "batch_norm": ("batch norm", "batch norms"),
    "affine": ("chain of Mul, Add, Sub or Div", "chains of Mul, Add, Sub or Div"),
}


def sentence(outcome: AffineOutcome) -> str:
    """What became of it, where it went, and why not more of it did."""
    said, told = word(outcome.outcome), details(outcome)
    joint = " " if told.startswith("into ") else ": "
    return f"{said}{joint}{told}" if told else said


def word(outcome: str) -> str:
    """What an outcome is called; one of another version as it stands."""
    return WORDS.get(outcome, outcome)


def details(outcome: AffineOutcome) -> str:
    """Where it went, and why not more of it did; empty if there is nothing to say."""
    what = "the rest " if outcome.outcome == "reduced" else ""
    parts = [f"{what}into {listed(outcome.into)}"] if outcome.into else []
    parts += [outcome.reason] if outcome.reason else []
    said = ": ".join(parts)
    unnamed = [name for name in outcome.blocked_by if f"'{name}'" not in (outcome.reason or "")]
    return f"{said} (forbidden by {listed(unnamed)})".strip() if unnamed else said


def moves(decision: Decision) -> str:
    """Which moves were taken, and why; what the manifest says of a decision."""
    return f"{decision.chosen} moves, {decision.text}"


def decided(fold: Mapping[str, Any]) -> str | None:
    """The sentence about the decision, from the manifest's `fold`; None before format 2."""
    if "decision" not in fold:
        return None
    return f"Fold {fold['mode']} for {fold['target']}: {fold['decision']}."


def listed(names: Sequence[str]) -> str:
    """Names in a row, of many the first ones and the last."""
    if len(names) <= SHOWN_NAMES:
        return ", ".join(names)
    return f"{names[0]}, {names[1]}, … {len(names) - 3} more …, {names[-1]}"


def summaries(outcomes: Sequence[AffineOutcome]) -> list[str]:
    """One line for the batch norms and one for the chains that are affines like them."""
    lines = [_summary(outcomes, kind) for kind in KINDS]
    return [line for line in lines if line] or [NOTHING]


def _summary(outcomes: Sequence[AffineOutcome], kind: Kind) -> str:
    counts = Counter[str](one.outcome for one in outcomes if one.kind == kind)
    total, left = sum(counts.values()), sum(counts[outcome] for outcome in REMAINING)
    if not total:
        return ""
    singular, plural = KINDS[kind]
    head = f"{total - left} of {total} {singular if total == 1 else plural}"
    parts = ", ".join(f"{count} {word(outcome)}" for outcome, count in _in_order(counts))
    return f"{head} {'is' if total == 1 else 'are'} gone: {parts}."


def _in_order(counts: Mapping[str, int]) -> list[tuple[str, int]]:
    """As the table of words has them, those of another version last."""
    known = [*WORDS, *sorted(counts.keys() - WORDS.keys())]
    return [(outcome, counts[outcome]) for outcome in known if counts.get(outcome)]


def calibrated(reliability: Mapping[str, Any]) -> str:
    """How far an artifact's probabilities can be believed, as a sentence without its end."""
    count, split = reliability["samples"], reliability["split"]
    now, before = (f"{100 * reliability[name]:.1f}" for name in ("ece", "ece_before"))
    temperature = reliability["temperature"]
    if temperature == 1:
        return f"Expected calibration error: {now} points, on {count} samples of {split}"
    fitted = ", fitted to as many others" if reliability["fitted"] else ""
    return (
        f"Expected calibration error: {now} points with a temperature of {temperature:.3g}{fitted},"
        f" {before} without, on {count} samples of {split}"
    )
