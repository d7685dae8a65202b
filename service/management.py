"""What those who look after models ask for, however it comes: Triton's extensions without HTTP.

https://github.com/triton-inference-server/server, ``docs/protocol/``.
"""

from collections.abc import Iterable, Mapping
from typing import Any

from service.errors import InvalidRequest, ModelNotFound, ModelNotReady
from service.lifecycle import Service
from service.repository.entries import Entry
from service.repository.model_config import model_config
from service.repository.override import policy_of
from service.repository.policy import Policy
from service.telemetry.statistics import Statistics
from service.wire.tensors import brief

_STATES = {"ready": "READY", "loading": "LOADING"}

# No model of ours depends on another, so it makes no difference.
_TAKEN_BY_UNLOAD = ("unload_dependents",)

# Its version policy chooses the versions until the next load.
_TAKEN_BY_LOAD = ("config",)


def config(service: Service, name: str, version: str | None) -> dict[str, Any]:
    """Return the configuration of a model that can answer.

    Raises:
        ModelNotFound, VersionNotFound, ModelNotReady, NotReady: it cannot.
    """
    entry, predictor = service.repository.serving(name, version)
    policy = service.commands.policy(name)
    return model_config(entry, predictor, service.settings, service.plan, policy)


def statistics(
    service: Service, name: str | None = None, version: str | None = None
) -> list[Statistics]:
    """Return what a model has done since the start, by version, or without a name every model.

    Raises:
        ModelNotFound, VersionNotFound, ModelNotReady, NotReady: the named one cannot answer.
    """
    ready = [each for each in _entries(service, name, version) if each.predictor]
    return [service.metrics.statistics(each.name, each.version) for each in ready]


async def index(
    service: Service, *, only_ready: bool, with_new: bool = False
) -> list[dict[str, str]]:
    """Return every version with its state, or those that can answer.

    Args:
        service: ready.
        only_ready: leave out those that cannot answer.
        with_new: tell of folders that nobody has loaded; they are the matter of who may load.

    Raises:
        NotReady: before the start and after the end.
    """
    new = await service.commands.not_loaded() if with_new and not only_ready else []
    entries = [*service.repository, *new]
    return [_indexed(each) for each in entries if each.predictor or not only_ready]


async def load(service: Service, name: str, parameters: Mapping[str, object]) -> None:
    """Serve what is in a model's folder now; what cannot be loaded leaves what was served.

    Args:
        service: ready.
        name: the folder's.
        parameters: that came with the command.

    Raises:
        InvalidRequest: a parameter asks for what is not done.
        ControlPlaneOff, ModelNotFound, LoadFailed, NotReady: the command fails.
    """
    _check(service, parameters, taken=_TAKEN_BY_LOAD)
    await service.commands.load(name, _policy(service, name, parameters))


async def unload(service: Service, name: str, parameters: Mapping[str, object]) -> None:
    """Serve a model no longer; requests that came before are answered first.

    Args:
        service: ready.
        name: the folder's.
        parameters: that came with the command.

    Raises:
        InvalidRequest: a parameter asks for what is not done.
        ControlPlaneOff, ModelNotFound, LoadFailed, NotReady: the command fails.
    """
    _check(service, parameters, taken=_TAKEN_BY_UNLOAD)
    await service.commands.unload(name)


def _entries(service: Service, name: str | None, version: str | None) -> Iterable[Entry]:
    if name is None:
        return service.repository
    entry, _ = service.repository.serving(name, version)
    return [entry] if version else service.repository.versions(name).values()


def _policy(service: Service, name: str, parameters: Mapping[str, object]) -> Policy | None:
    """Return the version policy that a load asks for, if it does."""
    if "config" not in parameters:
        return None
    try:
        served = config(service, name, None)
    except (ModelNotFound, ModelNotReady):  # the load says what is wrong, if it is still so
        served = {"name": name}
    return policy_of(parameters["config"], served)


def _check(service: Service, parameters: Iterable[str], taken: tuple[str, ...]) -> None:
    service.commands.require_allowed()
    for name in parameters:
        if name not in taken:
            raise InvalidRequest(
                f"parameters.{brief(name)} is not supported: a model is served as its folder is"
            )
    service.require_ready()


def _indexed(entry: Entry) -> dict[str, str]:
    return {
        "name": entry.name,
        "version": entry.version,
        "state": _STATES.get(entry.state, "UNAVAILABLE"),
        "reason": entry.reason or "",
    }
