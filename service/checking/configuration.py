"""Why a start would be refused before it loads a model: all of it, not the first alone."""

from collections.abc import Iterable, Iterator
from contextlib import AbstractContextManager
from functools import partial

from service.errors import StartError
from service.inference.model import prepare_provider
from service.machine.plan import plan
from service.processes.listeners import control_port, grpc_ports, listeners
from service.processes.preflight import Look, looks
from service.settings import Settings


def refusals(settings: Settings, *, ports: bool = True) -> list[str]:
    """Return why there would be no start, a line each.

    Args:
        settings: the operator's.
        ports: whether they must be free; they are not where the server runs already.
    """
    provider: Look = partial(prepare_provider, settings.provider)
    tried = [*looks(settings), provider]
    if ports:
        tried += _ports(settings)
    # Two ports of a host that is none are one mistake.
    return [*dict.fromkeys(_refused(tried))]


def _ports(settings: Settings) -> Iterator[Look]:
    # How many listen on a port makes no difference to whether it is free.
    yield lambda: _enter(grpc_ports(settings))
    yield lambda: _enter(control_port(settings))
    yield lambda: _enter(listeners(settings.host, settings.port))


def _enter(context: AbstractContextManager[object]) -> None:
    with context:
        pass


def _refused(tried: Iterable[Look]) -> Iterator[str]:
    for look in tried:
        try:
            look()
        except StartError as error:
            yield str(error)


def reason_of_plan(settings: Settings) -> tuple[str | None, list[str]]:
    """Return the plan in words, and why there is none."""
    try:
        return plan(settings).reason, []
    except StartError as error:
        return None, [str(error)]
