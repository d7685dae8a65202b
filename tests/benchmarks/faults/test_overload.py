import pytest

from benchmarks.clients import Found
from benchmarks.faults.overload import DEADLINE_S, counted, steady

SECONDS = 10.0


def found(*answers: tuple[float, float], lost: int = 0, hung: int = 0) -> Found:
    """What came: at which second, after how many seconds."""
    when, good = [moment for moment, _ in answers], [took for _, took in answers]
    made = Found(good=good, when=when, began=0.0, lost=lost, hung=hung)
    made.statuses[200] = len(answers)
    return made


def test_only_answers_in_time_count_and_only_while_the_server_is_full():
    early, full, last = 0.5 * DEADLINE_S, DEADLINE_S, SECONDS - 0.1
    for moment, took, counts in [
        (early, 0.1, 0),
        (full, 0.1, 1),
        (last, DEADLINE_S, 1),
        (last, DEADLINE_S + 0.1, 0),
        (SECONDS, 0.1, 0),
    ]:
        assert steady([moment], [took], 0.0, SECONDS) == counts / (SECONDS - DEADLINE_S)


def test_a_steady_server_has_its_rate():
    moments = [second / 10 for second in range(120)]
    assert steady(moments, [1.0] * 120, 0.0, SECONDS) == pytest.approx(10)


def test_every_request_is_counted_once():
    loaded = found((1.0, 1.0), (5.0, 2.5), lost=5, hung=3)
    loaded.statuses[429] = 4
    loaded.first = {
        200: b"HTTP/1.1 200 OK\r\n\r\nRetry-After: 1",
        429: b"HTTP/1.1 429 No\r\nRetry-After: 1\r\n\r\n",
    }
    told = counted(loaded, SECONDS)
    assert told["requests"] == 11
    assert (told["in_time"], told["late"], told["lost"], told["hung"]) == (1, 1, 2, 3)
    assert told["statuses"] == {"200": 2, "429": 4}
    assert told["retry_after"] == ["429"]
    assert told["p99_s"] == pytest.approx(2.5, abs=0.05)


def test_a_server_that_answers_nothing_has_no_latency():
    told = counted(found(lost=2), SECONDS)
    assert told["p99_s"] is None
    assert told["goodput"] == 0
