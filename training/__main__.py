"""The command ``foldserve-train``."""

import json
import sys
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from training import checkpoint as checkpoints
from training.checkpoint import CheckpointError
from training.config import ConfigError, load
from training.datasets import DatasetError
from training.display import result_document
from training.loop import NotFiniteError
from training.run_folder import RunError
from training.state import StateError
from training.study import study
from training.study.config import load as load_study
from training.study.run import study_document
from training.study.workers import WorkerError
from training.train import train

_REFUSED = 1  # the training itself went wrong
_MISUSED = 2  # configuration, data or folder
_FIRST_WORDS = ("train", "study", "--help", "--install-completion", "--show-completion")

AsJson = Annotated[
    bool, typer.Option("--json", help="For machines: one JSON document; the rest is on stderr.")
]


def _examples(*commands: str) -> str:
    """Return the end of a help, in Markdown and on a terminal a line each."""
    # Where there are markups of rich, typer breaks lines at empty ones alone.
    return "\n\n".join(("Examples:", *(f"foldserve-train {command}" for command in commands)))


_TRAIN_EXAMPLES = _examples(
    "training/configs/mnist1d.toml",
    "training/configs/digits.toml --set name=seed-1 --set training.seed=1",
    "training/configs/digits.toml --fresh --json",
)
_STUDY_EXAMPLES = _examples(
    "study training/configs/study.toml",
    "study training/configs/study.toml --jobs 4 --json",
)


def _train(
    config: Annotated[Path, typer.Argument(help="TOML file, as in training/configs/")],
    fresh: Annotated[bool, typer.Option(help="Begin anew, whatever runs/<name>/ holds.")] = False,
    changes: Annotated[
        list[str] | None,
        typer.Option(
            "--set", metavar="KEY=VALUE", help="Such as training.seed=1; may be repeated."
        ),
    ] = None,
    runs: Annotated[Path, typer.Option(help="Folder of all runs.")] = Path("runs"),
    as_json: AsJson = False,
) -> None:
    """Train a network and write runs/<name>/checkpoint.safetensors.

    The same command goes on where a killed run stood, and says so where it has finished.
    """
    try:
        console = Console(stderr=as_json)
        path = train(load(config, changes or ()), runs=runs, fresh=fresh, console=console)
        if as_json:
            typer.echo(json.dumps(result_document(checkpoints.load(path), path), indent=2))
    except (ConfigError, DatasetError, RunError, StateError, CheckpointError, OSError) as error:
        _stop(error, _MISUSED)
    except NotFiniteError as error:
        _stop(error, _REFUSED)


def _study(
    config: Annotated[Path, typer.Argument(help="TOML file, as training/configs/study.toml")],
    runs: Annotated[Path, typer.Option(help="Folder of all runs.")] = Path("runs"),
    jobs: Annotated[int, typer.Option(min=1, help="Trials at once, on a thread each.")] = 1,
    as_json: AsJson = False,
) -> None:
    """Measure what batch normalization does and write runs/<name>/study.html.

    The same command goes on where a killed study stood.
    """
    try:
        asked = load_study(config)
        page = study(asked, runs=runs, jobs=jobs, console=Console(stderr=as_json))
        if as_json:
            typer.echo(json.dumps(study_document(asked, page), indent=2))
    except (ConfigError, DatasetError, RunError, OSError) as error:
        _stop(error, _MISUSED)
    except WorkerError as error:
        _stop(error, _REFUSED)
    else:
        wrote = Console(soft_wrap=True, stderr=as_json)
        wrote.print(f"Wrote {page}", markup=False, highlight=False)


def _stop(error: Exception, status: int) -> None:
    words = str(error)
    if isinstance(error, OSError) and error.filename is not None:
        words = f"{error.filename}: {error.strerror}"
    Console(stderr=True, soft_wrap=True).print(f"error: {words}", markup=False, highlight=False)
    sys.exit(status)


def commands() -> typer.Typer:
    """Return the commands."""
    app = typer.Typer(
        no_args_is_help=True,
        help="Train networks with batch normalization. CONFIG.toml alone is the command train.",
        epilog=_examples(
            "training/configs/mnist1d.toml",
            "study training/configs/study.toml",
            "train --help",
        ),
        pretty_exceptions_enable=False,
    )
    app.command("train", epilog=_TRAIN_EXAMPLES)(_train)
    app.command("study", epilog=_STUDY_EXAMPLES)(_study)
    return app


def main() -> None:
    """Run the command; the entry point of ``foldserve-train``.

    A first word that is no command is a configuration to train: ``foldserve-train CONFIG.toml``.
    """
    arguments = sys.argv[1:]
    if arguments and arguments[0] not in _FIRST_WORDS:
        arguments.insert(0, "train")
    commands()(arguments, prog_name="foldserve-train")


if __name__ == "__main__":
    main()
