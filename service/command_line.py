"""What ``foldserve-serve`` can be told beside its settings, and its help."""

import json
import shlex
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer
from pydantic import ValidationError

from service.access import keys
from service.environment import describe_settings, read_settings, wrong_settings
from service.errors import StartError
from service.processes.health_check import health_check
from service.processes.start import refuse, start

if TYPE_CHECKING:
    from service.checking.findings import Findings

cli = typer.Typer(rich_markup_mode=None, pretty_exceptions_enable=False)

AsJson = Annotated[bool, typer.Option("--json", help="For machines: one JSON document.")]


def examples(*commands: str) -> str:
    r"""Return the end of a command's help, a line each; ``\b`` as in `describe_settings`."""
    return "\n    ".join(("Examples:\n\n\b", *commands))


@cli.callback(
    invoke_without_command=True,
    epilog=examples(
        "foldserve-serve",
        "FOLDSERVE_MODELS=models FOLDSERVE_PORT=8080 foldserve-serve",
        "foldserve-serve check",
    )
    + "\n\n"
    + describe_settings(),
)
def serve(context: typer.Context) -> None:
    """Serve the models of a repository over HTTP; set by the environment alone."""
    if context.invoked_subcommand is None:
        raise typer.Exit(start())


@cli.command(epilog=examples("foldserve-serve health"))
def health() -> None:
    """Ask the server of these settings whether it is ready; exit status 1 if it is not."""
    raise typer.Exit(health_check())


@cli.command(
    epilog=examples(
        "foldserve-serve key shop >> keys.toml",
        "foldserve-serve key shop --scope predict --requests-per-s 100 >> keys.toml",
        "foldserve-serve key prometheus --scope metrics >> keys.toml",
    )
)
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


@cli.command(
    epilog=examples(
        "foldserve-serve check",
        "foldserve-serve check models/",
        "FOLDSERVE_REQUIRE_LOCK=true foldserve-serve check --running --json",
    )
)
def check(
    models: Annotated[
        Path | None, typer.Argument(help="Model repository, in place of FOLDSERVE_MODELS.")
    ] = None,
    running: Annotated[
        bool, typer.Option("--running", help="The server runs already: its ports need not be free.")
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Say what is wrong with the settings and the model repository, before a start.

    All that a start reads is read, and every version that it would serve is loaded, run and held
    against its export, one after the other; nothing is served or written. Exit status 0: nothing
    is wrong. 1: something would not be served. 2: the settings are wrong.
    """
    from service.checking.findings import Findings  # noqa: PLC0415 -- as for tune

    if wrong := wrong_settings():
        found = Findings(configuration=wrong)
    else:
        found = _checked(models, ports=not running)
    _show(found, as_json=as_json)
    raise typer.Exit(found.status)


@cli.command(
    epilog=examples(
        "foldserve-serve tune digits --p99-ms 20",
        "foldserve-serve tune digits --format jpeg --clients 8 --budget-s 60",
        "foldserve-serve tune net.onnx --shape x=1x3x224x224 --json",
    )
)
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
    as_json: AsJson = False,
) -> None:
    """Measure plans for MODEL under load on this machine; write the settings of the best.

    A plan is a count of workers, of threads, the largest batch, and a version, which may hold
    another precision. Exit status 1: none keeps --p99-ms, and nothing is written.
    """
    # A server needs none of it.
    from rich.console import Console  # noqa: PLC0415

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
        with Console(stderr=True).status("Starting") as status:
            found = command.tune(options, lambda line: typer.echo(line, err=True), status.update)
        # The table before the file: what was measured is not lost where it cannot be written.
        for line in [] if as_json else found.lines():
            typer.echo(line)
        if found.found:
            found.write()
    except StartError as error:
        raise typer.Exit(refuse(error)) from None
    if as_json:
        typer.echo(json.dumps(found.as_json(), indent=2))
    elif found.found:
        typer.echo(f"Wrote {found.output}")
    if not found.found:
        raise typer.Exit(1)


def _checked(models: Path | None, *, ports: bool) -> "Findings":
    from rich.console import Console  # noqa: PLC0415 -- a server needs none of it

    from service.checking.command import check as look  # noqa: PLC0415 -- likewise
    from service.telemetry.logs import configure_logs  # noqa: PLC0415 -- likewise

    settings = read_settings()
    configure_logs(settings.log_format, "error")  # what a load logs the table says
    chosen = settings.model_copy(update={"models": models or settings.models})
    with Console(stderr=True).status("Reading the settings") as status:
        return look(chosen, ports=ports, say=status.update)


def _show(findings: "Findings", *, as_json: bool) -> None:
    if as_json:
        typer.echo(json.dumps(findings.as_json(), indent=2))
        return
    from rich.console import Console  # noqa: PLC0415 -- as above

    from service.checking.report import show  # noqa: PLC0415 -- as above

    show(Console(markup=False, emoji=False, highlight=False), findings)
