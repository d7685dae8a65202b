"""Loading, reloading and unloading models while the others, and they themselves, are served.

folder → entries → what changed is loaded → swapped in → what was there before is closed behind
its last request. A model that cannot be loaded changes nothing for those that are served.
"""

import asyncio
from collections.abc import Awaitable, Callable, Iterable
from dataclasses import replace

import structlog

from service.errors import LoadFailed, ModelNotFound, NotReady, StartError
from service.inference.predictor import Predictor
from service.repository.entries import Entry, Files, Repository, files_of

log = structlog.get_logger()


class Control:
    """Changes a repository; one change at a time, since a load takes the machine's cores.

    Args:
        repository: what is served.
        find: lists the repository's folder; blocks.
        load: returns an entry as ready or as failed.
        publish: told each entry that is served or not from now on.
        grace_s: seconds that requests get to finish on a predictor that goes.
    """

    def __init__(
        self,
        repository: Repository,
        find: Callable[[], Iterable[Entry]],
        load: Callable[[Entry], Awaitable[Entry]],
        publish: Callable[[Entry], None],
        grace_s: float,
    ) -> None:
        self._repository = repository
        self._find = find
        self._load = load
        self._publish = publish
        self._grace_s = grace_s
        self._changing = asyncio.Lock()
        self._closed = False
        self._retiring: dict[asyncio.Task[None], str] = {}

    async def load_all(self, entries: Iterable[Entry]) -> None:
        """Load what was found at the start; a command that comes waits until it is done.

        Raises:
            StartError: the folder cannot be listed, or models cannot run as the operator wants.
        """
        async with self._changing:
            for entry in entries:
                if entry.version not in self._repository.models.get(entry.name, {}):
                    self._repository.update(entry)
            for entry in tuple(self._repository):
                if entry.state == "loading":
                    self._replace(entry, await self._load(entry))

    async def load(self, name: str) -> None:
        """Serve what is in a model's folder now; what has not changed stays as it is.

        Raises:
            ModelNotFound: there is no such folder, or no version in it; what is served stays.
            LoadFailed: a version could not be loaded; the others were.
            NotReady: the service is closing.
        """
        async with self._changing:
            self._require_open()
            found = await asyncio.to_thread(self._versions, name)
            reasons = [reason for entry in found for reason in await self._refresh(entry)]
            kept = {entry.version for entry in found}
            for entry in list(self._repository.versions(name).values()):
                if entry.version not in kept:
                    self._repository.remove(entry)
                    self._publish(entry.unloaded())
                    self._retire(entry)
        await self._retired(name)
        log.info("model loaded", model=name, failed=len(reasons))
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
        await self._retired(name)
        log.info("model unloaded", model=name)

    async def require_folder(self, name: str) -> None:
        """Return if there is something that could be loaded; raises as ``load``."""
        await asyncio.to_thread(self._versions, name)

    def require_model(self, name: str) -> None:
        """Return if there is something that could be unloaded; raises as ``unload``."""
        self._repository.versions(name)

    async def not_loaded(self) -> list[Entry]:
        """Return what came into the repository's folder and waits for a load.

        Raises:
            LoadFailed: the folder cannot be listed.
        """
        models = self._repository.models
        found = await asyncio.to_thread(self._list)
        return [
            replace(entry, state="unavailable", reason="not loaded yet")
            for entry in found
            if entry.version not in models.get(entry.name, {})
        ]

    async def close(self) -> None:
        """Change nothing from now on; return when what goes is gone."""
        async with self._changing:
            self._closed = True
        await self._retired()

    def _require_open(self) -> None:
        if self._closed:
            raise NotReady("the server is closing")

    def _list(self) -> list[Entry]:
        try:
            return list(self._find())
        except StartError:  # its message names the folder
            raise LoadFailed("the model repository cannot be listed") from None

    def _versions(self, name: str) -> list[Entry]:
        found = [entry for entry in self._list() if entry.name == name]
        if not found:
            raise ModelNotFound("the model repository has no folder of this name with a version")
        return found

    async def _refresh(self, entry: Entry) -> list[str]:
        """Load a version if it is not what is served; return why not, if it cannot be."""
        old = self._repository.models.get(entry.name, {}).get(entry.version)
        if old is not None and old.predictor and old.files == await _files(entry):
            return []
        fresh = await self._load(entry)
        if fresh.predictor is not None:
            self._replace(old, fresh)
            return []
        served_on = old.outdated(str(fresh.reason)) if old and old.predictor else None
        self._replace(old, served_on or fresh)
        return [f"version {entry.version}: {fresh.reason}"]

    def _replace(self, old: Entry | None, new: Entry) -> None:
        self._repository.update(new)
        self._publish(new)
        if old is not None and old.predictor is not new.predictor:
            self._retire(old)

    def _retire(self, entry: Entry) -> None:
        """Begin to close the predictor of an entry that nobody finds any more."""
        if entry.predictor is not None:
            task = asyncio.create_task(self._close(entry, entry.predictor))
            self._retiring[task] = entry.name  # the loop itself holds its tasks weakly
            task.add_done_callback(self._retiring.pop)

    async def _close(self, entry: Entry, predictor: Predictor) -> None:
        """Close a predictor behind its last request, or when the grace time is over."""
        grace_s = self._grace_s
        try:
            async with asyncio.timeout(grace_s):
                await entry.in_use.ended()
        except TimeoutError:
            log.warning("requests cut short", model=entry.name, version=entry.version)
            grace_s = 0
        await predictor.close(grace_s)

    async def _retired(self, name: str | None = None) -> None:
        """Return when what goes of a model, or of all, is gone; goes on if it is cancelled."""
        tasks = [task for task, model in self._retiring.items() if name in (None, model)]
        await asyncio.shield(asyncio.gather(*tasks))


async def _files(entry: Entry) -> Files:
    try:
        return await asyncio.to_thread(files_of, entry.path.parent)
    except OSError:  # it went since it was listed; loading it says so
        return ()
