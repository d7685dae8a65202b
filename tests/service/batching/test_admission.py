"""What would be late is refused when it comes, and is told when to come again."""

import pytest

from service.batching.admission import Admission, Limits
from service.errors import BatchTooLarge, Overloaded, QueueFull

RUN_S = 0.5


def admission() -> Admission:
    """Of runs of four rows, each half a second long; eight rows may wait."""
    made = Admission(Limits(max_batch_size=4, max_queue_size=8), runners=1)
    for _ in range(10):
        made.learn(4, RUN_S)
    return made


def test_a_call_that_no_run_takes_is_too_large() -> None:
    admission().check_size(4)
    with pytest.raises(BatchTooLarge, match="5 rows, a run takes 4"):
        admission().check_size(5)


def test_a_call_that_will_be_answered_in_time_is_let_in() -> None:
    admission().check_wait(4, waiting=4, under_way=1, time_left=10.0)


def test_a_call_that_will_be_late_is_refused_with_the_time_to_come_again() -> None:
    # Half of the run under way, a run of those that wait, its own: 1.25 s, of 0.8 x 0.5 s.
    with pytest.raises(Overloaded, match=r"about 1.2 s and the request has 0.5 s") as refused:
        admission().check_wait(4, waiting=4, under_way=1, time_left=0.5)
    assert refused.value.headers == {"Retry-After": "1"}
    slow = admission()
    for _ in range(300):
        slow.learn(4, 10.0)
    with pytest.raises(Overloaded) as refused:
        slow.check_wait(4, waiting=4, under_way=1, time_left=5.0)
    assert refused.value.headers == {"Retry-After": "21"}  # 5 + 10 + 10 - 0.8 x 5


def test_a_call_that_is_late_already_is_not_called_an_overload() -> None:
    admission().check_wait(1, waiting=4, under_way=1, time_left=0.0)
    admission().check_wait(1, waiting=4, under_way=1, time_left=-1.0)


def test_a_full_queue_says_when_there_is_room() -> None:
    slow = Admission(Limits(max_batch_size=4, max_queue_size=8), runners=1)
    slow.learn(4, 6.0)
    with pytest.raises(QueueFull, match="8 rows are waiting") as refused:
        slow.check_wait(1, waiting=8, under_way=1, time_left=100.0)
    assert refused.value.headers == {"Retry-After": "9"}  # half of the run under way, and one more
