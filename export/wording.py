"""What became of a batch norm, in words for people; tables and the page say the same."""

from collections import Counter
from collections.abc import Mapping, Sequence

from export.folding import AffineOutcome
from export.folding.report import Kind

NOTHING = "The model has no BatchNormalization."
SHOWN_NAMES = 3  # more fill the lines of a table; the whole list stands in the manifest

# What an outcome is called in a sentence, and in a count; "{into}" is a list of names.
SENTENCES = {
    "folded_backward": ("folded into {into}, in front of it", "folded backward"),
    "folded_forward": ("folded into {into}, behind it", "folded forward"),
    "split": ("split between {into}", "split between both sides"),
    "merged": ("merged with a branch beside it, into {into}", "merged with a branch"),
    "clamped": ("folded into {into}, a ReLU became a clamp", "folded with a clamp for a ReLU"),
    "reduced": ("reduced to one operator", "reduced to one operator"),
    "kept": ("kept", "kept"),
}
REMAINING = ("reduced", "kept")
KINDS: dict[Kind, tuple[str, str]] = {
    "batch_norm": ("batch norm", "batch norms"),
    "affine": ("chain of Mul, Add, Sub or Div", "chains of Mul, Add, Sub or Div"),
}


def sentence(outcome: AffineOutcome) -> str:
    """What became of it, where it went, and why not more of it did."""
    text, _ = SENTENCES.get(outcome.outcome, (outcome.outcome, ""))
    # A manifest of another version may leave out what this one always says.
    said = text.format(into=listed(outcome.into) or "other nodes")
    if outcome.reason:
        said = f"{said}: {outcome.reason}"
    unnamed = [name for name in outcome.blocked_by if name not in (outcome.reason or "")]
    return f"{said} (forbidden by {listed(unnamed)})" if unnamed else said


def listed(names: Sequence[str]) -> str:
    """Names in a row, of many the first ones and the last."""
    if len(names) <= SHOWN_NAMES:
        return ", ".join(names)
    first, hidden = names[: SHOWN_NAMES - 1], len(names) - SHOWN_NAMES
    return f"{', '.join(first)}, … {hidden} more …, {names[-1]}"


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
    parts = ", ".join(f"{count} {_counted(outcome)}" for outcome, count in _in_order(counts))
    return f"{head} {'is' if total == 1 else 'are'} gone: {parts}."


def _in_order(counts: Mapping[str, int]) -> list[tuple[str, int]]:
    """As the table of sentences has them, those of another version last."""
    known = [*SENTENCES, *sorted(counts.keys() - SENTENCES.keys())]
    return [(outcome, counts[outcome]) for outcome in known if counts.get(outcome)]


def _counted(outcome: str) -> str:
    return SENTENCES[outcome][1] if outcome in SENTENCES else outcome
