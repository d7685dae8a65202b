"""Both clients behind one face, servers that say what they are told, a time that never passes."""

import json
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Protocol

import anyio
import httpx

from foldserve_client import AsyncClient, Client

URL = "http://fake"

Step = httpx.Response | Exception


class Ask(Protocol):
    """Makes one call with a client of its own: its name, its arguments, those of the client."""

    def __call__(self, name: str, *arguments: Any, **options: Any) -> Any: ...


def blocking(url: str = URL, **settings: Any) -> Ask:
    """Calls of ``Client``."""

    def ask(name: str, *arguments: Any, **options: Any) -> Any:
        with Client(url, **settings) as client:
            return getattr(client, name)(*arguments, **options)

    return ask


def waiting(url: str = URL, **settings: Any) -> Ask:
    """Calls of ``AsyncClient``, each in an event loop of its own."""

    def ask(name: str, *arguments: Any, **options: Any) -> Any:
        async def asked() -> Any:
            async with AsyncClient(url, **settings) as client:
                return await getattr(client, name)(*arguments, **options)

        return anyio.run(asked)

    return ask


@dataclass
class Time:
    """A clock that goes on when someone sleeps, and at each look by ``tick_s``."""

    now: float = 1000.0
    tick_s: float = 0.0
    slept: list[float] = field(default_factory=list)

    def clock(self) -> float:
        self.now += self.tick_s
        return self.now

    def sleep(self, seconds: float) -> None:
        self.slept.append(seconds)
        self.now += seconds

    async def asleep(self, seconds: float) -> None:
        self.sleep(seconds)


@dataclass
class FakeServer:
    """Answers with one step after the other; the last one for ever."""

    steps: list[Step]
    asked: list[httpx.Request] = field(default_factory=list)

    def __call__(self, request: httpx.Request) -> httpx.Response:
        self.asked.append(request)
        step = self.steps.pop(0) if len(self.steps) > 1 else self.steps[0]
        if isinstance(step, Exception):
            raise step
        return httpx.Response(step.status_code, headers=step.headers, content=step.content)

    @property
    def bodies(self) -> list[bytes]:
        return [request.content for request in self.asked]


Make = Callable[..., Ask]


def fake_clients(time: Time) -> dict[str, Make]:
    """Makes of both kinds, whose sleep is the fake's."""

    def make_blocking(server: FakeServer, **settings: Any) -> Ask:
        given: Any = {"transport": httpx.MockTransport(server), "sleep": time.sleep}
        return blocking(clock=time.clock, **given | settings)

    def make_waiting(server: FakeServer, **settings: Any) -> Ask:
        given: Any = {"transport": httpx.MockTransport(server), "sleep": time.asleep}
        return waiting(clock=time.clock, **given | settings)

    return {"blocking": make_blocking, "async": make_waiting}


def fine(document: Any = None, **headers: str) -> httpx.Response:
    return httpx.Response(200, json={} if document is None else document, headers=headers)


def refused(status: int, code: str, detail: str = "not now", **headers: str) -> httpx.Response:
    """Problem details, as the server writes them; ``retry_after`` is the header."""
    content = {"detail": detail, "code": code, "status": status, "request_id": "r1"}
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    kind = {"Content-Type": "application/problem+json"}
    return httpx.Response(status, content=json.dumps(content), headers=kind | named)


def server(*steps: Step) -> FakeServer:
    return FakeServer(list(steps))
