"""The hub in the middle of the workers."""

from collections.abc import Iterator

import pytest
import structlog

from service.processes.relay import PATIENCE_S, Message, Relay

LOAD = {"load": "digits"}
UNLOAD = {"unload": "digits"}


class Workers:
    """What was sent to whom, and a clock that the test turns."""

    def __init__(self) -> None:
        self.now = 0.0
        self.sent: list[tuple[int, Message]] = []
        self.relay = Relay(lambda worker, message: self.sent.append((worker, message)), self.clock)

    def clock(self) -> float:
        return self.now

    def take(self) -> list[tuple[int, Message]]:
        taken, self.sent[:] = self.sent[:], []
        return taken


@pytest.fixture
def workers() -> Iterator[Workers]:
    made = Workers()
    for number in range(2):
        made.relay.joined(number)
    yield made
    assert not made.sent


def test_a_command_goes_to_all_and_the_answers_in_their_order_to_the_one_that_asked(
    workers: Workers,
) -> None:
    workers.relay.ask(1, {"ask": 7, "command": LOAD})
    assert workers.take() == [
        (0, {"do": 1, "command": LOAD}),
        (1, {"do": 1, "command": LOAD}),
    ]
    workers.relay.did(1, {"did": 1, "answer": {"by": 1}})
    assert workers.take() == []
    workers.relay.did(0, {"did": 1, "answer": {"by": 0}})
    assert workers.take() == [(1, {"answers": 7, "of": [{"by": 0}, {"by": 1}]})]


def test_a_worker_that_ends_meanwhile_is_reported(workers: Workers) -> None:
    workers.relay.ask(0, {"ask": 7, "command": LOAD})
    workers.relay.did(0, {"did": 1, "answer": {}})
    workers.take()
    workers.relay.left(1)
    assert workers.take() == [(0, {"answers": 7, "of": [{}, {"error": "worker 1 ended"}]})]


def test_an_answer_that_was_given_stays_though_its_worker_ends(workers: Workers) -> None:
    workers.relay.ask(0, {"ask": 7, "command": LOAD})
    workers.relay.did(1, {"did": 1, "answer": {"by": 1}})
    workers.relay.left(1)
    workers.take()
    workers.relay.did(0, {"did": 1, "answer": {"by": 0}})
    assert workers.take() == [(0, {"answers": 7, "of": [{"by": 0}, {"by": 1}]})]


def test_nobody_is_told_if_the_worker_that_asked_has_ended(workers: Workers) -> None:
    workers.relay.ask(0, {"ask": 7, "command": LOAD})
    workers.take()
    workers.relay.left(0)
    workers.relay.did(1, {"did": 1, "answer": {}})
    assert workers.take() == []


def test_a_worker_that_hangs_holds_up_no_answer_for_good(workers: Workers) -> None:
    workers.relay.ask(0, {"ask": 7, "command": LOAD})
    workers.relay.did(0, {"did": 1, "answer": {}})
    workers.take()
    workers.now = PATIENCE_S - 1
    workers.relay.expire()
    assert workers.take() == []
    workers.now = PATIENCE_S
    workers.relay.expire()
    late = {"error": "worker 1 did not answer in time"}
    assert workers.take() == [(0, {"answers": 7, "of": [{}, late]})]
    workers.relay.did(1, {"did": 1, "answer": {}})
    assert workers.take() == []


def test_a_worker_that_comes_later_does_the_latest_command_about_each_model(
    workers: Workers,
) -> None:
    for command in (LOAD, {"load": "faces"}, UNLOAD):
        workers.relay.ask(0, {"ask": 1, "command": command})
    workers.relay.left(1)
    workers.take()
    workers.relay.joined(1)
    assert workers.take() == [
        (1, {"do": 4, "command": {"load": "faces"}}),
        (1, {"do": 5, "command": UNLOAD}),
    ]


def test_what_fails_when_it_is_repeated_is_logged(workers: Workers) -> None:
    with structlog.testing.capture_logs() as lines:
        workers.relay.did(1, {"did": 5, "answer": {}})
        workers.relay.did(1, {"did": 6, "answer": {"error": "no such model"}})
    assert [(line["worker"], line["reason"]) for line in lines] == [(1, "no such model")]


def test_a_worker_that_is_not_ready_is_not_asked(workers: Workers) -> None:
    workers.relay.left(1)
    workers.relay.ask(0, {"ask": 7, "command": LOAD})
    assert workers.take() == [(0, {"do": 1, "command": LOAD})]
    workers.relay.did(0, {"did": 1, "answer": {}})
    assert workers.take() == [(0, {"answers": 7, "of": [{}]})]
