"""The client for ``async`` programs."""

import math
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from functools import partial
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self

import anyio
import httpx
from anyio.to_thread import run_sync

from foldserve_client import calls, documents
from foldserve_client.connection import httpx_options, httpx_request, translated
from foldserve_client.errors import CapacityError, ConnectionFailed, FoldserveError, TimedOut
from foldserve_client.exchange import Answer, Call, Found
from foldserve_client.images import Image, image_bytes
from foldserve_client.retries import DEFAULT, NEVER, Attempts, Retries
from foldserve_client.rules import CONNECT_TIMEOUT_S, TIMEOUT_S, Rules, outcome
from foldserve_client.tls import Certificate, Verify

if TYPE_CHECKING:
    from numpy.typing import NDArray


class AsyncClient:
    """``Client`` for ``async`` programs: the same calls, arguments and errors.

    Many tasks may share it. A call that is cancelled closes its connection, and the server drops
    what it was asked for.

    Args:
        url: of the server, such as ``http://127.0.0.1:8000``.
        api_key: for a server that asks for one.
        timeout_s: of a call with all its attempts and waits; ``math.inf`` waits for ever.
        connect_timeout_s: until a connection is there.
        retries: how often and when a call is tried again; ``Retries(attempts=1)`` is never.
        verify: whom to trust over TLS; see ``Client``.
        cert: who this client is over TLS; see ``Client``.
        gzip: whether bodies are packed, which is worth it on slow networks alone.
        headers: more of them for each request.
        transport: in place of httpx's own.
        clock: seconds that never go backwards.
        sleep: waits for so many seconds.

    Raises:
        InvalidCall: an argument cannot be used.
    """

    def __init__(
        self,
        url: str,
        *,
        api_key: str | None = None,
        timeout_s: float = TIMEOUT_S,
        connect_timeout_s: float = CONNECT_TIMEOUT_S,
        retries: Retries = DEFAULT,
        verify: Verify = True,
        cert: Certificate | None = None,
        gzip: bool = False,
        headers: Mapping[str, str] | None = None,
        transport: httpx.AsyncBaseTransport | None = None,
        clock: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], Awaitable[None]] = anyio.sleep,
    ) -> None:
        self._rules = Rules(timeout_s, connect_timeout_s, retries, clock)
        self._packed = gzip
        self._sleep = sleep
        options = httpx_options(url, api_key, verify, cert, packed=gzip, headers=headers)
        self._http = httpx.AsyncClient(transport=transport, **options)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        await self.aclose()

    async def aclose(self) -> None:
        """Close the connections."""
        await self._http.aclose()

    async def predict(
        self,
        model: str,
        image: Image,
        *,
        version: str | None = None,
        top_k: int | None = None,
        timeout_s: float | None = None,
    ) -> documents.Classification:
        """Classify a picture; see ``Client.predict``. A file is read in a thread."""
        content = image if isinstance(image, bytes) else await run_sync(image_bytes, image)
        return await self._run(calls.predict(model, version, content, top_k), timeout_s)

    async def infer(
        self,
        model: str,
        inputs: "Mapping[str, NDArray[Any]]",
        *,
        version: str | None = None,
        outputs: Sequence[str] | None = None,
        timeout_s: float | None = None,
    ) -> "dict[str, NDArray[Any]]":
        """Run a model on arrays and return its outputs by name; see ``Client.infer``."""
        return await self._run(calls.infer(model, version, inputs, outputs), timeout_s)

    async def models(self, *, timeout_s: float | None = None) -> tuple[documents.Model, ...]:
        """List the models, with the states of their versions and without their details."""
        return await self._run(calls.models(), timeout_s)

    async def model(self, name: str, *, timeout_s: float | None = None) -> documents.Model:
        """Show one model: signature, manifest, state and provider of each version."""
        return await self._run(calls.model(name), timeout_s)

    async def statistics(
        self,
        model: str | None = None,
        *,
        version: str | None = None,
        timeout_s: float | None = None,
    ) -> tuple[documents.Statistics, ...]:
        """Show what each version has done, of one model or of all."""
        return await self._run(calls.statistics(model, version), timeout_s)

    async def metadata(self, *, timeout_s: float | None = None) -> documents.Server:
        """Show what the server is."""
        return await self._run(calls.metadata(), timeout_s)

    async def live(self, *, timeout_s: float | None = None) -> bool:
        """Say whether the server's process answers; asks once."""
        return await self._says(calls.live(), timeout_s)

    async def ready(self, *, timeout_s: float | None = None) -> bool:
        """Say whether the server takes requests; asks once."""
        return await self._says(calls.ready(), timeout_s)

    async def _says(self, call: Call[bool], timeout_s: float | None) -> bool:
        try:
            return await self._run(call, timeout_s, NEVER)
        except (CapacityError, ConnectionFailed, TimedOut):
            return False

    async def _run(
        self, call: Call[Found], timeout_s: float | None, retries: Retries | None = None
    ) -> Found:
        attempts = self._rules.attempts(timeout_s, retries)
        while True:
            try:
                return outcome(call, await self._exchange(call, attempts))
            except FoldserveError as failure:
                wait_s = attempts.wait_s(failure)
            await self._sleep(wait_s)

    async def _exchange(self, call: Call[Any], attempts: Attempts) -> Answer:
        left_s = attempts.left_s()
        connect_s = self._rules.connect_timeout_s
        make = partial(httpx_request, call.request(left_s), left_s, connect_s, packed=self._packed)
        asked = await run_sync(make) if self._packed else make()
        try:
            with translated(), anyio.fail_after(left_s if math.isfinite(left_s) else None):
                response = await self._http.request(**asked)
        except TimeoutError as error:
            raise TimedOut("no answer came within the time of the call") from error
        return Answer(response.status_code, dict(response.headers), response.content)
