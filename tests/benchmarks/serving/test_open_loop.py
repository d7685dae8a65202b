import numpy as np
import pytest

from benchmarks.serving.calls import Call
from benchmarks.serving.open_loop import arrivals, open_loop
from tests.benchmarks.serving.servers import Reply, serving

RATE = 1000.0
SECONDS = 20.0
NOW = np.zeros(1)


def requests(port: int, *bodies: bytes) -> list[bytes]:
    return [Call("/", "application/json", body).encoded(port) for body in bodies]


def variation(moments: np.ndarray) -> float:
    """Of the gaps, the standard deviation over the mean: 1 of a Poisson process."""
    gaps = np.diff(moments)
    return float(gaps.std() / gaps.mean())


def test_arrivals_are_a_poisson_process():
    moments = arrivals(RATE, SECONDS, seed=0)
    count = RATE * SECONDS
    # Five standard deviations of a Poisson count, and of a variation of so many gaps.
    assert abs(len(moments) - count) < 5 * count**0.5
    assert variation(moments) == pytest.approx(1, abs=5 / count**0.5)
    assert (np.diff(moments) >= 0).all()
    assert 0 <= moments[0] <= moments[-1] <= SECONDS


def test_a_steady_beat_would_be_told_from_it():
    assert variation(np.arange(0, SECONDS, 1 / RATE)) < 0.01


def test_other_seeds_give_other_arrivals():
    first, again, other = (arrivals(RATE, 1, seed) for seed in (1, 1, 2))
    assert np.array_equal(first, again)
    assert not np.array_equal(first[:10], other[:10])


def test_latency_counts_from_the_moment_at_which_a_request_was_due():
    late_by_s = 100.0
    with serving(lambda _: Reply(b"{}")) as port:
        late = open_loop(port, requests(port, b""), NOW - late_by_s)
        timely = open_loop(port, requests(port, b""), NOW)
    assert late.p50_ms > late_by_s * 1e3
    assert late.late_p99_ms is not None
    assert late.late_p99_ms > late_by_s * 1e3
    assert timely.p50_ms < late_by_s * 1e3 / 2


def test_every_request_is_answered_and_requests_take_turns():
    seen: list[bytes] = []

    def note(body: bytes) -> Reply:
        seen.append(body)
        return Reply(b"{}")

    due = arrivals(2000, 0.25, seed=3)
    with serving(note) as port:
        load = open_loop(port, requests(port, b"a", b"b"), due)
    assert (load.requests, load.errors) == (len(due), 0)
    assert sorted(seen) == [b"a"] * ((len(due) + 1) // 2) + [b"b"] * (len(due) // 2)
    assert load.p50_ms <= load.p99_ms


def test_a_body_that_does_not_fit_the_socket_is_sent_in_parts():
    sizes: list[int] = []

    def note(body: bytes) -> Reply:
        sizes.append(len(body))
        return Reply(b"x" * 1_000_000)

    with serving(note) as port:
        load = open_loop(port, requests(port, b"y" * 20_000_000), np.zeros(2))
    assert (load.requests, load.errors) == (2, 0)
    assert sizes == [20_000_000] * 2


def test_other_statuses_are_errors():
    with serving(lambda body: Reply(b"", status=500 if body else 200)) as port:
        load = open_loop(port, requests(port, b"", b"bad", b"worse"), np.zeros(6))
    assert (load.requests, load.errors) == (2, 4)


def test_a_connection_that_is_closed_is_an_error_and_the_rest_goes_on():
    with serving(lambda body: None if body else Reply(b"{}")) as port:
        load = open_loop(port, requests(port, b"", b"bad"), np.zeros(200))
    assert (load.requests, load.errors) == (100, 100)


def test_nothing_to_send_is_no_error():
    with serving(lambda _: Reply(b"{}")) as port:
        load = open_loop(port, requests(port, b""), np.zeros(0))
    assert (load.requests, load.errors) == (0, 0)
