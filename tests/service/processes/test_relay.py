"""The hub in the middle of the workers."""

from collections.abc import Iterator

import pytest
import structlog

from service.processes.relay import PATIENCE_S, Message, Relay

LOAD = {"load": "digits"}
UNLOAD = {"unload": "digits"}
REFRESH = {"refresh": "digits", "seen": "{}"}


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

    def finish(self, answer: Message | None = None) -> None:
        """Have each worker do what it is told, until there is no more."""
        while orders := [(worker, said) for worker, said in self.take() if "do" in said]:
            for worker, said in orders:
                self.relay.did(worker, {"did": said["do"], "answer": answer or {}})


@pytest.fixture
def workers() -> Iterator[Workers]:
    made = Workers()
    for number in range(2):
        made.relay.joined(number)
    assert made.take() == [(number, {"serve": True}) for number in range(2)]
    yield made
    assert not made.sent


def test_one_worker_after_the_other_does_a_command_and_their_answers_go_to_the_one_that_asked(
    workers: Workers,
) -> None:
    workers.relay.ask(1, {"ask": 7, "command": LOAD})
    assert workers.take() == [(0, {"do": 1, "command": LOAD})]
    workers.relay.did(0, {"did": 1, "answer": {"by": 0}})
    assert workers.take() == [(1, {"do": 2, "command": LOAD})]
    workers.relay.did(1, {"did": 2, "answer": {"by": 1}})
    assert workers.take() == [(1, {"answers": 7, "of": [{"by": 0}, {"by": 1}]})]


def test_a_command_waits_until_all_workers_have_done_the_one_before(workers: Workers) -> None:
    workers.relay.ask(1, {"ask": 7, "command": LOAD})
    workers.relay.ask(0, {"ask": 8, "command": UNLOAD})
    told: list[tuple[int, Message]] = []
    while orders := workers.take():
        told += orders
        at_work = [(worker, said) for worker, said in orders if "do" in said]
        assert len(at_work) <= 1
        for worker, said in at_work:
            workers.relay.did(worker, {"did": said["do"], "answer": {}})
    assert told == [
        (0, {"do": 1, "command": LOAD}),
        (1, {"do": 2, "command": LOAD}),
        (1, {"answers": 7, "of": [{}, {}]}),
        (0, {"do": 3, "command": UNLOAD}),
        (1, {"do": 4, "command": UNLOAD}),
        (0, {"answers": 8, "of": [{}, {}]}),
    ]


def test_a_worker_that_ends_meanwhile_is_reported_and_the_others_go_on(workers: Workers) -> None:
    workers.relay.ask(1, {"ask": 7, "command": LOAD})
    workers.take()
    workers.relay.left(0)
    assert workers.take() == [(1, {"do": 2, "command": LOAD})]
    workers.relay.did(1, {"did": 2, "answer": {}})
    assert workers.take() == [(1, {"answers": 7, "of": [{"error": "worker 0 ended"}, {}]})]


def test_a_worker_that_ends_before_its_turn_is_not_waited_for(workers: Workers) -> None:
    workers.relay.ask(0, {"ask": 7, "command": LOAD})
    workers.relay.left(1)
    workers.take()
    workers.relay.did(0, {"did": 1, "answer": {"by": 0}})
    assert workers.take() == [(0, {"answers": 7, "of": [{"by": 0}]})]


def test_nobody_is_told_if_the_worker_that_asked_has_ended_and_the_others_go_on(
    workers: Workers,
) -> None:
    workers.relay.ask(0, {"ask": 7, "command": LOAD})
    workers.take()
    workers.relay.left(0)
    assert workers.take() == [(1, {"do": 2, "command": LOAD})]
    workers.relay.did(1, {"did": 2, "answer": {}})
    assert workers.take() == []


def test_a_worker_that_hangs_holds_up_no_answer_for_good(workers: Workers) -> None:
    workers.relay.ask(1, {"ask": 7, "command": LOAD})
    workers.take()
    workers.now = PATIENCE_S - 1
    workers.relay.expire()
    assert workers.take() == []
    workers.now = PATIENCE_S
    workers.relay.expire()
    assert workers.take() == [(1, {"do": 2, "command": LOAD})]
    workers.relay.did(0, {"did": 1, "answer": {}})
    workers.relay.did(1, {"did": 2, "answer": {}})
    late = {"error": "worker 0 did not answer in time"}
    assert workers.take() == [(1, {"answers": 7, "of": [late, {}]})]


def test_a_worker_that_comes_later_does_the_latest_command_about_each_model_before_it_serves(
    workers: Workers,
) -> None:
    workers.relay.left(1)
    for command in (LOAD, REFRESH, {"load": "faces"}, UNLOAD):
        workers.relay.ask(0, {"ask": 1, "command": command})
        workers.finish()
    workers.relay.joined(1)
    assert [message.get("command", message) for _, message in workers.take()] == [
        REFRESH,
        {"load": "faces"},
        UNLOAD,
        {"serve": True},
    ]


def test_what_fails_when_it_is_repeated_is_logged(workers: Workers) -> None:
    with structlog.testing.capture_logs() as lines:
        workers.relay.did(1, {"did": 5, "answer": {}})
        workers.relay.did(1, {"did": 6, "answer": {"error": "no such model"}})
    assert [(line["worker"], line["reason"]) for line in lines] == [(1, "no such model")]


def test_a_worker_that_has_not_joined_is_not_asked(workers: Workers) -> None:
    workers.relay.left(1)
    workers.relay.ask(0, {"ask": 7, "command": LOAD})
    assert workers.take() == [(0, {"do": 1, "command": LOAD})]
    workers.relay.did(0, {"did": 1, "answer": {}})
    assert workers.take() == [(0, {"answers": 7, "of": [{}]})]


def test_a_command_of_which_nothing_was_done_leaves_the_one_before_in_force(
    workers: Workers,
) -> None:
    first, void = {"load": "digits", "policy": "1"}, {"load": "digits", "policy": "7"}
    workers.relay.ask(0, {"ask": 1, "command": first})
    workers.finish()
    for command in (void, {"load": "nothing"}):
        workers.relay.ask(0, {"ask": 2, "command": command})
        workers.finish({"error": "there is no version 7", "void": True})
    assert workers.relay.history == [first]


def test_a_command_that_one_worker_did_is_in_force(workers: Workers) -> None:
    workers.relay.ask(0, {"ask": 1, "command": LOAD})
    workers.relay.did(0, {"did": 1, "answer": {"error": "it is broken", "void": True}})
    workers.finish()
    assert workers.relay.history == [LOAD]
