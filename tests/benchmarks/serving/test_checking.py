import numpy as np
import orjson
import pytest

from benchmarks.serving.answers import WrongAnswerError
from benchmarks.serving.calls import Call
from benchmarks.serving.checking import NotStartedError, check, first_answer
from tests.benchmarks.serving.servers import Reply, serving

QUESTIONS = [
    (Call("/", "application/json", str(number).encode()), np.array([number, 1], np.float32))
    for number in range(5)
]


def right(body: bytes) -> Reply:
    return Reply(orjson.dumps({"logits": [int(body), 1]}))


def never() -> bool:
    return False


def test_a_server_that_answers_rightly_passes():
    with serving(right) as port:
        check(port, "json", QUESTIONS)


def test_a_server_that_is_wrong_once_is_refused():
    with (
        serving(lambda body: right(body) if body != b"3" else right(b"4")) as port,
        pytest.raises(WrongAnswerError, match="off"),
    ):
        check(port, "json", QUESTIONS)


def test_a_server_that_mixes_up_later_requests_is_refused():
    seen: list[bytes] = []

    def late(body: bytes) -> Reply:
        seen.append(body)
        return right(body if len(seen) < 10 else b"7")

    with serving(late) as port, pytest.raises(WrongAnswerError):
        check(port, "json", QUESTIONS)


@pytest.mark.parametrize("reply", [Reply(b"no", status=500), None])
def test_errors_are_no_right_answers(reply):
    with serving(lambda _: reply) as port, pytest.raises(WrongAnswerError):
        check(port, "json", QUESTIONS)


def test_a_server_that_starts_is_asked_until_it_is_right():
    replies = [Reply(b"", status=503), None, right(b"8"), right(b"0")]
    with serving(lambda _: replies.pop(0)) as port:
        first_answer(port, "json", QUESTIONS[0], never, limit_s=30)
    assert not replies


def test_a_server_that_ends_is_not_waited_for():
    with serving(right) as port:
        pass
    with pytest.raises(NotStartedError, match="it ended"):
        first_answer(port, "json", QUESTIONS[0], lambda: True, limit_s=30)


def test_a_server_that_is_never_right_is_told_with_its_last_answer():
    with (
        serving(lambda _: Reply(b"loading", status=503)) as port,
        pytest.raises(NotStartedError, match=r"no right answer.*status 503: loading"),
    ):
        first_answer(port, "json", QUESTIONS[0], never, limit_s=0.2)
