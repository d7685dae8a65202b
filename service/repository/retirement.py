"""Predictors that go: each is closed behind its last request."""

import asyncio

import structlog

from service.inference.predictor import Predictor
from service.machine.memory import give_back
from service.repository.entries import Entry

log = structlog.get_logger()


class Retirement:
    """What nobody finds any more, until it is closed.

    Args:
        grace_s: seconds that requests get to finish.
    """

    def __init__(self, grace_s: float) -> None:
        self._grace_s = grace_s
        self._closing: dict[asyncio.Task[None], str] = {}

    def begin(self, entry: Entry) -> None:
        """Begin to close the predictor of an entry, if it has one."""
        if entry.predictor is not None:
            task = asyncio.create_task(self._close(entry, entry.predictor))
            self._closing[task] = entry.name  # the loop itself holds its tasks weakly
            task.add_done_callback(self._closing.pop)

    async def ended(self, name: str | None = None) -> None:
        """Return when what goes of a model, or of all, is gone; goes on if it is cancelled."""
        tasks = [task for task, model in self._closing.items() if name in (None, model)]
        if tasks:
            await asyncio.shield(asyncio.gather(*tasks))
            tasks.clear()  # they hold what is to be given back
            await asyncio.to_thread(give_back)

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
