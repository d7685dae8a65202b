"""Many pictures at once: python examples/python_async.py [URL] [IMAGE]."""

import asyncio
import sys
from collections import Counter

from foldserve_client import AsyncClient

AT_ONCE = 32  # as many as one run of the server takes by default


async def main(url: str = "http://127.0.0.1:8000", image: str = "tests/data/digit_7.png") -> None:
    """Ask for a hundred pictures; a full queue is tried again when the server says."""
    free = asyncio.Semaphore(AT_ONCE)

    async with AsyncClient(url, timeout_s=30) as client:

        async def label() -> str:
            async with free:
                return (await client.predict("digits", image, top_k=1)).best.label

        async with asyncio.TaskGroup() as group:
            tasks = [group.create_task(label()) for _ in range(100)]
    for found, times in Counter(task.result() for task in tasks).items():
        print(f"{found}: {times} of {len(tasks)}")


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:]))
