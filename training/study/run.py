"""A whole study: every trial that has not ended yet, then the pictures, the table, the page."""

import json
from collections.abc import Iterable
from dataclasses import asdict
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn
from rich.table import Table

from training import atomic, drawing
from training.datasets import load as load_dataset
from training.run_folder import RunError, claimed, differences
from training.study.claims import Claim, claims
from training.study.config import StudyConfig
from training.study.figures import draw
from training.study.findings import best_rates
from training.study.page import HEADINGS, compose
from training.study.results import Results
from training.study.trials import Trial, by_batch_size, sweeps
from training.study.workers import run_all


def study(
    config: StudyConfig,
    *,
    runs: Path = Path("runs"),
    jobs: int = 1,
    console: Console | None = None,
) -> Path:
    """Run a study, or go on where a killed one stood.

    Args:
        config: What to study.
        runs: The study's folder is made in here.
        jobs: Trials at once, each in a process and on one thread.
        console: Where to show progress; the standard output if none is given.

    Returns:
        The page's path; beside it lie the pictures and ``results.jsonl``.

    Raises:
        DatasetError: If a data set is missing or malformed.
        RunError: If the folder belongs to another study or process.
        WorkerError: If a process that runs trials is killed.
    """
    console, folder = console or Console(), runs / config.name
    for part in (config.article, config.deep):
        load_dataset(part.data)  # what is missing is told before the first trial
    with claimed(folder):
        _note(folder / "study.json", config)
        results = Results(folder / "results.jsonl")
        _run(config, sweeps(config), results, jobs, console)
        _run(config, by_batch_size(config, best_rates(results)), results, jobs, console)
        rows = claims(config, results)
        pictures = {
            name: (drawing.png(figure), shows)
            for name, (figure, shows) in draw(config, results).items()
        }
        for name, (content, _) in pictures.items():
            atomic.write(folder / f"{name}.png", content)
        page = folder / "study.html"
        atomic.write(page, compose(config, rows, pictures).encode())
    console.print(_table(rows))
    return page


def study_document(config: StudyConfig, page: Path) -> dict[str, Any]:
    """Return what a finished study says, for machines.

    Args:
        config: What was studied.
        page: What `study` has returned.
    """
    results = page.with_name("results.jsonl")
    rows = [asdict(claim) for claim in claims(config, Results(results))]
    return {"page": str(page), "results": str(results), "claims": rows}


def _note(path: Path, config: StudyConfig) -> None:
    """Note the configuration, or see that what an earlier run noted is the same."""
    now = config.model_dump(mode="json")
    if not path.exists():
        atomic.write(path, (json.dumps(now, indent=2) + "\n").encode())
        return
    try:
        before = json.loads(path.read_bytes())
    except ValueError as error:
        raise RunError(f"{path} cannot be read; another name begins a study anew") from error
    if changed := differences(before, now):
        raise RunError(
            f"{path.parent} was made with another configuration ({', '.join(changed)} differ);"
            " another name keeps it"
        )


def _run(
    config: StudyConfig, trials: Iterable[Trial], results: Results, jobs: int, console: Console
) -> None:
    """Run the trials that have not ended yet; what ends is noted at once, in any order."""
    waiting = [trial for trial in trials if trial not in results]
    if not waiting:
        return
    with _progress(console) as progress:
        task = progress.add_task("trials", total=len(waiting))
        for trial, outcome in run_all(config, waiting, min(jobs, len(waiting))):
            results.add(trial, outcome)
            progress.advance(task)


def _progress(console: Console) -> Progress:
    columns = TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn()
    return Progress(
        *columns, TimeRemainingColumn(), console=console, disable=not console.is_terminal
    )


def _table(rows: Iterable[Claim]) -> Table:
    table = Table(*HEADINGS, title="Batch normalization")
    for row in rows:
        table.add_row(row.what, row.without, row.before, row.after)
    return table
