"""Settings from and to the environment: ``FOLDSERVE_*`` variables and nothing else.

pydantic-settings ignores a variable that no field claims, so a misspelt name would silently
leave the default in place; ``read_settings`` compares the names itself.
"""

import difflib
import os
from collections.abc import Iterable, Mapping

from pydantic import ValidationError

from service.errors import StartError
from service.settings import PREFIX, Settings

COMMAND = "foldserve-serve"

# What the scripts that typer installs for completion set.
_COMPLETION = f"_{COMMAND}_complete".replace("-", "_").upper()


def is_asked_by_a_shell() -> bool:
    """Whether a shell asks how a command line may go on."""
    return _COMPLETION in os.environ  # noqa: TID251 -- this module may


def read_settings(environ: Mapping[str, str] | None = None) -> Settings:
    """Read the settings from the environment.

    Args:
        environ: whose names are checked; the process's own environment by default.

    Raises:
        StartError: a ``FOLDSERVE_*`` name is unknown or a value is out of bounds.
    """
    wrong = wrong_settings(environ)
    if wrong:
        raise StartError("; ".join(wrong))
    return Settings()


def wrong_settings(environ: Mapping[str, str] | None = None) -> list[str]:
    """Return what is wrong with the variables, a line each; nothing if they can be read.

    Args:
        environ: whose names are checked; the process's own environment by default.
    """
    names = os.environ if environ is None else environ  # noqa: TID251 -- this module may
    wrong = [*_unknown(names)]
    try:
        Settings()
    except ValidationError as error:
        wrong += _complaints(error)
    return wrong


def variable(field: str) -> str:
    """Return the environment variable of a field."""
    return PREFIX + field.upper()


def environment(chosen: Mapping[str, object]) -> dict[str, str]:
    """Return this process's environment with other values of some settings, for a child.

    Args:
        chosen: values by field; None takes the variable away.
    """
    ours = {variable(field) for field in chosen}
    environ = os.environ.items()  # noqa: TID251 -- this module may
    kept = {name: value for name, value in environ if name.upper() not in ours}
    stated = {field: value for field, value in chosen.items() if value is not None}
    return kept | {variable(field): as_written(value) for field, value in stated.items()}


def as_written(value: object) -> str:
    """Return a setting's value as its variable states it."""
    if isinstance(value, tuple):
        return ",".join(map(str, value))
    return str(value).lower() if isinstance(value, bool) else str(value)


def describe_settings() -> str:
    r"""Return every setting with its default and its line of help.

    The leading ``\b`` keeps click from filling the lines into a paragraph.
    """
    lines = ["Settings, from the environment:"]
    for name, field in Settings.model_fields.items():
        default = "" if field.default in (None, ()) else f"={as_written(field.default)}"
        lines += [f"  {variable(name)}{default}", f"      {field.description}"]
    return "\b\n" + "\n".join(lines)


def _unknown(names: Iterable[str]) -> Iterable[str]:
    known = [variable(field) for field in Settings.model_fields]
    for name in sorted(names):
        if name.upper().startswith(PREFIX) and name.upper() not in known:
            nearest = difflib.get_close_matches(name.upper(), known, n=1, cutoff=0.0)
            yield f"{name} is no setting; did you mean {nearest[0]}?"


def _complaints(error: ValidationError) -> Iterable[str]:
    for detail in error.errors():
        stated = f"{variable(str(detail['loc'][0]))}={detail['input']}: " if detail["loc"] else ""
        yield stated + detail["msg"].removeprefix("Value error, ")  # pydantic's, of our own words
