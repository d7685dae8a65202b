"""The page: one HTML document that needs nothing but itself, no script either."""

from base64 import b64encode
from collections.abc import Iterator, Mapping, Sequence
from hashlib import sha256
from importlib.resources import files

import onnx_ir as ir

from export.folding import AffineOutcome
from export.manifest import Manifest, outcomes
from export.page.diagram import reliability_diagram
from export.page.stayed import articles
from export.page.text import text
from export.wording import KINDS, REMAINING, decided, details, summaries, word

MOST_NAMES = 40  # of the tensors that one batch norm went through; the manifest has them all
FILTERS = {"every": "all", "gone": "gone", "reduced": "reduced", "kept": "kept"}


def compose(
    manifest: Manifest,
    before: ir.Model,
    after: ir.Model,
    latencies: Mapping[str, float] | None = None,
) -> str:
    """The page of an artifact.

    Args:
        manifest: What the artifact says about itself.
        before: The model before the fold; neither model is changed.
        after: The model after it.
        latencies: What was measured to decide: of each set of moves its share of the time that
            the unfolded model takes.
    """
    nodes = outcomes(manifest)
    style = files("export.page").joinpath("style.css").read_text("utf-8")
    name, version = text(manifest["name"]), text(str(manifest["version"]))
    body = "".join(
        (
            _header(manifest, nodes, f"{name} <small>version {version}</small>"),
            f"<main>{_figures(manifest, before, after)}",
            _latencies(latencies or {}),
            reliability_diagram(manifest.get("reliability")),
            articles([node for node in nodes if node.outcome in REMAINING], before, after),
            f"{_table(nodes)}</main>",
            _footer(manifest),
        )
    )
    policy = b64encode(sha256(style.encode()).digest()).decode()
    return (
        '<!doctype html>\n<html lang="en"><head><meta charset="utf-8">'
        f'<meta http-equiv="Content-Security-Policy" content="default-src \'none\'; '
        f"style-src 'sha256-{policy}'; base-uri 'none'; form-action 'none'\">"
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        f"<title>Fold report: {name} {version}</title><style>{style}</style></head>"
        f"<body>{body}</body></html>\n"
    )


def _header(manifest: Manifest, nodes: Sequence[AffineOutcome], title: str) -> str:
    lines = "".join(f'<p class="sum">{text(line)}</p>' for line in summaries(nodes))
    decision = decided(manifest["fold"])
    return f"<header><h1>{title}</h1>{lines}{_paragraph(decision)}</header>"


def _paragraph(sentence: str | None) -> str:
    return f"<p>{text(sentence)}</p>" if sentence else ""


def _figures(manifest: Manifest, before: ir.Model, after: ir.Model) -> str:
    rows = [*_counts(manifest, before, after), *_parity(manifest["parity"])]
    if manifest.get("precision"):
        rows += _precision(manifest["precision"])
    body = "".join(
        f'<tr><th scope="row">{text(what)}</th><td class="number">{text(was)}</td>'
        f'<td class="number">{text(now)}</td></tr>'
        for what, was, now in rows
    )
    return (
        '<h2>Before and after</h2><div class="scroll"><table class="figures"><thead><tr>'
        '<th scope="col"></th><th scope="col" class="number">before</th>'
        f'<th scope="col" class="number">after</th></tr></thead><tbody>{body}</tbody></table></div>'
    )


Row = tuple[str, str, str]


def _counts(manifest: Manifest, before: ir.Model, after: ir.Model) -> Iterator[Row]:
    fold = manifest["fold"]
    yield "Batch norms", str(fold["bn_before"]), str(fold["bn_after"])
    if fold.get("affines_before"):
        yield (
            "Chains of Mul, Add, Sub or Div",
            str(fold["affines_before"]),
            str(fold["affines_after"]),
        )
    yield "Operators in the graph", str(len(before.graph)), str(len(after.graph))


def _parity(parity: Manifest) -> Iterator[Row]:
    was = parity.get("unfolded_max_rel_error")
    yield (
        f"Largest relative error to {parity['reference']}, {parity['samples']} samples",
        "" if was is None else f"{was:.3g}",
        f"{parity['max_rel_error']:.3g}",
    )
    yield "Largest absolute error", "", f"{parity['max_abs_error']:.3g}"
    yield "Relative error that would have been refused", "", f"{parity['tolerance']:.3g}"
    if parity["top1_agreement"] is not None:
        yield "Same first class as the original", "", f"{parity['top1_agreement']:.2%}"


