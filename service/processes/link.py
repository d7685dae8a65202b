"""A worker's end of its line to the process above it: orders come in, news go out.

Each message is one line of JSON. The end of the line is the end of the process above, and
then there is nobody to work for.
"""

import asyncio
import itertools
import json
import socket
from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import Any

from service.repository.hub import Answer, Command, OnCommand, answer, refuse

Message = dict[str, Any]

# Of one line: the answers of all workers, each with what is wrong with a model.
_LINE_BYTES = 2**20

# The process above does nothing that takes time.
_PATIENCE_S = 5.0


class Link:
    """The hub of one worker of several.

    Args:
        end: of the line.
        history: what was commanded before this worker was there.
    """

    def __init__(self, end: socket.socket, history: Sequence[Command] = ()) -> None:
        self.on_command: OnCommand = refuse
        self.history = history
        end.settimeout(_PATIENCE_S)
        self._end = end
        self._ids = itertools.count()
        self._asked: dict[int, asyncio.Future[list[Answer]]] = {}
        self._at_work: set[asyncio.Task[None]] = set()
        self._joined = asyncio.Event()
        self._listening: asyncio.Task[None] | None = None

    def tell(self, message: Message) -> None:
        """Send a message; one that nobody takes any more is dropped."""
        with suppress(OSError):  # the process above is gone, and `listen` finds the same
            self._end.sendall(json.dumps(message).encode() + b"\n")

    async def everywhere(self, command: Command) -> list[Answer]:
        """Return the answer of every worker."""
        number = next(self._ids)
        self._asked[number] = asyncio.get_running_loop().create_future()
        self.tell({"ask": number, "command": command})
        try:
            return await self._asked[number]
        finally:
            del self._asked[number]

    async def join(self) -> None:
        """Take part in commands from now on; return once those of before its time are done."""
        self.tell({"loaded": True})
        await self._joined.wait()
        await asyncio.gather(*self._at_work)

    def listen(self, stop: Callable[[], None]) -> None:
        """Follow orders from now on; called on the event loop.

        Args:
            stop: called for each order to stop, and at the end of the line.
        """
        self._listening = asyncio.get_running_loop().create_task(self._listen(stop))

    async def ended(self) -> None:
        """Wait for the end of the line."""
        if self._listening is not None:
            await self._listening

    async def _listen(self, stop: Callable[[], None]) -> None:
        # Of a second descriptor: what is told is written at once, after the loop's end too.
        reader, writer = await asyncio.open_unix_connection(sock=self._end.dup(), limit=_LINE_BYTES)
        try:
            # A process that dies with something unread resets the line.
            with suppress(ConnectionError):
                async for line in reader:
                    self._follow(json.loads(line), stop)
        finally:
            writer.close()
        self._joined.set()
        for number in tuple(self._asked):
            self._answer(number, [{"error": "the server is ending"}])
        stop()

    def _follow(self, order: Message, stop: Callable[[], None]) -> None:
        if "stop" in order:
            stop()
        elif "do" in order:
            task = asyncio.get_running_loop().create_task(self._do(order))
            self._at_work.add(task)  # the loop itself holds tasks weakly
            task.add_done_callback(self._at_work.discard)
        elif "serve" in order:
            self._joined.set()
        elif "answers" in order:
            self._answer(order["answers"], order["of"])

    def _answer(self, number: int, answers: list[Answer]) -> None:
        asked = self._asked.get(number)
        if asked is not None and not asked.done():
            asked.set_result(answers)

    async def _do(self, order: Message) -> None:
        self.tell({"did": order["do"], "answer": await answer(self.on_command, order["command"])})
