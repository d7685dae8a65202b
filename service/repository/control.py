"""Loading, reloading and unloading models while the others, and they themselves, are served.

folder → entries → those that the version policy chooses → what changed is loaded → swapped in →
what was there before is closed behind its last request, and only then the next is loaded: there
is one model in memory more than are served, at most. A model that cannot be loaded changes
nothing for those that are served.
"""

import asyncio
from collections.abc import Awaitable, Callable, Iterable, Mapping
from dataclasses import replace
from itertools import groupby

import structlog

from service.errors import LoadFailed, ModelNotFound, NotReady, StartError
from service.repository.choices import Choices
from service.repository.entries import Entry, Files, Repository, files_of
from service.repository.policy import Policies, Policy
from service.repository.retirement import Retirement

log = structlog.get_logger()

Look = Mapping[str, Files | None]
"""The files of each version of a model as they were seen; None where they still change."""


class Control:
    """Changes a repository; one change at a time, since a load takes the machine's cores.

    Args:
        repository: what is served.
        find: lists the repository's folder; blocks.
        load: returns an entry as ready or as failed.
        publish: told each entry that is served or not from now on.
        grace_s: seconds that requests get to finish on a predictor that goes.
        policies: choose the versions, until a command chooses others.
        lock_files: returns what tells the repository's lock from another, where it counts; what
            was refused is tried again with another; blocks.
    """

    def __init__(
        self,
        repository: Repository,
        find: Callable[[], Iterable[Entry]],
        load: Callable[[Entry], Awaitable[Entry]],
        publish: Callable[[Entry], None],
        grace_s: float,
        policies: Policies | None = None,
        lock_files: Callable[[], Files] = tuple,
    ) -> None:
        self._repository = repository
        self._find = find
        self._load = load
        self._publish = publish
        self.choices = Choices(policies or Policies())
        self._lock_files = lock_files
        self._changing = asyncio.Lock()
        self._closed = False
        self._retirement = Retirement(grace_s)

    async def load_all(self, entries: Iterable[Entry]) -> None:
        """Load what was found at the start; a command that comes waits until it is done.

        Raises:
            StartError: the folder cannot be listed, or models cannot run as the operator wants.
        """
        async with self._changing:
            models = {
                name: {entry.version: entry for entry in versions}
                for name, versions in groupby(entries, lambda entry: entry.name)
            }
            for name in self.choices.setting.own.keys() - models.keys():
                log.warning("no such model", model=name, setting="FOLDSERVE_VERSION_POLICY")
            for name, found in models.items():
                self._announce(name, found)
            for name, found in models.items():
                if name not in self.choices.unloaded:
                    await self._bring(name, found, self.choices.of(name))

    async def load(self, name: str, policy: Policy | None = None) -> None:
        """Serve what is in a model's folder now; what has not changed stays as it is.

        Args:
            name: the folder's.
            policy: chooses the versions from now on, in place of the setting's.

        Raises:
            ModelNotFound: there is no such folder, or no version in it; what is served stays.
            LoadFailed: a version could not be loaded, or none is chosen; the others were, and
                while nothing of what was chosen is served, what is served stays.
            NotReady: the service is closing.
        """
        chosen = self.choices.wanted(name, policy)
        async with self._changing:
            self._require_open()
            found = await asyncio.to_thread(self._versions, name)
            if not chosen.candidates(found):
                raise LoadFailed(f"there is no version {chosen}; there is {', '.join(found)}")
            reasons = await self._bring(name, found, chosen)
            if self._serves_any(name, chosen.candidates(found)):
                self.choices.take(name, chosen)
        log.info("model loaded", model=name, versions=str(chosen), failed=len(reasons))
        if reasons:
            raise LoadFailed("; ".join(reasons))

    async def refresh(self, name: str, seen: Look) -> None:
        """Serve what was seen in a model's folder; a model that clients unloaded is left alone.

        Files that are others by now are left to the next look. What could not be loaded before
        is not tried again until its files change.

        Args:
            name: the folder's.
            seen: what was in it.

        Raises:
            LoadFailed: a version could not be loaded; the others were.
            NotReady: the service is closing.
        """
        async with self._changing:
            self._require_open()
            if self._was_unloaded(name):
                return
            before = self._served(name)
            listed = await asyncio.to_thread(self._list)
            found = {
                entry.version: entry
                for entry in listed
                if entry.name == name and (entry.version in seen or await _there(entry))
            }
            reasons = await self._bring(name, found, self.choices.of(name), seen)
            if self._served(name) != before:
                log.info("model refreshed", model=name, versions=self._ready(name))
        if reasons:
            raise LoadFailed("; ".join(reasons))

    async def unload(self, name: str) -> None:
        """Serve a model no longer; it is free when this returns.

        Raises:
            ModelNotFound: there is no such model.
            NotReady: the service is closing.
        """
        async with self._changing:
            self._require_open()
            for entry in list(self._repository.versions(name).values()):
                self._replace(entry, entry.unloaded())
            await self._retirement.ended(name)
        log.info("model unloaded", model=name)

    async def require_folder(self, name: str) -> None:
        """Return if there is something that could be loaded; raises as ``load``."""
        await asyncio.to_thread(self._versions, name)

    def require_model(self, name: str) -> None:
        """Return if there is something that could be unloaded; raises as ``unload``."""
        self._repository.versions(name)

    async def not_loaded(self) -> list[Entry]:
        """Return what is in the repository's folder and is not served, and why not.

        Raises:
            LoadFailed: the folder cannot be listed.
        """
        models = self._repository.models
        found = await asyncio.to_thread(self._list)
        return [
            replace(entry, state="unavailable", reason=self._why_not(entry))
            for entry in found
            if entry.version not in models.get(entry.name, {})
        ]

    async def close(self) -> None:
        """Change nothing from now on; return when what goes is gone."""
        async with self._changing:
            self._closed = True
        await self._retirement.ended()

    def _require_open(self) -> None:
        if self._closed:
            raise NotReady("the server is closing")

    def _list(self) -> list[Entry]:
        try:
            return list(self._find())
        except StartError:  # its message names the folder
            raise LoadFailed("the model repository cannot be listed") from None

    def _versions(self, name: str) -> dict[str, Entry]:
        found = {entry.version: entry for entry in self._list() if entry.name == name}
        if not found:
            raise ModelNotFound("the model repository has no folder of this name with a version")
        return found

    def _announce(self, name: str, found: Mapping[str, Entry]) -> None:
        """Tell of the versions that will be loaded, where a command has not brought them yet."""
        policy = self.choices.of(name)
        for version in policy.candidates(found)[: policy.latest]:
            if version not in self._repository.models.get(name, {}):
                entry, unloaded = found[version], name in self.choices.unloaded
                self._repository.update(entry.unloaded() if unloaded else entry)

    async def _bring(
        self, name: str, found: Mapping[str, Entry], policy: Policy, seen: Look | None = None
    ) -> list[str]:
        """Serve of what was found what a policy chooses; return what cannot be, and why not."""
        reasons: list[str] = []
        tried: set[str] = set()
        for version in policy.candidates(found):
            if policy.enough(sum(self._serves_any(name, [each]) for each in tried)):
                break
            tried.add(version)
            reasons += await self._refresh(found[version], seen)
            await self._drop(name, self._unwanted(name, policy, found))
        kept = tried | ({*self._ready(name)} - self._unwanted(name, policy, found))
        await self._drop(name, {*self._repository.models.get(name, {})} - kept)
        for missing in {*policy.specific} - found.keys():
            log.warning("no such version", model=name, version=missing)
        return reasons

    async def _refresh(self, entry: Entry, seen: Look | None) -> list[str]:
        """Load a version if it is not what is served; return why not, if it cannot be."""
        old = self._repository.models.get(entry.name, {}).get(entry.version)
        files = await _files(entry)
        if old is not None and old.predictor and old.files == files:
            self._repository.update(old.current())
            return []
        refused = (*files, *await asyncio.to_thread(self._lock_files))
        was_refused = old is not None and old.refused == refused
        if seen is not None and (was_refused or seen.get(entry.version) != files):
            return []
        fresh = await self._load(entry)
        if fresh.predictor is None:
            reason = str(fresh.reason)
            served_on = old.outdated(reason, refused) if old and old.predictor else None
            self._replace(old, served_on or fresh.failed(reason, refused))
            return [f"version {entry.version}: {reason}"]
        self._replace(old, fresh)
        await self._retirement.ended(entry.name)
        return []

    def _served(self, name: str) -> dict[str, Files]:
        versions = self._repository.models.get(name, {})
        return {version: entry.files for version, entry in versions.items() if entry.predictor}

    def _ready(self, name: str) -> list[str]:
        return [*self._served(name)]

    def _serves_any(self, name: str, versions: Iterable[str]) -> bool:
        return not {*versions}.isdisjoint(self._ready(name))

    def _unwanted(self, name: str, policy: Policy, found: Mapping[str, Entry]) -> set[str]:
        return policy.unwanted(self._ready(name), found)

    def _was_unloaded(self, name: str) -> bool:
        versions = self._repository.models.get(name, {}).values()
        return any(entry.state == "unavailable" for entry in versions)

    def _why_not(self, entry: Entry) -> str:
        known = {*self._repository.models.get(entry.name, {}), entry.version}
        policy = self.choices.of(entry.name)
        chosen = policy.candidates(known)[: policy.latest]
        return "not loaded yet" if entry.version in chosen else f"the version policy is {policy}"

    def _replace(self, old: Entry | None, new: Entry) -> None:
        self._repository.update(new)
        self._publish(new)
        if old is not None and old.predictor is not new.predictor:
            self._retirement.begin(old)

    async def _drop(self, name: str, versions: Iterable[str]) -> None:
        """Forget versions; return when they are gone from memory, too."""
        for version in versions:
            entry = self._repository.models[name][version]
            self._repository.remove(entry)
            self._publish(entry.unloaded())
            self._retirement.begin(entry)
        await self._retirement.ended(name)


async def _files(entry: Entry) -> Files:
    try:
        return await asyncio.to_thread(files_of, entry.path.parent)
    except OSError:  # it went since it was listed; loading it says so
        return ()


async def _there(entry: Entry) -> bool:
    return await asyncio.to_thread(entry.path.is_file)
