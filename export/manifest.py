"""The manifest: what a graph cannot say about itself, as JSON.

`service/artifact/manifest.py` reads it.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, fields
from importlib.metadata import version
from typing import Any

import onnx_ir as ir

from export import runtime
from export.errors import ArtifactError, UsageError, first_line
from export.folding.report import AffineOutcome, Decision, FoldReport
from export.signature import Signature, signature
from export.sources.original import ImageInput, Original
from export.verify import Parity
from export.wording import moves

FORMAT_VERSION = 4
KEY = "foldserve.manifest"
# Characters; the service reads no longer one. A thousand batch norms take half a million.
LONGEST = 4 * 2**20

# What the outcome of a batch norm consists of, by the format that it was written in.
OUTCOMES = {
    1: frozenset({"name", "outcome", "into", "reason"}),
    2: frozenset(field.name for field in fields(AffineOutcome)),
    3: frozenset(field.name for field in fields(AffineOutcome)),
    4: frozenset(field.name for field in fields(AffineOutcome)),
}

SEQUENCES = ("into", "through", "blocked_by")
DECISION = ("mode", "target", "decision")

Manifest = dict[str, Any]


def compose(
    original: Original,
    *,
    name: str,
    model_version: int,
    report: FoldReport,
    decision: Decision,
    parity: Parity,
    vector: Mapping[str, Any],
    precision: Mapping[str, Any] | None = None,
    reliability: Mapping[str, Any] | None = None,
) -> Manifest:
    """The manifest of an artifact.

    With `precision`, the artifact's numbers are narrower than those of the graph that was folded:
    `fold` and `parity` are then of the float32 graph before that step, whose errors are rounding;
    `precision` is of the artifact itself, by top-1. `metrics` are of the network as it was trained.

    Args:
        original: What was folded.
        name: Of the model.
        model_version: Of the model.
        report: What became of its batch norms.
        decision: Which moves were taken.
        parity: What was measured.
        vector: An input and what the artifact makes of it; see `export.vector`.
        precision: What narrower numbers cost, the fields of `precision` in the manifest.
        reliability: How far probabilities can be believed, and the temperature of the softmax.

    Raises:
        UsageError: There are not as many labels as outputs.
    """
    graph = signature(original.model)
    source = original.provenance
    labels = list(original.labels) if original.labels is not None else None
    if labels is not None:
        _check_labels(labels, graph)
    return {
        "format_version": FORMAT_VERSION,
        "name": name,
        "version": model_version,
        "task": _task(original),
        "labels": labels,
        "input": _input(original, graph),
        "output": _output(original, graph),
        "source": {"kind": source.kind, "reference": source.reference, "sha256": source.sha256},
        "fold": _fold(report, decision),
        "precision": dict(precision) if precision is not None else None,
        "parity": asdict(parity),
        "vector": dict(vector),
        "reliability": dict(reliability) if reliability is not None else None,
        "metrics": dict(original.metrics) if original.metrics is not None else None,
        "created_by": _created_by(original),
    }


def attach(model: ir.Model, manifest: Manifest) -> None:
    """Write a manifest into a model.

    Raises:
        ArtifactError: It is longer than a service reads.
    """
    text = json.dumps(manifest, ensure_ascii=False, allow_nan=False)
    if len(text) > LONGEST:
        raise ArtifactError(f"the manifest has {len(text)} characters, more than {LONGEST}")
    model.metadata_props[KEY] = text


def read(model: ir.Model) -> Manifest | None:
    """The manifest of a model, None if it has none.

    Raises:
        ArtifactError: It is no manifest that this version knows.
    """
    text = model.metadata_props.get(KEY)
    if text is None:
        return None
    if len(text) > LONGEST:
        raise ArtifactError(f"the manifest is longer than {LONGEST} characters")
    try:
        manifest = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise ArtifactError(f"the manifest is no JSON: {first_line(error)}") from error
    found = manifest.get("format_version") if isinstance(manifest, dict) else None
    if type(found) is not int or found not in OUTCOMES:
        known = " and ".join(map(str, OUTCOMES))
        raise ArtifactError(
            f"the manifest has format_version {found!r}, this version reads {known}"
        )
    _check_whole(manifest, OUTCOMES[found])
    return dict(manifest)


def outcomes(manifest: Manifest) -> tuple[AffineOutcome, ...]:
    """What became of every batch norm and affine, whichever format said it."""
    return tuple(map(_outcome, manifest["fold"]["nodes"]))


def _outcome(node: Manifest) -> AffineOutcome:
    if node.keys() == OUTCOMES[FORMAT_VERSION]:
        return AffineOutcome(**node | {name: tuple(node[name]) for name in SEQUENCES})
    into = (node["into"],) if node["into"] is not None else ()
    return AffineOutcome(node["name"], "batch_norm", node["outcome"], into, reason=node["reason"])


def _check_whole(manifest: Manifest, outcome: frozenset[str]) -> None:
    """Refuse a manifest without what is shown of every artifact."""
    found, parity, labels = (manifest.get(name) for name in ("fold", "parity", "labels"))
    fold = found if isinstance(found, dict) else {}
    nodes = fold.get("nodes")
    if not isinstance(nodes, list) or not all(_is_outcome(node, outcome) for node in nodes):
        raise ArtifactError("the manifest does not say what became of every batch norm")
    if outcome == OUTCOMES[FORMAT_VERSION] and not _is_text([fold.get(name) for name in DECISION]):
        raise ArtifactError("the manifest does not say which moves were taken")
    if not isinstance(parity, dict):
        raise ArtifactError("the manifest does not say what was measured")
    if labels is not None and not _is_text(labels):
        raise ArtifactError("the manifest has labels that are no text")


def _is_outcome(node: object, fields: frozenset[str]) -> bool:
    if not isinstance(node, dict) or node.keys() != fields:
        return False
    several = SEQUENCES if fields == OUTCOMES[FORMAT_VERSION] else ()
    return all(
        _is_text(value) if name in several else value is None or isinstance(value, str)
        for name, value in node.items()
    )


def _is_text(value: object) -> bool:
    return isinstance(value, list) and all(isinstance(one, str) for one in value)


def _check_labels(labels: Sequence[str], graph: Signature) -> None:
    shape = graph.outputs[0].shape or ()
    if len(graph.outputs) != 1 or len(shape) != 2:
        raise UsageError("--labels: the model does not put out one row of numbers for an input")
    if isinstance(shape[-1], int) and shape[-1] != len(labels):
        raise UsageError(f"--labels: {len(labels)} labels for {shape[-1]} outputs")


def _task(original: Original) -> str:
    if original.labels is None:
        return "tensor"
    return "image-classification" if isinstance(original.input, ImageInput) else "classification"


def _input(original: Original, graph: Signature) -> Manifest | None:
    if len(graph.inputs) != 1:
        return None
    name, given = graph.inputs[0].name, original.input
    if not isinstance(given, ImageInput):
        value_range = list(given.value_range) if given.value_range else None
        return {"name": name, "kind": "tensor", "value_range": value_range}
    fields = asdict(given) | {"value_range": list(given.value_range)}
    return {"name": name, "kind": "image", "layout": given.layout} | fields


def _output(original: Original, graph: Signature) -> Manifest | None:
    if len(graph.outputs) != 1:
        return None
    kind = "tensor"
    if original.labels is not None:
        producer = original.model.graph.outputs[0].producer()
        softmax = producer is not None and producer.op_type == "Softmax"
        kind = "probabilities" if softmax else "logits"
    return {"name": graph.outputs[0].name, "kind": kind}


def _fold(report: FoldReport, decision: Decision) -> Manifest:
    return {
        "mode": decision.mode,
        "target": decision.target,
        "decision": moves(decision),
        "bn_before": report.bn_before,
        "bn_after": report.bn_after,
        "affines_before": report.affines_before,
        "affines_after": report.affines_after,
        "nodes": [_stated(node) for node in report.nodes],
    }


def _stated(outcome: AffineOutcome) -> Manifest:
    sequences = {name: list(getattr(outcome, name)) for name in SEQUENCES}
    return asdict(outcome) | sequences  # JSON has no tuples


def _created_by(original: Original) -> dict[str, str]:
    versions = {
        "foldserve": version("foldserve"),
        "onnx": version("onnx"),
        "onnxruntime": runtime.version(),
    }
    return versions | dict(original.provenance.versions)
