"""Clients that are slow on purpose, and how long the server puts up with them."""

import asyncio
import contextlib
import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

from tests.chaos.load import HOST

# Far more than any bound of a test here: who is still there then was put up with for ever.
LONGEST_S = 30.0


class Slow(NamedTuple):
    """A client that sends something and then goes on in drops, or with nothing.

    Args:
        first: sent at once.
        drop: sent again and again; empty to say nothing more.
        every_s: between two drops.
    """

    first: bytes
    drop: bytes = b""
    every_s: float = 0.1


@dataclass(frozen=True)
class Ended:
    """How the server ended a connection.

    Args:
        seconds: from the first byte on.
        answer: all that came.
    """

    seconds: float
    answer: bytes


async def endure(port: int, slow: Slow) -> Ended:
    """Be slow until the server ends the connection.

    Raises:
        AssertionError: it did not.
    """
    began, answer = time.monotonic(), b""
    reader, writer = await asyncio.open_connection(HOST, port)
    try:
        async with asyncio.timeout(LONGEST_S):
            writer.write(slow.first)
            while True:
                try:
                    async with asyncio.timeout(slow.every_s):
                        piece = await reader.read(2**16)
                except TimeoutError:
                    writer.write(slow.drop)
                    continue
                if not piece:
                    break
                answer += piece
    except ConnectionError:
        pass
    except TimeoutError:
        raise AssertionError(f"{slow.first[:80]!r} was put up with for ever") from None
    finally:
        writer.transport.abort()
    return Ended(time.monotonic() - began, answer)


async def endure_all(port: int, slow: Sequence[Slow], times: int) -> list[list[Ended]]:
    """Be slow in all of these ways at once, so many times each; the same ways are together."""
    return await asyncio.gather(
        *(asyncio.gather(*(endure(port, each) for _ in range(times))) for each in slow)
    )


async def connect(port: int) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    """Open a connection and say nothing."""
    return await asyncio.open_connection(HOST, port)


async def is_ended(reader: asyncio.StreamReader, within_s: float = LONGEST_S) -> bool:
    """Return whether the server ends a connection; what it says before is read."""
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(within_s):
            with contextlib.suppress(ConnectionError):
                while await reader.read(2**16):
                    pass
            return True
    return False
