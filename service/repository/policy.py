"""Which versions of a model are served, in the terms of Triton and of TensorFlow Serving.

    all                           every version of the folder
    latest:2                      the two highest that can be loaded
    latest:1;digits=1,2;faces=all that of some models by their names, and that of the others

Nothing is loaded here: versions are the names of folders.
"""

import re
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from service.errors import StartError
from service.repository.names import MODEL_NAME, VERSION

# As many digits as Triton's number of versions has at least room for.
_LATEST = re.compile(r"latest:([1-9][0-9]{0,8})")


@dataclass(frozen=True)
class Policy:
    """The choice among the versions of one model; by default all.

    Args:
        latest: how many of the highest that can be loaded.
        specific: these, where there are any, and no others.
    """

    latest: int | None = None
    specific: tuple[str, ...] = ()

    def candidates(self, found: Collection[str]) -> list[str]:
        """Return what may be served of what is there, in the order in which it is to be tried.

        The highest comes first: a version that is gone must not leave its place to a lower one
        while a higher one is still to be loaded.
        """
        falling = sorted(found, key=int, reverse=True)
        return [version for version in falling if not self.specific or version in self.specific]

    def enough(self, ready: int) -> bool:
        """Return whether no more is to be tried once so many versions are served."""
        return self.latest is not None and ready >= self.latest

    def unwanted(self, ready: Iterable[str], found: Collection[str]) -> set[str]:
        """Return what is to go of the versions that are served.

        None goes for one that is not there yet: while nothing of what was chosen is served, what
        is served stays, unless its folder is gone.
        """
        there = {version for version in ready if version in found}
        kept = set(self.candidates(there)[: self.latest])
        return {*ready} - (kept or there)

    def as_config(self) -> dict[str, Any]:
        """Return it as Triton's configuration of a model states it."""
        if self.specific:
            return {"specific": {"versions": [int(version) for version in self.specific]}}
        return {"all": {}} if self.latest is None else {"latest": {"num_versions": self.latest}}

    def __str__(self) -> str:
        """Return it as the setting states it."""
        if self.specific:
            return ",".join(self.specific)
        return "all" if self.latest is None else f"latest:{self.latest}"


ALL = Policy()


@dataclass(frozen=True)
class Policies:
    """The policy of each model.

    Args:
        default: of a model without its own.
        own: by the model's name.
    """

    default: Policy = ALL
    own: Mapping[str, Policy] = field(default_factory=dict)

    def of(self, name: str) -> Policy:
        """Return a model's."""
        return self.own.get(name, self.default)


def read_policies(text: str) -> Policies:
    """Read the setting.

    Raises:
        StartError: it is wrong; the message names the part that is.
    """
    default: Policy | None = None
    own: dict[str, Policy] = {}
    for part in text.split(";"):
        name, named, rule = (word.strip() for word in part.rpartition("="))
        if not named and default is not None:
            raise _wrong(part, "the other models have a policy already")
        if not named:
            default = _default(part)
        elif not MODEL_NAME.fullmatch(name):
            raise _wrong(part, f"{name!r} is no model's name")
        elif name in own:
            raise _wrong(part, "the model has a policy already")
        else:
            own[name] = read_policy(rule, part)
    return Policies(default or ALL, own)


def read_policy(rule: str, part: str | None = None) -> Policy:
    """Read the policy of one model.

    Args:
        rule: all, latest:N or versions with commas.
        part: of the setting, for the message.

    Raises:
        StartError: it is wrong.
    """
    if rule == "all":
        return ALL
    if match := _LATEST.fullmatch(rule):
        return Policy(latest=int(match[1]))
    versions = [version.strip() for version in rule.split(",")]
    for version in versions:
        if not VERSION.fullmatch(version):
            raise _wrong(rule if part is None else part, f"{version!r} is not all, latest:N, 1,2")
    return specific(versions)


def specific(versions: Iterable[str]) -> Policy:
    """Return the policy of certain versions."""
    return Policy(specific=tuple(sorted({*versions}, key=int)))


def _default(part: str) -> Policy:
    policy = read_policy(part.strip(), part)
    if policy.specific:
        raise _wrong(part, "versions are one model's: NAME=1,2")
    return policy


def _wrong(part: str, why: str) -> StartError:
    return StartError(f"FOLDSERVE_VERSION_POLICY, {part.strip()!r}: {why}")
