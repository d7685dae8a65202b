"""Whether a server answers rightly: before that it is not measured."""

import http.client
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor

from benchmarks.serving.answers import Answer, WrongAnswerError, compare, read
from benchmarks.serving.calls import Call, Format
from benchmarks.serving.samples import Array

TIMEOUT_S = 30
POLL_S = 0.01  # between attempts to reach a server that starts
AT_ONCE = 8  # requests, so that a server that mixes up a batch is found out
ROUNDS = 4
OK = 200
Question = tuple[Call, Array]


class NotStartedError(Exception):
    """A server did not give a right answer in time; the message says what it gave."""


def ask(port: int, form: Format, call: Call) -> Answer:
    """Send one request on a connection of its own.

    Raises:
        WrongAnswerError: The status is not 200, or the answer is none.
        OSError: There is no server.
        http.client.HTTPException: What is there does not speak HTTP.
    """
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=TIMEOUT_S)
    try:
        headers = {"Content-Type": call.content_type}
        if call.header_length is not None:
            headers["Inference-Header-Content-Length"] = str(call.header_length)
        connection.request("POST", call.path, call.body, headers)
        response = connection.getresponse()
        body = response.read()
        found = {name.lower(): value for name, value in response.getheaders()}
    finally:
        connection.close()
    if response.status != OK:
        raise WrongAnswerError(f"status {response.status}: {body[:200].decode(errors='replace')}")
    return read(form, found, body)


def first_answer(
    port: int, form: Format, question: Question, ended: Callable[[], bool], limit_s: float
) -> float:
    """Ask until the answer is right.

    Args:
        port: Of a server that starts.
        form: Of the question.
        question: What to ask, and the logits of the right answer.
        ended: Whether the server is gone.
        limit_s: How long to ask.

    Returns:
        When it was, of `time.monotonic()`.

    Raises:
        NotStartedError: It never was.
    """
    end = time.monotonic() + limit_s
    last: Exception = TimeoutError()
    while time.monotonic() < end and not ended():
        try:
            compare(ask(port, form, question[0]), question[1])
        except (WrongAnswerError, OSError, http.client.HTTPException) as error:
            last = error
            time.sleep(POLL_S)
        else:
            return time.monotonic()
    why = "it ended" if ended() else f"no right answer in {limit_s:.0f} s"
    raise NotStartedError(f"{why}; the last: {type(last).__name__}: {last}")


def check(port: int, form: Format, questions: Sequence[Question]) -> None:
    """Ask every question, first one after the other, then several at once.

    Raises:
        WrongAnswerError: An answer is not what it has to be.
    """

    def right(question: Question) -> None:
        try:
            compare(ask(port, form, question[0]), question[1])
        except (OSError, http.client.HTTPException) as error:
            raise WrongAnswerError(f"{type(error).__name__}: {error}") from error

    for question in questions:
        right(question)
    with ThreadPoolExecutor(AT_ONCE) as threads:
        list(threads.map(right, list(questions) * ROUNDS))
