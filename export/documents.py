"""What the commands say to machines: one JSON document each."""

import json
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

from export.artifact import PAGE_FILE
from export.latency import Latency
from export.pipeline import Built
from export.plain import FoldedFile
from export.verify import Parity


def written(document: Mapping[str, Any]) -> str:
    """Return a document as it is printed."""
    return json.dumps(document, indent=2, ensure_ascii=False)


def of_build(built: Built, size: tuple[int, int], latency: Latency) -> Mapping[str, Any]:
    """Return what a build did.

    Args:
        built: The build.
        size: Bytes of the weights before, bytes of the folded file after.
        latency: Before and after the fold.
    """
    reduced = built.reduced
    return {
        "path": str(built.path),
        "report": str(built.path.with_name(PAGE_FILE)),
        "manifest": built.manifest,
        "bytes": {"unfolded": size[0], "folded": size[1]},
        "latency_ms": {"unfolded": latency.unfolded_ms, "folded": latency.folded_ms},
        "precision": reduced
        and {
            "bytes": {"before": reduced.report.size_before, "after": reduced.report.size_after},
            "latency_ms": {"before": reduced.before_ms, "after": reduced.after_ms},
        },
    }


def of_fold(done: FoldedFile, path: Path, decision: str) -> Mapping[str, Any]:
    """Return what a fold of a plain file did.

    Args:
        done: The fold.
        path: Of the result.
        decision: Which moves were taken, in a sentence.
    """
    report = done.folded.report
    return {
        "path": str(path),
        "decision": decision,
        "bn_before": report.bn_before,
        "bn_after": report.bn_after,
        "affines_before": report.affines_before,
        "affines_after": report.affines_after,
        "nodes": [asdict(node) for node in report.nodes],
        "parity": done.parity and asdict(done.parity),
        "unverified": done.unverified,
    }


def of_verification(
    artifact: Path, against: str, parity: Parity | None, problem: str | None = None
) -> Mapping[str, Any]:
    """Return whether an artifact computes what its original computes.

    Args:
        artifact: The file.
        against: Its original.
        parity: What was measured; None if it does not hold.
        problem: Why it does not hold.
    """
    return {
        "artifact": str(artifact),
        "against": against,
        "holds": problem is None,
        "parity": parity and asdict(parity),
        "problem": problem,
    }
