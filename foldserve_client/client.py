"""The blocking client."""

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self

import httpx

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


class Client:
    """A client of one server, with connections that last; many threads may share it.

    Every call raises a ``FoldserveError`` where it has no result; ``foldserve_client.errors`` is
    the tree of them. No call changes anything at the server, so each is tried again where that
    can help: when the server says "not now", or the connection was refused or ended.

    Args:
        url: of the server, such as ``http://127.0.0.1:8000``.
        api_key: for a server that asks for one.
        timeout_s: of a call with all its attempts and waits; ``math.inf`` waits for ever. Bytes
            of an answer's head that come one by one have it anew each: nobody can interrupt.
        connect_timeout_s: until a connection is there.
        retries: how often and when a call is tried again; ``Retries(attempts=1)`` is never.
        verify: whom to trust over TLS: the known authorities; a file of PEM with others; a
            context; False trusts anyone.
        cert: who this client is over TLS: a file of PEM, or one of the certificate and one of
            its key.
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
        transport: httpx.BaseTransport | None = None,
        clock: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        self._rules = Rules(timeout_s, connect_timeout_s, retries, clock)
        self._packed = gzip
        self._sleep = sleep
        options = httpx_options(url, api_key, verify, cert, packed=gzip, headers=headers)
        self._http = httpx.Client(transport=transport, **options)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()

    def close(self) -> None:
        """Close the connections."""
        self._http.close()

    def predict(
        self,
        model: str,
        image: Image,
        *,
        version: str | None = None,
        top_k: int | None = None,
        timeout_s: float | None = None,
    ) -> documents.Classification:
        """Classify a picture.

        Args:
            model: its name.
            image: the bytes of a JPEG, PNG or WebP file, the path of one, or a picture of
                Pillow's, whose pixels are taken as they are.
            version: of the model; by default the highest.
            top_k: how many classes; by default as many as the server is set to.
            timeout_s: of this call, in place of the client's.
        """
        return self._run(calls.predict(model, version, image_bytes(image), top_k), timeout_s)

    def infer(
        self,
        model: str,
        inputs: "Mapping[str, NDArray[Any]]",
        *,
        version: str | None = None,
        outputs: Sequence[str] | None = None,
        timeout_s: float | None = None,
    ) -> "dict[str, NDArray[Any]]":
        """Run a model on arrays and return its outputs by name; needs numpy.

        The numbers travel as bytes and are to the bit what the model was given and gave. Texts
        are arrays of objects; so are pictures, for a model that takes them: encoded, as bytes.

        Args:
            model: its name.
            inputs: every input by name, of its very dtype and shape.
            version: of the model; by default the highest.
            outputs: the names of those that are wanted; by default all.
            timeout_s: of this call, in place of the client's; the server knows it, too.
        """
        return self._run(calls.infer(model, version, inputs, outputs), timeout_s)

    def models(self, *, timeout_s: float | None = None) -> tuple[documents.Model, ...]:
        """List the models, with the states of their versions and without their details."""
        return self._run(calls.models(), timeout_s)

    def model(self, name: str, *, timeout_s: float | None = None) -> documents.Model:
        """Show one model: signature, manifest, state and provider of each version."""
        return self._run(calls.model(name), timeout_s)

    def statistics(
        self,
        model: str | None = None,
        *,
        version: str | None = None,
        timeout_s: float | None = None,
    ) -> tuple[documents.Statistics, ...]:
        """Show what each version has done, of one model or of all."""
        return self._run(calls.statistics(model, version), timeout_s)

    def metadata(self, *, timeout_s: float | None = None) -> documents.Server:
        """Show what the server is."""
        return self._run(calls.metadata(), timeout_s)

    def live(self, *, timeout_s: float | None = None) -> bool:
        """Say whether the server's process answers; asks once."""
        return self._says(calls.live(), timeout_s)

    def ready(self, *, timeout_s: float | None = None) -> bool:
        """Say whether the server takes requests; asks once."""
        return self._says(calls.ready(), timeout_s)

    def _says(self, call: Call[bool], timeout_s: float | None) -> bool:
        try:
            return self._run(call, timeout_s, NEVER)
        except (CapacityError, ConnectionFailed, TimedOut):
            return False

    def _run(
        self, call: Call[Found], timeout_s: float | None, retries: Retries | None = None
    ) -> Found:
        attempts = self._rules.attempts(timeout_s, retries)
        while True:
            try:
                return outcome(call, self._exchange(call, attempts))
            except FoldserveError as failure:
                wait_s = attempts.wait_s(failure)
            self._sleep(wait_s)

    def _exchange(self, call: Call[Any], attempts: Attempts) -> Answer:
        left_s = attempts.left_s()
        connect_s = self._rules.connect_timeout_s
        asked = httpx_request(call.request(left_s), left_s, connect_s, packed=self._packed)
        with translated(), self._http.stream(**asked) as response:
            body = b"".join(_in_time(response.iter_bytes(), attempts))
            return Answer(response.status_code, dict(response.headers), body)


def _in_time(pieces: Iterator[bytes], attempts: Attempts) -> Iterator[bytes]:
    """Pass an answer's pieces on; one that drips has a time for each, and the call has one."""
    for piece in pieces:
        attempts.left_s()
        yield piece
