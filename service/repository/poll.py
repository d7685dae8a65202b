"""Looks at the repository's folder again and again, and has every worker serve what came.

What is being written is no model yet: of a version that was seen twice alike, and has its
``model.onnx``, the workers are told; they look themselves before they load it. Who puts a
version in writes it whole under a name with a dot, or elsewhere, and renames it; then nothing
depends on how long the copy takes.
"""

import asyncio
from collections.abc import Awaitable, Callable, Iterable, Mapping
from dataclasses import dataclass, field

import structlog

from service.errors import ServiceError, StartError
from service.repository.control import Look
from service.repository.entries import Entry, Files, files_of

log = structlog.get_logger()

Find = Callable[[Callable[[str, str], None]], Iterable[Entry]]


@dataclass(frozen=True)
class Folder:
    """The repository's folder as it was at one moment.

    Args:
        models: the files of each version of each model.
        unknown: folders that tell nothing: they could not be listed, or are no model's.
        lock_files: of the repository's lock, where it counts.
    """

    models: Mapping[str, Mapping[str, Files]]
    unknown: frozenset[str] = frozenset()
    lock_files: Files = ()


@dataclass
class Poller:
    """Tells the workers of each change in the folder, once.

    Args:
        find: lists the folder; told what to do with what it ignores; blocks.
        served: returns the names of the models that are known.
        refresh: has every worker serve what was seen of a model.
        first: returns whether this is the worker that looks; if it dies, it is another.
        lock_files: of the repository's lock, where it counts: with another, what was refused
            may be served; blocks.
    """

    find: Find
    served: Callable[[], Iterable[str]]
    refresh: Callable[[str, Look], Awaitable[None]]
    first: Callable[[], bool]
    lock_files: Callable[[], Files] = tuple
    _before: Folder | None = None
    _told: dict[str, Look] = field(default_factory=dict)

    async def run(self, interval_s: float) -> None:
        """Look every so many seconds, until it is cancelled."""
        while True:
            await asyncio.sleep(interval_s)
            try:
                await self.turn()
            except Exception:  # what one look met must not be the end of all
                log.exception("unexpected error", during="poll")

    async def turn(self) -> None:
        """Look once, and tell of what has been the same for two looks."""
        if not self.first():
            self._before, self._told = None, {}
            return
        try:
            now = await asyncio.to_thread(look, self.find, self.lock_files)
        except StartError as error:  # the folder is gone for now: what is served stays
            log.warning("repository not polled", reason=str(error))
            return
        before, self._before = self._before, now
        if before is not None:
            if before.lock_files != now.lock_files:
                self._told.clear()
            for name in sorted({*before.models, *now.models, *self.served()} - now.unknown):
                await self._tell(name, settled(before.models.get(name), now.models.get(name)))

    async def _tell(self, name: str, seen: Look) -> None:
        still_written = seen and not any(seen.values())
        if still_written or self._told.get(name) == seen:
            return
        try:
            await self.refresh(name, seen)
        except ServiceError as error:
            # Told once more: each worker knows what it refused, and does only what it did not.
            log.warning("repository change failed", model=name, reason=str(error))
        else:
            self._told[name] = seen


def look(find: Find, lock_files: Callable[[], Files] = tuple) -> Folder:
    """Return what is in the folder; a version without its model is not there yet; blocks.

    Raises:
        StartError: it cannot be listed.
    """
    unknown: set[str] = set()
    lock = lock_files()
    models: dict[str, dict[str, Files]] = {}
    for entry in find(lambda folder, _reason: unknown.add(folder)):
        try:
            files = files_of(entry.path.parent)
        except OSError:  # it is being moved; the next look finds where to
            unknown.add(entry.name)
            continue
        if any(name == entry.path.name for name, *_ in files):
            models.setdefault(entry.name, {})[entry.version] = files
    return Folder(models, frozenset(unknown), lock)


def settled(before: Mapping[str, Files] | None, now: Mapping[str, Files] | None) -> Look:
    """Return the versions of two looks; those that differ have no files yet."""
    before, now = before or {}, now or {}
    versions = sorted(before.keys() | now.keys(), key=int)
    return {
        version: now.get(version) if before.get(version) == now.get(version) else None
        for version in versions
    }
