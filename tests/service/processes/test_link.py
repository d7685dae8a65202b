"""A worker's end of its line."""

import asyncio
import json
import socket
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

import pytest

from service.processes.link import Link
from service.repository.hub import Answer, Command

pytestmark = pytest.mark.anyio


class Above:
    """The process above, played by the test."""

    def __init__(self, end: socket.socket) -> None:
        self._end = end

    async def open(self) -> None:
        self._reader, self._writer = await asyncio.open_unix_connection(sock=self._end)

    def order(self, **message: Any) -> None:
        self._writer.write(json.dumps(message).encode() + b"\n")

    async def told(self) -> Any:
        return json.loads(await self._reader.readline())

    async def die(self) -> None:
        self._writer.close()
        await self._writer.wait_closed()


@asynccontextmanager
async def linked(stop: Callable[[], None] = lambda: None) -> AsyncIterator[tuple[Above, Link]]:
    ours, theirs = socket.socketpair()
    above, link = Above(ours), Link(theirs)
    await above.open()
    link.listen(stop)
    try:
        yield above, link
    finally:
        await above.die()
        await link.ended()
        theirs.close()


async def echo(command: Command) -> Answer:
    return {"did": command}


async def test_a_command_is_done_and_answered() -> None:
    async with linked() as (above, link):
        link.on_command = echo
        above.order(do=3, command={"load": "digits"})
        assert await above.told() == {"did": 3, "answer": {"did": {"load": "digits"}}}


async def test_a_long_command_holds_up_no_other() -> None:
    released = asyncio.Event()

    async def wait(command: Command) -> Answer:
        if "long" in command:
            await released.wait()
        return {}

    async with linked() as (above, link):
        link.on_command = wait
        above.order(do=1, command={"long": "x"})
        above.order(do=2, command={"short": "x"})
        assert await above.told() == {"did": 2, "answer": {}}
        released.set()
        assert await above.told() == {"did": 1, "answer": {}}


async def test_what_is_asked_of_all_has_the_answers_of_all() -> None:
    async with linked() as (above, link):
        first = asyncio.create_task(link.everywhere({"load": "a"}))
        assert await above.told() == {"ask": 0, "command": {"load": "a"}}
        second = asyncio.create_task(link.everywhere({"load": "b"}))
        assert await above.told() == {"ask": 1, "command": {"load": "b"}}
        above.order(answers=1, of=[{"second": 1}])
        above.order(answers=0, of=[{}, {"error": "worker 1 ended"}])
        assert await second == [{"second": 1}]
        assert await first == [{}, {"error": "worker 1 ended"}]


async def test_answers_that_nobody_waits_for_any_more_are_dropped() -> None:
    async with linked() as (above, link):
        asked = asyncio.create_task(link.everywhere({"load": "a"}))
        await above.told()
        asked.cancel()
        with pytest.raises(asyncio.CancelledError):
            await asked
        above.order(answers=0, of=[])
        above.order(do=1, command={"load": "a"})
        assert "error" in (await above.told())["answer"]


async def test_a_worker_joins_once_it_has_done_what_was_commanded_before_its_time() -> None:
    released = asyncio.Event()

    async def wait(_command: Command) -> Answer:
        await released.wait()
        return {}

    async with linked() as (above, link):
        link.on_command = wait
        joining = asyncio.create_task(link.join())
        assert await above.told() == {"loaded": True}
        above.order(do=1, command={"unload": "a"})
        above.order(serve=True)
        above.order(answers=9, of=[])
        asked = asyncio.create_task(link.everywhere({"load": "b"}))
        assert "ask" in await above.told()
        above.order(answers=0, of=[])
        await asked  # so what was ordered before has arrived
        assert not joining.done()
        released.set()
        assert await above.told() == {"did": 1, "answer": {}}
        await joining


async def test_who_joins_when_there_is_nobody_above_waits_for_nothing() -> None:
    async with linked() as (above, link):
        joining = asyncio.create_task(link.join())
        await above.told()
        await above.die()
        await joining


async def test_it_stops_when_it_is_told_and_when_there_is_nobody_above() -> None:
    stops: asyncio.Queue[None] = asyncio.Queue()
    async with linked(lambda: stops.put_nowait(None)) as (above, link):
        above.order(stop=True)
        await stops.get()
        await above.die()
        await stops.get()
        link.tell({"ready": []})  # to nobody, and no error


async def test_it_stops_when_the_one_above_dies_with_something_unread() -> None:
    stopped = asyncio.Event()
    ours, theirs = socket.socketpair()
    link = Link(theirs)
    link.tell({"ready": []})
    ours.close()  # which resets the line
    link.listen(stopped.set)
    async with asyncio.timeout(10):
        await stopped.wait()
    theirs.close()


async def test_who_asks_all_when_there_is_nobody_above_is_told_so() -> None:
    async with linked() as (above, link):
        asked = asyncio.create_task(link.everywhere({"load": "a"}))
        await above.told()
        await above.die()
        assert await asked == [{"error": "the server is ending"}]
