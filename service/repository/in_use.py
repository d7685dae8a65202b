"""Who still needs a thing that is about to go."""

import asyncio


class InUse:
    """Counts those inside; of one event loop, and a fraction of a microsecond for each.

    with entry.in_use:
        ...
    """

    __slots__ = ("_inside", "_left")

    def __init__(self) -> None:
        self._inside = 0
        self._left: asyncio.Event | None = None

    def __enter__(self) -> None:
        self.enter()

    def __exit__(self, *_error: object) -> None:
        self.leave()

    def enter(self) -> None:
        """Come in, and ``leave`` later, where that is not in one block."""
        self._inside += 1

    def leave(self) -> None:
        """Go out."""
        self._inside -= 1
        if not self._inside and self._left is not None:
            self._left.set()

    @property
    def count(self) -> int:
        """How many are inside."""
        return self._inside

    async def ended(self) -> None:
        """Return once nobody is inside; who enters while it is awaited is waited for, too."""
        while self._inside:
            self._left = asyncio.Event()
            await self._left.wait()
