"""``make docs``: writes docs/reference from where the things are defined.

Settings, endpoints, errors, commands, training configurations and metrics are described once, in
the code. A test holds the files to it; nobody writes them by hand.
"""

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, get_args

import typer
from prometheus_client.parser import text_string_to_metric_families
from pydantic import BaseModel
from pydantic.fields import FieldInfo
from typer.cli import get_docs_for_click
from typer.main import get_command

from export.__main__ import app as export_cli
from service import errors
from service.app import create_app
from service.command_line import cli as serve_cli
from service.environment import variable
from service.settings import Settings
from service.telemetry.metrics import Metrics
from training.__main__ import commands as train_commands
from training.augment import AugmentationConfig
from training.config import LoopConfig
from training.datasets import DataOptions
from training.optim import OptimizerConfig
from training.schedule import ScheduleConfig

REFERENCE = Path(__file__).parent / "reference"
NOTE = "<!-- Written by `make docs` from the code. -->\n\n"

Row = Sequence[str]


def pages() -> dict[str, str]:
    """Return every file of the reference by its name."""
    written = {
        "settings.md": settings(),
        "endpoints.md": endpoints(),
        "errors.md": error_codes(),
        "metrics.md": metrics(),
        "training.md": training(),
        "command-line.md": command_line(),
    }
    return {name: NOTE + text for name, text in written.items()}


def settings() -> str:
    """Return the settings of the service."""
    rows = [
        (f"`{variable(name)}`", _default(field), field.description or "")
        for name, field in Settings.model_fields.items()
    ]
    return (
        "# Settings of the service\n\n"
        "Environment variables, which are checked before anything is loaded; a misspelt one stops\n"
        "the start. `foldserve-serve --help` prints the same.\n\n"
        + _table(("variable", "default", "meaning"), rows)
    )


def endpoints() -> str:
    """Return the endpoints of HTTP, as the OpenAPI document has them."""
    rows = [
        (f"`{method.upper()} {path}`", operation["description"])
        for path, operations in create_app(Settings()).openapi()["paths"].items()
        for method, operation in operations.items()
    ]
    return (
        "# Endpoints\n\n"
        "Of HTTP; `GET /openapi.json` describes each with its parameters, bodies and errors, and\n"
        "`GET /docs` shows that as a page.\n\n" + _table(("request", "answer"), rows)
    )


def error_codes() -> str:
    """Return the codes of errors."""
    rows = [
        (str(leaf.status), f"`{leaf.code}`", (leaf.__doc__ or "").strip())
        for leaf in _leaves(errors.ServiceError)
    ]
    return (
        "# Errors\n\n"
        "The service's own endpoints answer with problem details\n"
        "([RFC 9457](https://www.rfc-editor.org/rfc/rfc9457)) that hold a `code` and the\n"
        'request\'s id, the protocols under `/v1` and `/v2` with `{"error": "…"}`; the header\n'
        "`Foldserve-Error` names the code in both. gRPC has the same messages, as\n"
        "`INVALID_ARGUMENT` for what a request says, `NOT_FOUND` for 404, `UNAUTHENTICATED` for\n"
        "401, `PERMISSION_DENIED` for 403, `RESOURCE_EXHAUSTED` for 429 and too large a message,\n"
        "`UNAVAILABLE` for 503, `DEADLINE_EXCEEDED` for 504 and 408, and `INTERNAL` for 500.\n\n"
        + _table(("status", "code", "meaning"), rows)
    )


def metrics() -> str:
    """Return the metrics, as a server that has served something tells them."""
    told = Metrics()
    told.request("/", 200, 0.0)
    told.model("m", "1")
    told.model_ready("m", "1", ready=True)
    told.setting("request_timeout_seconds", 0.0)
    for name in ("connections", "requests_in_flight"):
        told.watch(name, lambda: 0)
    families = list(text_string_to_metric_families(told.exposition().decode()))
    rows = [
        (
            f"`{family.name}{'_total' if family.type == 'counter' else ''}`",
            family.type,
            ", ".join(f"`{label}`" for label in _labels(family)),
            family.documentation,
        )
        for family in families
    ]
    return (
        "# Metrics\n\n"
        "At `GET /metrics`, in Prometheus' text format: those of all workers, whichever answers.\n"
        "\n" + _table(("metric", "type", "labels", "meaning"), rows)
    )


