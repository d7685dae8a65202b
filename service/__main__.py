"""``foldserve-serve``: read the settings, serve until told to stop."""

from typing import NoReturn

import typer

from service.errors import BAD_START, StartError
from service.plan import plan
from service.settings import Settings, describe_settings, read_settings

cli = typer.Typer(add_completion=False, rich_markup_mode=None, pretty_exceptions_enable=False)


def main() -> None:
    """Run the command; also what ``python -m service`` does."""
    cli()


@cli.command(epilog=describe_settings())
def serve() -> None:
    """Serve the models of a repository over HTTP; set by the environment alone."""
    try:
        _serve(read_settings())
    except StartError as error:
        _fail(str(error))


def _serve(settings: Settings) -> None:
    # After the settings, so that --help and a wrong value need not wait for the imports; and of
    # these two only the one that is needed: the process above the workers loads no server.
    planned = plan(settings)
    if planned.workers > 1:
        from service.workers import run  # noqa: PLC0415
    else:
        from service.server import run  # noqa: PLC0415
    run(settings, announce=typer.echo, plan=planned)


def _fail(message: str) -> NoReturn:
    typer.echo(f"foldserve-serve: {message}", err=True)
    raise typer.Exit(BAD_START)


if __name__ == "__main__":
    main()