def _precision(precision: Manifest) -> Iterator[Row]:
    kind, was, now = (precision[key] for key in ("kind", "accuracy_before", "accuracy_after"))
    sizes = [f"{precision[key] / 1e6:.2f} MB" for key in ("size_before", "size_after")]
    yield f"Size, with {kind}", sizes[0], sizes[1]
    if was is not None and now is not None:
        yield f"Accuracy, with {kind}", f"{was:.2%}", f"{now:.2%}"
    if precision["top1_agreement"] is not None:
        yield f"Same first class, with {kind}", "", f"{precision['top1_agreement']:.2%}"


def _latencies(latencies: Mapping[str, float]) -> str:
    if not latencies:
        return ""
    rows = "".join(
        f'<tr><th scope="row">{text(what)}</th><td class="number">{share:.3f}</td></tr>'
        for what, share in {"no move": 1.0, **latencies}.items()
    )
    return (
        '<h2>What was measured to decide</h2><table class="figures"><caption>Time of one run, as a '
        f"share of the unfolded model's; medians, taken in turns.</caption><thead><tr>"
        '<th scope="col">moves</th><th scope="col" class="number">time</th></tr></thead>'
        f"<tbody>{rows}</tbody></table>"
    )


def _table(nodes: Sequence[AffineOutcome]) -> str:
    if not nodes:
        return ""
    return (
        '<section class="list"><h2>All of them</h2>'
        f'{_filter(nodes)}<table class="all"><caption>In the order of the graph. Names are those '
        'of the nodes before the fold.</caption><thead><tr><th scope="col">Node</th>'
        '<th scope="col">What became of it</th></tr></thead>'
        f"<tbody>{''.join(map(_row, nodes))}</tbody></table></section>"
    )


def _filter(nodes: Sequence[AffineOutcome]) -> str:
    groups = [_group(node) for node in nodes]
    counts = {group: groups.count(group) for group in FILTERS} | {"every": len(groups)}
    if len(groups) in (counts[group] for group in ("gone", *REMAINING)):
        return ""  # there is nothing to leave out
    choices = "".join(
        f'<label><input type="radio" name="shown" id="{group}"'
        f"{' checked' if group == 'every' else ''}>{name} ({counts[group]})</label>"
        for group, name in FILTERS.items()
    )
    return f'<fieldset class="filter"><legend>Show</legend>{choices}</fieldset>'


def _row(node: AffineOutcome) -> str:
    chain = (
        "" if node.kind == "batch_norm" else f'<br><span class="soft">{KINDS[node.kind][0]}</span>'
    )
    return (
        f'<tr class="{_group(node)}"><th scope="row"><code><bdi>{text(node.name)}</bdi></code>'
        f'{chain}</th><td><span class="mark">{text(word(node.outcome))}</span> '
        f"{text(details(node))}{_through(node.through)}</td></tr>"
    )


def _through(names: Sequence[str]) -> str:
    if not names:
        return ""
    rest = len(names) - MOST_NAMES
    shown = ", ".join(f"<code>{text(name)}</code>" for name in names[:MOST_NAMES])
    more = f" and {rest} more, which the manifest names" if rest > 0 else ""
    tensors = "1 tensor" if len(names) == 1 else f"{len(names)} tensors"
    return f"<details><summary>through {tensors}</summary>{shown}{more}</details>"


def _group(node: AffineOutcome) -> str:
    return node.outcome if node.outcome in REMAINING else "gone"


def _footer(manifest: Manifest) -> str:
    source = manifest["source"]
    made = ", ".join(f"{name} {number}" for name, number in manifest["created_by"].items())
    digest = f", SHA-256 <code>{text(source['sha256'])}</code>" if source["sha256"] else ""
    return (
        f"<footer><p>Made from <code>{text(source['reference'])}</code> ({text(source['kind'])})"
        f"{digest}.</p><p>{text(made)}</p></footer>"
    )