def training() -> str:
    """Return the keys of a training's configuration."""
    options = get_args(get_args(DataOptions)[0])
    parts: list[tuple[str, Iterable[type[BaseModel]]]] = [
        ("data", options),
        ("training", [LoopConfig]),
        ("optimizer", [OptimizerConfig]),
        ("schedule", [ScheduleConfig]),
        ("augmentation", [AugmentationConfig]),
    ]
    sections = [
        f"## `[{name}]`\n\n{_table(('key', 'default', 'meaning'), _keys(models))}"
        for name, models in parts
    ]
    return (
        "# Configuration of a training\n\n"
        "One TOML file a run, as in `training/configs/`; `[model]` has the network's own keys.\n\n"
        + "\n".join(sections)
    )


def command_line() -> str:
    """Return the help of every command."""
    commands = {
        "foldserve-train": train_commands(),
        "foldserve-export": export_cli,
        "foldserve-serve": serve_cli,
    }
    return "# Command lines\n\n" + "\n".join(_help(name, commands[name]) for name in commands)


def _help(name: str, app: typer.Typer) -> str:
    command = get_command(app)
    context = typer.Context(command, info_name=name)
    text = get_docs_for_click(obj=command, ctx=context, name=name)
    # They have a page of their own.
    text = re.sub(
        r"(?ms)^Settings, from the environment:.*?(?=^\*\*|^##|\Z)",
        "Settings stand on [a page of their own](settings.md).\n\n",
        text,
    )
    listed = r"(?m)^Examples:\n\n((?:\x08\n|(?!#).*foldserve-.*\n|\n)+)"
    text = re.sub(listed, _examples, text + "\n")
    # One level lower, as parts of one page.
    return re.sub(r"(?m)^#", "##", text.strip()) + "\n"


def _examples(found: re.Match[str]) -> str:
    """Return the examples of a help as Markdown shows what is typed."""
    commands = [line.strip() for line in found[1].splitlines() if line.strip("\b ")]
    return "\n".join(
        ("**Examples**:\n\n```console", *(f"$ {each}" for each in commands), "```\n\n")
    )


def _keys(models: Iterable[type[BaseModel]]) -> Iterator[Row]:
    seen: set[str] = set()
    for model in models:
        for name, field in model.model_fields.items():
            if name not in seen:
                seen.add(name)
                yield f"`{name}`", _default(field), field.description or ""


def _default(field: FieldInfo) -> str:
    if field.is_required():
        return "required"
    value = field.get_default(call_default_factory=True)
    return "none" if value in (None, ()) else f"`{value}`"


def _labels(family: Any) -> list[str]:
    names = {name for sample in family.samples for name in sample.labels}
    return sorted(names - {"le"})


def _leaves(error: type[errors.ServiceError]) -> Iterator[type[errors.ServiceError]]:
    for child in error.__subclasses__():
        yield from _leaves(child) if child.__subclasses__() else [child]


def _table(header: Row, rows: Iterable[Row]) -> str:
    lines = [header, ["---"] * len(header), *rows]
    return "".join(f"| {' | '.join(_cell(cell) for cell in line)} |\n" for line in lines)


def _cell(text: str) -> str:
    return " ".join(text.split()).replace("|", "\\|")


def write(texts: Mapping[str, str], folder: Path = REFERENCE) -> None:
    """Write the reference."""
    folder.mkdir(exist_ok=True)
    for name, text in texts.items():
        (folder / name).write_text(text, encoding="utf-8")


if __name__ == "__main__":
    write(pages())
