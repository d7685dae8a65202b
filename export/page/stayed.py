"""What stayed: each with its reason, and the graph around it before and after."""

from collections.abc import Iterator, Mapping, Sequence

import onnx_ir as ir
from onnx_ir.passes.common import ShapeInferencePass

from export.folding import AffineOutcome
from export.folding.constants import label
from export.page.neighbourhood import around
from export.page.picture import svg
from export.page.text import text
from export.wording import details, word

MOST_PICTURES = 20  # of about 10 kB each; who has more looks for one cause, not at each
OPEN_PICTURES = 3  # the others open at a click: a list of them stays one that can be read
AFFINES = frozenset({"BatchNormalization", "Mul", "Add", "Sub", "Div"})

LEGEND = (
    "Data flows down; under a name stands the shape of its output. "
    "+2 in, +3 out: so many neighbours of a node are not drawn."
)


def articles(stayed: Sequence[AffineOutcome], before: ir.Model, after: ir.Model) -> str:
    """A section with one article for each that stayed.

    Args:
        stayed: The outcomes, in the order of the graph.
        before: The model before the fold.
        after: The model after it.
    """
    if not stayed:
        return ""
    drawn, rest = stayed[:MOST_PICTURES], len(stayed) - MOST_PICTURES
    old, new = _Graph(before), _Graph(after)
    note = f" {rest} more stayed; they are in the table below." if rest > 0 else ""
    shown = "".join(
        _article(outcome, old, new, " open" if number < OPEN_PICTURES else "")
        for number, outcome in enumerate(drawn)
    )
    return f"<section><h2>What stayed, and why</h2><p>{LEGEND}{note}</p>{shown}</section>"


class _Graph:
    """The nodes of a copy of a model whose shapes are inferred, by name and by output."""

    def __init__(self, model: ir.Model) -> None:
        copy = model.clone()
        ShapeInferencePass(strict_mode=False, check_type=False)(copy)
        nodes = [node for graph in copy.graphs() for node in graph]
        nodes += [node for function in copy.functions.values() for node in function]
        # Reversed, so that of several with one name the first stays.
        self.by_name: Mapping[str, ir.Node] = {label(node): node for node in reversed(nodes)}
        self.by_output: Mapping[str, ir.Node] = {
            output.name: node for node in reversed(nodes) for output in node.outputs if output.name
        }

    def of(self, other: ir.Node) -> ir.Node | None:
        """The node that has the name of a node of another graph, or puts out what it put out."""
        outputs = [self.by_output.get(output.name or "") for output in other.outputs]
        found = [node for node in (self.by_name.get(label(other)), *outputs) if node is not None]
        return found[0] if found else None


def _article(outcome: AffineOutcome, before: _Graph, after: _Graph, opened: str) -> str:
    old = before.by_name.get(outcome.name)
    pictures = _picture("Before", outcome, old) + _picture(
        "After", outcome, _left(outcome, old, after)
    )
    return (
        f'<article class="{outcome.outcome}"><h3><bdi>{text(outcome.name)}</bdi></h3>'
        f'<p><span class="mark">{text(word(outcome.outcome))}</span> '
        f"{text(details(outcome))}</p>"
        f"<details{opened}><summary>The graph around it</summary>"
        f'<div class="pair">{pictures}</div></details></article>'
    )


def _left(outcome: AffineOutcome, old: ir.Node | None, after: _Graph) -> ir.Node | None:
    """What is left of it: the node of its name or its output, or one that took the rest in."""
    for node in _chain(old):
        found = after.of(node)
        if found is not None:
            return found
    known = (after.by_name.get(name) for name in (outcome.name, *outcome.into))
    return next((node for node in known if node is not None), None)


def _chain(node: ir.Node | None) -> Iterator[ir.Node]:
    """A node and the affines behind it: they become one, which has the last one's name."""
    while node is not None:
        yield node
        readers = [use.node for output in node.outputs for use in output.uses()]
        node = readers[0] if len(readers) == 1 and readers[0].op_type in AFFINES else None


def _picture(when: str, outcome: AffineOutcome, node: ir.Node | None) -> str:
    if node is None:
        drawn = '<p class="soft">The graph has no node of its own for it.</p>'
    else:
        title = f"The graph around {outcome.name}, {when.lower()} the fold"
        drawn = (
            f'<div class="scroll" role="region" tabindex="0" aria-label="{text(title)}">'
            f'<div class="picture">{svg(around(node, outcome.blocked_by), title)}</div></div>'
        )
    return f"<div><h4>{when}</h4>{drawn}</div>"
