"""The check as a whole: the settings, what they name, the repository, each version in it."""

from collections.abc import Callable, Sequence

from service.checking.configuration import reason_of_plan, refusals
from service.checking.findings import Finding, Findings, Version
from service.checking.layout import ignored, misplaced
from service.checking.versions import about_policies, about_versions, trying, versions
from service.errors import StartError
from service.inference.loading import OpenModel
from service.inference.model import open_model, prepare_provider
from service.machine.plan import plan, plan_alone
from service.repository.entries import Entry, find_models
from service.repository.policy import Policies, read_policies
from service.settings import Settings

Say = Callable[[str], None]


def check(
    settings: Settings,
    *,
    ports: bool = True,
    say: Say = lambda _line: None,
    open_model: OpenModel = open_model,
) -> Findings:
    """Look at all that a start would look at; serve nothing, write nothing.

    Args:
        settings: the operator's.
        ports: whether they must be free; they are not where the server runs already.
        say: told which version is being loaded.
        open_model: opens one model file.
    """
    words, wrong = reason_of_plan(settings)
    wrong += refusals(settings, ports=ports)
    entries: list[Entry] = []
    found: list[Finding] = []
    states: list[Version] = []
    try:
        entries, found = _listed(settings)
        states = _states(settings, entries, say, open_model)
    except StartError as error:
        wrong.append(str(error))
    found += about_versions(states, entries, settings)
    found += about_policies(entries, _policies(settings))
    if not entries and not wrong:
        found.append(_nothing(settings))
    return Findings([*dict.fromkeys(wrong)], str(settings.models), words, states, found)


def _listed(settings: Settings) -> tuple[list[Entry], list[Finding]]:
    """Return the versions in the repository, and what else lies in it.

    Raises:
        StartError: it cannot be listed.
    """
    root, found = settings.models, list[Finding]()
    entries = list(find_models(root, lambda *what: found.append(ignored(root, *what))))
    return entries, [*found, *misplaced(root, entries)]


def _states(
    settings: Settings, entries: Sequence[Entry], say: Say, open_model: OpenModel
) -> list[Version]:
    """Try the versions.

    Raises:
        StartError: the provider cannot be had.
    """
    prepare_provider(settings.provider)  # without it each model would fail for itself
    try:
        planned = plan(settings)
    except StartError:  # that is told; models run in one process as well
        planned = plan_alone(settings)
    tried = trying(settings, planned, open_model)

    def told(entry: Entry) -> Version:
        say(f"Loading {entry.name}/{entry.version}")
        return tried(entry)

    return list(versions(entries, _policies(settings), told))


def _policies(settings: Settings) -> Policies:
    try:
        return read_policies(settings.version_policy)
    except StartError:  # that is told; all versions are looked at then
        return Policies()


def _nothing(settings: Settings) -> Finding:
    what = "there is no model to serve, and a server without one does not start"
    remedy = "put one at <name>/<version>/model.onnx; foldserve-export build does"
    return Finding(str(settings.models), what, remedy, keeps_out=True)
