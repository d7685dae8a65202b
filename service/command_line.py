"""What ``foldserve-serve`` can be told beside its settings, and its help."""

import shlex
import sys
from pathlib import Path
from typing import Annotated, Literal

import typer
from pydantic import ValidationError

from service.access import keys
from service.environment import describe_settings, read_settings
from service.errors import StartError
from service.processes.health_check import health_check
from service.processes.start import refuse, start

cli = typer.Typer(add_completion=False, rich_markup_mode=None, pretty_exceptions_enable=False)


@cli.callback(invoke_without_command=True, epilog=describe_settings())
def serve(context: typer.Context) -> None:
    """Serve the models of a repository over HTTP; set by the environment alone."""
    if context.invoked_subcommand is None:
        raise typer.Exit(start())


@cli.command()
def health() -> None:
    """Ask the server of these settings whether it is ready; exit status 1 if it is not."""
    raise typer.Exit(health_check())


@cli.command()
def key(
    name: Annotated[str, typer.Argument(help="Of who gets the key.")],
    scope: Annotated[list[str], typer.Option(help="Can be given several times.")] = [  # noqa: B006 -- as below
        "predict"
    ],
    requests_per_s: Annotated[
        float | None, typer.Option(help="At most, over all workers (default: unbounded).")
    ] = None,
    burst: Annotated[
        int | None, typer.Option(help="Requests that may come at once, of that rate (default: 1).")
    ] = None,
) -> None:
    """Make an API key: the key goes to NAME, the entry into the file of FOLDSERVE_API_KEYS.

    The key is shown this once. The entry, which holds only its hash, is alone on the standard
    output: foldserve-serve key NAME >> keys.toml
    """
    try:
        made, entry = keys.new_key(name, scope, requests_per_s, burst)
    except ValidationError as error:
        first = error.errors()[0]
        wrong = StartError(": ".join((*map(str, first["loc"]), first["msg"])))
        raise typer.Exit(refuse(wrong)) from None
    typer.echo(f"the key of {name}: {made}", err=True)
    typer.echo(entry)


@cli.command()
def tune(
    model: Annotated[str, typer.Argument(help="A name in the repository, or an .onnx file.")],
    p99_ms: Annotated[
        float | None, typer.Option(min=0, help="Milliseconds that p99 must not exceed.")
    ] = None,
    models: Annotated[
        Path | None, typer.Option(help="Model repository, in place of FOLDSERVE_MODELS.")
    ] = None,
    version: Annotated[str | None, typer.Option(help="The one to try (default: all).")] = None,
    form: Annotated[
        Literal["binary", "json", "jpeg"], typer.Option("--format", help="What is sent.")
    ] = "binary",
    image: Annotated[
        Path | None, typer.Option(help="A picture to send, in place of made JPEGs.")
    ] = None,
    shape: Annotated[
        list[str] | None, typer.Option(help="Of an input with open sizes: NAME=1x3x224x224.")
    ] = None,
    clients: Annotated[
        int, typer.Option(min=1, max=10_000, help="Each sends when it has its answer.")
    ] = 32,
    workers: Annotated[
        list[int] | None, typer.Option(min=1, max=256, help="To try (default: from the CPUs).")
    ] = None,
    threads: Annotated[
        list[int] | None, typer.Option(min=1, max=1024, help="Of one run, to try (default: too).")
    ] = None,
    max_batch_size: Annotated[
        list[int], typer.Option(min=1, max=65536, help="To try; can be given several times.")
    ] = [1, 8, 32],  # noqa: B006 -- the command line makes its own
    seconds: Annotated[
        float, typer.Option(min=0.1, max=600, help="Of one measurement under load.")
    ] = 3.0,
    rounds: Annotated[
        int, typer.Option(min=1, max=100, help="Measurements of each of the last three.")
    ] = 3,
    budget_s: Annotated[
        float, typer.Option(min=1, help="Seconds in all; what takes longer is left out.")
    ] = 300.0,
    output: Annotated[Path, typer.Option(help="File of the best settings.")] = Path(
        "foldserve.env"
    ),
) -> None:
    """Measure plans for MODEL under load on this machine; write the settings of the best.

    A plan is a count of workers, of threads, the largest batch, and a version, which may hold
    another precision. Exit status 1: none keeps --p99-ms, and nothing is written.
    """
    # A server needs none of it.
    from service.tuning import command  # noqa: PLC0415
    from service.tuning.race import Limits  # noqa: PLC0415

    try:
        settings = read_settings()
        options = command.Options(
            model=model,
            settings=settings.model_copy(update={"models": models or settings.models}),
            command=shlex.join(sys.argv[1:]),
            limits=Limits(seconds, rounds, budget_s, p99_ms),
            version=version,
            form="jpeg" if image else form,
            picture=image,
            shapes=shape or (),
            clients=clients,
            workers=workers or (),
            threads=threads or (),
            max_batch_sizes=max_batch_size,
            output=output,
        )
        found = command.tune(options, typer.echo, lambda line: typer.echo(line, err=True))
    except StartError as error:
        raise typer.Exit(refuse(error)) from None
    if not found:
        raise typer.Exit(1)
