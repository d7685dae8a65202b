"""The command ``foldserve-train``."""

import sys
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from training.checkpoint import CheckpointError
from training.config import ConfigError, load
from training.datasets import DatasetError
from training.loop import NotFiniteError
from training.run_folder import RunError
from training.state import StateError
from training.train import train

_REFUSED = 1  # the training itself went wrong
_MISUSED = 2  # configuration, data or folder


def _command(
    config: Annotated[Path, typer.Argument(help="TOML file, as in training/configs/")],
    fresh: Annotated[bool, typer.Option(help="Begin anew, whatever runs/<name>/ holds.")] = False,
    changes: Annotated[
        list[str] | None,
        typer.Option(
            "--set", metavar="KEY=VALUE", help="Such as training.seed=1; may be repeated."
        ),
    ] = None,
    runs: Annotated[Path, typer.Option(help="Folder of all runs.")] = Path("runs"),
) -> None:
    """Train a network and write runs/<name>/checkpoint.safetensors.

    The same command goes on where a killed run stood, and says so where it has finished.
    """
    try:
        train(load(config, changes or ()), runs=runs, fresh=fresh)
    except (ConfigError, DatasetError, RunError, StateError, CheckpointError, OSError) as error:
        _stop(error, _MISUSED)
    except NotFiniteError as error:
        _stop(error, _REFUSED)


def _stop(error: Exception, status: int) -> None:
    Console(stderr=True, soft_wrap=True).print(f"error: {error}", markup=False, highlight=False)
    sys.exit(status)


def main() -> None:
    """Run the command; the entry point of ``foldserve-train``."""
    typer.run(_command)


if __name__ == "__main__":
    main()
