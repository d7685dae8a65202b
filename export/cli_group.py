"""How the commands end: what goes wrong is one line and an exit code."""

from typing import Any

import typer
from typer.core import TyperGroup

from export.errors import ExportError, first_line
from export.printable import printable


class Commands(TyperGroup):
    """The group of commands, which turns errors into one line and an exit code."""

    def invoke(self, ctx: Any) -> Any:
        """Run a command."""
        try:
            return super().invoke(ctx)
        except ExportError as error:
            typer.echo(f"foldserve-export: {printable(str(error))}", err=True)
            raise typer.Exit(error.exit_code) from error
        except OSError as error:  # a path that the system refuses even to look at
            typer.echo(f"foldserve-export: {first_line(error)}", err=True)
            raise typer.Exit(ExportError.exit_code) from error
