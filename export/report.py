"""What a person sees: tables of a build, of an artifact, of a parity check."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from rich.console import Console
from rich.table import Table
from rich.text import Text

from export.folding import AffineOutcome
from export.latency import Latency
from export.manifest import Manifest, outcomes
from export.precision import Reduced
from export.printable import printable
from export.signature import Signature, Tensor
from export.wording import KINDS, calibrated, decided, listed, sentence, summaries

# What `print_manifest` leaves to others, or is for machines alone.
APART = frozenset({"fold", "parity", "reliability", "vector"})
FP16_ON_A_CPU = (
    "On a CPU ONNX Runtime computes most of fp16 in float32, behind casts; its speed is for CUDA."
)


def console(*, stderr: bool = False) -> Console:
    """The terminal; names of nodes are shown as they are, whatever brackets they hold.

    Args:
        stderr: The standard error stream: for progress, and where the output is for machines.
    """
    return Console(markup=False, emoji=False, highlight=False, stderr=stderr)


@contextmanager
def steps() -> Iterator[Callable[[str], None]]:
    """Show on a terminal which step is taken; yields what is told each as it begins."""
    # As text: a step may name a file, whose brackets are no markup.
    with console(stderr=True).status(Text("Starting")) as status:
        yield lambda step: status.update(Text(printable(step)))


def print_build(
    console: Console, manifest: Manifest, size: tuple[int, int], latency: Latency
) -> None:
    """Print what a build did.

    Args:
        console: Where to.
        manifest: Of the artifact.
        size: Bytes of the weights before, bytes of the file after.
        latency: Before and after.
    """
    print_described_fold(console, manifest)
    table = _table(f"{manifest['name']} {manifest['version']}", "", "before", "after")
    fold, parity = manifest["fold"], manifest["parity"]
    table.add_row("BatchNormalization", str(fold["bn_before"]), str(fold["bn_after"]))
    if fold["affines_before"]:
        table.add_row(KINDS["affine"][1], str(fold["affines_before"]), str(fold["affines_after"]))
    table.add_row(
        f"relative error to {parity['reference']}",
        f"{parity['unfolded_max_rel_error']:.3g}",
        f"{parity['max_rel_error']:.3g}",
    )
    table.add_row("absolute error", "", f"{parity['max_abs_error']:.3g}")
    if parity["top1_agreement"] is not None:
        table.add_row("top-1 agreement", "", f"{parity['top1_agreement']:.2%}")
    table.add_row("size", _bytes(size[0]), _bytes(size[1]))
    table.add_row(
        "latency, 1 input, 1 thread", f"{latency.unfolded_ms:.3f} ms", f"{latency.folded_ms:.3f} ms"
    )
    console.print(table)


def print_precision(console: Console, reduced: Reduced) -> None:
    """Print what narrower numbers cost and saved."""
    found = reduced.report
    table = _table(f"{found.kind}, after the fold", "", "float32", found.kind)
    if found.accuracy_before is not None and found.accuracy_after is not None:
        table.add_row("accuracy", f"{found.accuracy_before:.2%}", f"{found.accuracy_after:.2%}")
    if found.top1_agreement is not None:
        table.add_row("top-1 agreement", "", f"{found.top1_agreement:.2%}")
    table.add_row("size", _bytes(found.size_before), _bytes(found.size_after))
    table.add_row(
        "latency, 1 input, 1 thread", f"{reduced.before_ms:.3f} ms", f"{reduced.after_ms:.3f} ms"
    )
    console.print(table)
    console.print(
        f"Judged by {found.samples} samples of {found.split}; calibrated on {found.calibration}.",
        soft_wrap=True,
    )
    if found.kind == "fp16":
        console.print(FP16_ON_A_CPU, soft_wrap=True)


def print_reliability(console: Console, reliability: Manifest) -> None:
    """Print how far an artifact's probabilities can be believed."""
    console.print(f"{calibrated(reliability)}.", soft_wrap=True)


def print_described_fold(console: Console, manifest: Manifest) -> None:
    """Print what a manifest of any format says of its fold."""
    print_fold(console, outcomes(manifest), decided(manifest["fold"]))


def print_fold(
    console: Console, nodes: Sequence[AffineOutcome], decision: str | None = None
) -> None:
    """Print the outcome of every batch norm, how many are gone, and which moves were taken.

    Args:
        console: Where to.
        nodes: What became of them.
        decision: The sentence of a `Decision`, if one was taken.
    """
    if nodes:
        console.print(_outcomes(nodes))
    for line in summaries(nodes):
        console.print(line, soft_wrap=True)
    if nodes and decision:
        console.print(decision, soft_wrap=True)


def _outcomes(nodes: Sequence[AffineOutcome]) -> Table:
    travelled = any(node.through for node in nodes)
    table = _table("batch norms", "node", "outcome", *(["through"] if travelled else []))
    for node in nodes:
        through = [listed(node.through)] if travelled else []
        table.add_row(node.name, sentence(node), *through)
    return table


def print_parity(console: Console, parity: dict[str, Any]) -> None:
    """Print a parity check."""
    table = _table("parity", "", "")
    for name, value in parity.items():
        table.add_row(name.replace("_", " "), _number(value))
    console.print(table)


def print_signature(console: Console, graph: Signature) -> None:
    """Print what a graph takes and gives."""
    table = _table("signature", "", "name", "type", "shape")
    for kind, tensors in (("input", graph.inputs), ("output", graph.outputs)):
        for tensor in tensors:
            table.add_row(kind, tensor.name, tensor.dtype.name, _shape(tensor))
    console.print(table)


def print_manifest(console: Console, manifest: Manifest) -> None:
    """Print what an artifact says about itself; fold, parity and its vector apart."""
    table = _table("manifest", "", "")
    for name, value in manifest.items():
        if name == "labels" and value is not None:
            table.add_row(
                name, f"{len(value)}: {', '.join(value[:10])}{' …' if len(value) > 10 else ''}"
            )
        elif isinstance(value, dict) and name not in APART:
            table.add_row(name, ", ".join(f"{key} {_number(item)}" for key, item in value.items()))
        elif not isinstance(value, dict):
            table.add_row(name, str(value))
    console.print(table)


def as_json(graph: Signature, manifest: Manifest | None) -> dict[str, Any]:
    """Signature and manifest for machines."""
    return {
        "signature": {
            "inputs": [_tensor(tensor) for tensor in graph.inputs],
            "outputs": [_tensor(tensor) for tensor in graph.outputs],
        },
        "manifest": manifest,
    }


def _tensor(tensor: Tensor) -> dict[str, Any]:
    shape = list(tensor.shape) if tensor.shape is not None else None
    return {"name": tensor.name, "dtype": tensor.dtype.name, "shape": shape}


class _Table(Table):
    """A table whose cells cannot command the terminal."""

    def add_row(self, *cells: Any, **options: Any) -> None:
        super().add_row(*map(printable, cells), **options)


def _table(title: str, *columns: str) -> Table:
    table = _Table(title=printable(title), title_justify="left", show_header=any(columns))
    for column in columns:
        table.add_column(column, overflow="fold")
    return table


def _shape(tensor: Tensor) -> str:
    if tensor.shape is None:
        return "unknown"
    return " x ".join("?" if size is None else str(size) for size in tensor.shape) or "scalar"


def _number(value: object) -> str:
    return f"{value:.3g}" if isinstance(value, float) else str(value)


def _bytes(count: int) -> str:
    return f"{count / 1e6:.2f} MB" if count >= 1e6 else f"{count / 1e3:.1f} kB"
