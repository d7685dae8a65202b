"""Models under all tools: the rows of the table."""

import tempfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

import onnx

from benchmarks.folding import accuracy, latency
from benchmarks.folding.counting import Counts, count
from benchmarks.folding.running import Attempt, attempts

UNFOLDED = "unfolded"
ROUNDS = 3  # times that the models are loaded anew to be timed


@dataclass(frozen=True)
class Row:
    """What one tool made of one model.

    Attributes:
        model: The model's name.
        tool: The tool's; "unfolded" for the model as it came.
        counts: What is left; None where there is no result.
        failure: Why there is none.
        invalid: Why the result is no valid model.
        error: Relative, to the unfolded model evaluated in float64; the typical one of some inputs.
        seconds: To fold.
        ratio: Latency over that of the unfolded model.
        version: Of the tool.
    """

    model: str
    tool: str
    counts: Counts | None = None
    failure: str | None = None
    invalid: str | None = None
    error: float | None = None
    seconds: float | None = None
    ratio: latency.Ratio | None = None
    version: str | None = None


@dataclass(frozen=True)
class Options:
    """How to compare.

    Attributes:
        tools: Their names, in the order of the table.
        peers: The Python that has the other tools.
        limit_s: Of one tool on one model.
        latency_s: Spent on measuring latency, a model; 0 measures none.
        smallest_ms: A model that runs faster is not timed: its runs are overhead.
    """

    tools: Sequence[str]
    peers: Path
    limit_s: float = 300.0
    latency_s: float = 10.0
    smallest_ms: float = 0.2


def compare(models: Mapping[str, Path], options: Options) -> Iterator[list[Row]]:
    """Fold models with every tool and measure the results.

    Args:
        models: Each by the name that the table calls it; all of a model in its one file.
        options: How.

    Yields:
        Of each model the rows: the unfolded model's, then one of each tool.
    """
    with tempfile.TemporaryDirectory() as folder:
        sources = list(models.values())
        columns = {tool: _attempts(tool, sources, Path(folder), options) for tool in options.tools}
        for index, (name, path) in enumerate(models.items()):
            tried = {tool: column[index] for tool, column in columns.items()}
            rows = _judged(name, path, tried)
            ratios = _latencies(path, tried, options) if options.latency_s else {}
            yield [replace(row, ratio=ratios.get(row.tool)) for row in rows]


def _attempts(tool: str, sources: Sequence[Path], folder: Path, options: Options) -> list[Attempt]:
    files = [(path, folder / f"{index}-{tool}.onnx") for index, path in enumerate(sources)]
    return attempts(tool, files, options.limit_s, options.peers)


def _judged(name: str, path: Path, attempts: Mapping[str, Attempt]) -> list[Row]:
    model = onnx.load(path)
    feeds = accuracy.samples(model)
    unfolded = Row(name, UNFOLDED, counts=count(model))
    expected: list[accuracy.Outputs] | None = None
    try:
        expected = [accuracy.exact(model, one) for one in feeds]
    except Exception as error:  # noqa: BLE001 - an operator that the reference does not know
        rows = [replace(unfolded, invalid=f"no reference: {error}")]
    else:
        rows = [replace(unfolded, error=accuracy.error(path, feeds, expected))]
    return rows + [_row(name, tool, tried, feeds, expected) for tool, tried in attempts.items()]


def _row(
    name: str,
    tool: str,
    tried: Attempt,
    feeds: Sequence[accuracy.Feeds],
    expected: Sequence[accuracy.Outputs] | None,
) -> Row:
    row = Row(
        name,
        tool,
        failure=tried.failure,
        invalid=tried.invalid,
        seconds=tried.seconds,
        version=tried.version,
    )
    if tried.path is None:
        return row
    row = replace(row, counts=count(onnx.load(tried.path)))
    if expected is None or not runs(tried):
        return row
    return replace(row, error=accuracy.error(tried.path, feeds, expected))


def runs(tried: Attempt) -> bool:
    """Whether ONNX Runtime has run the result; one that only the checker refuses may run."""
    return tried.path is not None and tried.invalid is None


def _latencies(
    path: Path, attempts: Mapping[str, Attempt], options: Options
) -> dict[str, latency.Ratio]:
    feeds = accuracy.draw(onnx.load(path))
    folded = {tool: tried.path for tool, tried in attempts.items() if runs(tried)}
    files = [path, *(file for file in folded.values() if file is not None)]
    rounds = []
    for _ in range(ROUNDS):
        calls = [partial(accuracy.session(file, optimized=True).run, None, feeds) for file in files]
        if latency.milliseconds(calls[0]) < options.smallest_ms:
            return {}
        rounds.append(latency.turns(calls, options.latency_s / ROUNDS))
    return {
        tool: latency.ratio([one[:, column] for one in rounds])
        for column, tool in enumerate(folded)
    }
