"""Loads what a start would load, one version after the other, and lets each go again.

A start loads them all together: whether they fit into the memory at once is not seen here.
"""

from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import groupby

from service.checking.findings import Finding, Version
from service.checking.remedies import remedy
from service.errors import ModelLoadError, StartError
from service.inference.loading import OpenModel, load, run_options
from service.machine.plan import Plan
from service.repository.entries import Entry
from service.repository.policy import Policies, Policy
from service.settings import Settings

Try = Callable[[Entry], Version]


def trying(settings: Settings, plan: Plan, open_model: OpenModel) -> Try:
    """Return what loads a version as a start would, and frees it.

    Args:
        settings: the operator's.
        plan: of processes and threads.
        open_model: opens one model file.

    Returns:
        What raises ``StartError`` where the provider that was asked for is not the one that runs.
    """
    options = run_options(settings, plan)

    def tried(entry: Entry) -> Version:
        try:
            loaded = load(entry.path, options, settings, open_model)
        except ModelLoadError as error:
            return Version(entry.name, entry.version, "failed", str(error))
        except StartError:
            raise
        # A damaged file fails in the runtime's bindings, or in memory, as it would in a start.
        except Exception as error:  # noqa: BLE001 -- and the others are still to be looked at
            reason = f"unexpected {type(error).__name__}: {' '.join(str(error).split())}"
            return Version(entry.name, entry.version, "failed", reason)
        loaded.model.terminate()
        return Version(
            entry.name,
            entry.version,
            "ready",
            provider=loaded.model.provider,
            batched=loaded.batches,
            row_ms=loaded.row_ms,
            batch_ms=loaded.batch_ms,
            parity=loaded.compared,
        )

    return tried


def versions(entries: Iterable[Entry], policies: Policies, tried: Try) -> Iterator[Version]:
    """Try of each model the versions that its policy chooses; in ascending order.

    Args:
        entries: what was found, in the order of their names.
        policies: choose the versions.
        tried: loads one.
    """
    for name, group in groupby(entries, lambda entry: entry.name):
        found = {entry.version: entry for entry in group}
        policy = policies.of(name)
        states = {each.version: each for each in _chosen(found, policy, tried)}
        for version in sorted(found, key=int):
            left_out = Version(name, version, "unavailable", f"the version policy is {policy}")
            yield states.get(version, left_out)


def _chosen(found: dict[str, Entry], policy: Policy, tried: Try) -> Iterator[Version]:
    ready = 0
    for version in policy.candidates(found):
        if policy.enough(ready):
            break
        outcome = tried(found[version])
        ready += outcome.state == "ready"
        yield outcome


def about_versions(
    states: Sequence[Version], entries: Sequence[Entry], settings: Settings
) -> Iterator[Finding]:
    """Say of each version that would not be served why, and what to do."""
    files = {(entry.name, entry.version): entry.path for entry in entries}
    for each in states:
        where, reason = f"{each.model}/{each.version}", each.reason or ""
        if each.state == "failed":
            what = remedy(reason, files[each.model, each.version], settings.models)
            yield Finding(where, reason, what, keeps_out=True)
        elif each.state == "unavailable":
            yield Finding(where, f"left out: {reason}", "FOLDSERVE_VERSION_POLICY chooses others")


def about_policies(entries: Iterable[Entry], policies: Policies) -> Iterator[Finding]:
    """Say of each policy what it names and is not there."""
    found: dict[str, set[str]] = {}
    for entry in entries:
        found.setdefault(entry.name, set()).add(entry.version)
    for name, policy in policies.own.items():
        for missing in sorted({*policy.specific} - found.get(name, set()), key=int):
            yield _missing(f"{name}/{missing}", "there is no such version")
        if name not in found and not policy.specific:
            yield _missing(name, "there is no such model")


def _missing(where: str, what: str) -> Finding:
    remedy = "put it there, or take it out of the policy"
    return Finding(where, f"FOLDSERVE_VERSION_POLICY names it, and {what}", remedy, keeps_out=True)
