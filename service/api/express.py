"""The express lane: small inference requests, with no task and no framework.

A run of a small network takes less time than a coroutine takes to be scheduled, and a fraction
of what a framework does for a request; and to refuse what is too much is what a server does the
more of, the less time it has. So a connection offers each request that came whole to this lane,
which takes those that are read and written within a moment: read, given to the model's batcher,
and written when its run ends. Everything else it leaves to the app, whose ``infer`` endpoint
reads, runs and writes with the same functions.
"""

import re
from collections.abc import Sequence

from service.access.guard import Guard
from service.access.keys import Key
from service.access.loopback import LOOPBACK
from service.api.express_answer import ExpressAnswer, Reply
from service.api.inference import SMALL_ANSWER, SMALL_BODY
from service.errors import ServiceError
from service.inference.predictor import Predictor
from service.lifecycle import Service
from service.repository.in_use import InUse
from service.telemetry.observation import Observer
from service.wire.inference_request import InferenceRequest, read_header_length, read_length

# Names that need no decoding; any other path is the app's.
_INFER = re.compile(rb"/v2/models/([A-Za-z0-9._-]+)(?:/versions/([0-9]+))?/infer")
_ROUTE = "/v2/models/{name}/infer"
_VERSION_ROUTE = "/v2/models/{name}/versions/{version}/infer"

# Numbers whose digits are compressed in a millisecond; a thread of the app's does it for more.
_COMPRESSED_AT_ONCE = 2**11

_HEADER_LENGTH = b"inference-header-content-length"


class ExpressLane:
    """Answers small inference requests.

    Args:
        service: whose models run.
        observer: told of each answer.
        guard: knows the API keys, where they are needed.
    """

    def __init__(self, service: Service, observer: Observer, guard: Guard | None = None) -> None:
        self._service = service
        self._observer = observer
        self._guard = guard
        self._control = (LOOPBACK, service.settings.control_port)
        self._is_open_to_pages = bool(service.settings.cors_origins)
        self.in_flight = InUse()

    def serves(self, address: tuple[str, int | None] | None) -> bool:
        """Return whether the lane is for connections to an address: not to the control port.

        What comes there is looked at by the app, before anything is answered.
        """
        return address != self._control

    @staticmethod
    def may_take(url: bytes) -> bool:
        """Return whether a request is worth holding until its body is there."""
        return url.startswith(b"/v2/models/") and url.endswith(b"/infer")

    def take(
        self, url: bytes, headers: Sequence[tuple[bytes, bytes]], body: bytes, reply: Reply
    ) -> bool:
        """Return whether the request is answered here, now or when its run ends.

        Args:
            url: as it came.
            headers: with lower-case names.
            body: all of it.
            reply: is given the answer.
        """
        match = _INFER.fullmatch(url)
        if match is None:
            return False
        fields = dict(headers)
        if len(fields) != len(headers) or b"content-encoding" in fields:
            return False
        if self._is_open_to_pages and b"origin" in fields:
            return False  # the answer's headers depend on it
        name, version = match.groups()
        route = _ROUTE if version is None else _VERSION_ROUTE
        answer = ExpressAnswer(self._observer, reply, url, route, fields)
        text = None if version is None else version.decode()
        try:
            key = None if self._guard is None else self._guard.identify(headers, "predict")
            try:
                entry, predictor = self._service.repository.serving(name.decode(), text)
                asked = self._read(predictor, body, answer)
            except ServiceError:
                self._count(key)
                raise
            if asked is None:
                return False  # and the app counts it
            self._count(key)
            answer.admit(entry, predictor, asked)
            waiter = predictor.offer(asked.inputs, answer, predictor.deadline(asked.timeout_s))
            if not predictor.runs_at_once:  # else its client has no time to go away
                answer.wait(waiter, self.in_flight)
        except Exception as error:  # noqa: BLE001 -- nothing may reach the connection's parser
            answer.set_exception(error)
        return True

    def _read(
        self, predictor: Predictor, body: bytes, answer: ExpressAnswer
    ) -> InferenceRequest | None:
        """Return what a body asks for, or None if the lane is not for it."""
        if len(body) > self._service.settings.max_body_bytes:
            return None
        if not predictor.in_place:
            predictor.check_room()
        length = read_header_length(answer.fields.get(_HEADER_LENGTH), len(body))
        if read_length(body, length) > SMALL_BODY:
            return None
        asked = predictor.reader.read(body, length)
        most = _COMPRESSED_AT_ONCE if b"accept-encoding" in answer.fields else SMALL_ANSWER
        if asked.images is not None or predictor.answer_numbers(asked.inputs) > most:
            return None
        return asked

    def _count(self, key: Key | None) -> None:
        if key is not None and self._guard is not None:
            self._guard.count(key)
