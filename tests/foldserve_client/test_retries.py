"""What is tried again, after which wait, and when it is enough; in a time that nobody waits for."""

import json
import logging
import math
from typing import Any

import httpx
import numpy as np
import pytest

from foldserve_client import Client, Retries, errors
from foldserve_client.retries import Attempts
from tests.foldserve_client.fakes import Make, Time, fine, refused, server

NO_MODELS: Any = {"models": []}
X = {"x": np.zeros((1, 3), np.float32)}
ALWAYS_LATEST = Retries(chance=lambda: 1.0)


def described(case: Any) -> str:
    """A test's name for a failure or an error."""
    if isinstance(case, httpx.Response):
        return f"{case.status_code}"
    return case.__name__ if isinstance(case, type) else type(case).__name__


@pytest.mark.parametrize(
    "failure",
    [
        refused(429, "queue_full"),
        refused(503, "not_ready"),
        httpx.Response(502, text="Bad Gateway"),
        httpx.ConnectError("refused"),
        httpx.ConnectTimeout("slow"),
        httpx.ReadError("reset"),
        httpx.WriteError("reset"),
        httpx.RemoteProtocolError("Server disconnected without sending a response."),
    ],
    ids=described,
)
def test_what_may_pass_is_tried_again(make: Make, time: Time, failure: Any) -> None:
    fake = server(failure, failure, fine(NO_MODELS))
    assert make(fake)("models") == ()
    assert len(fake.asked) == 3
    assert len(time.slept) == 2


@pytest.mark.parametrize(
    ("failure", "error"),
    [
        (refused(400, "invalid_request"), errors.InvalidRequest),
        (refused(401, "unauthorized"), errors.Unauthorized),
        (refused(404, "model_not_found"), errors.ModelNotFound),
        (refused(500, "inference_failed"), errors.InferenceFailed),
        (refused(504, "deadline_exceeded"), errors.DeadlineExceeded),
        (httpx.Response(302, headers={"location": "/login"}), errors.InvalidAnswer),
        (httpx.Response(200, text="<html>"), errors.InvalidAnswer),
        (httpx.ReadTimeout("slow"), errors.TimedOut),
        (httpx.PoolTimeout("busy"), errors.TimedOut),
        (httpx.LocalProtocolError("illegal header"), errors.InvalidCall),
        (httpx.UnsupportedProtocol("ftp"), errors.InvalidCall),
    ],
    ids=described,
)
def test_what_would_be_the_same_again_is_not_tried_again(
    make: Make, time: Time, failure: Any, error: type[Exception]
) -> None:
    fake = server(failure)
    with pytest.raises(error):
        make(fake)("models")
    assert len(fake.asked) == 1
    assert time.slept == []


def test_the_last_failure_is_raised_after_the_last_attempt(make: Make, time: Time) -> None:
    fake = server(httpx.ConnectError("refused"), refused(503, "not_ready"))
    with pytest.raises(errors.NotReady) as caught:
        make(fake, retries=Retries(attempts=3))("models")
    assert len(fake.asked) == 3
    assert len(time.slept) == 2
    assert caught.value.__notes__ == ["of attempt 3"]


def test_one_attempt_never_tries_again(make: Make, time: Time) -> None:
    fake = server(refused(503, "not_ready"))
    with pytest.raises(errors.NotReady):
        make(fake, retries=Retries(attempts=1))("models")
    assert len(fake.asked) == 1
    assert time.slept == []


def test_the_wait_doubles_to_its_longest(make: Make, time: Time) -> None:
    rule = Retries(attempts=7, first_delay_s=0.1, longest_delay_s=1.0, chance=lambda: 1.0)
    with pytest.raises(errors.ConnectionFailed):
        make(server(httpx.ConnectError("refused")), retries=rule)("models")
    assert time.slept == pytest.approx([0.1, 0.2, 0.4, 0.8, 1.0, 1.0])


def test_the_wait_is_anything_up_to_that() -> None:
    """Full jitter: the default's numbers fill the whole range, and are not the same twice."""
    found = [Retries(first_delay_s=1.0).backoff_s(1) for _ in range(1000)]
    assert 0 <= min(found) < 0.1  # all of 1000 above a tenth: once in 10^45
    assert 0.9 < max(found) < 1.0
    assert len(set(found)) > 900


@pytest.mark.parametrize("status", [429, 503])
def test_the_server_is_asked_again_when_it_says(make: Make, time: Time, status: int) -> None:
    fake = server(refused(status, "overloaded", retry_after="7"), fine(NO_MODELS))
    make(fake, retries=ALWAYS_LATEST)("models")
    assert time.slept == [pytest.approx(7.1)]  # and the jitter: not all at the same moment


def test_a_date_is_relative_to_the_servers_own_clock(make: Make, time: Time) -> None:
    due = {"retry_after": "Sun, 06 Nov 1994 08:49:40 GMT", "date": "Sun, 06 Nov 1994 08:49:37 GMT"}
    make(server(refused(503, "not_ready", **due), fine(NO_MODELS)), retries=ALWAYS_LATEST)("models")
    assert time.slept == [pytest.approx(3.1)]


def test_who_would_be_asked_too_late_is_not_waited_for(make: Make, time: Time) -> None:
    fake = server(refused(429, "overloaded", retry_after="60"))
    with pytest.raises(errors.Overloaded) as caught:
        make(fake, timeout_s=30.0)("models")
    assert caught.value.retry_after_s == 60
    assert len(fake.asked) == 1
    assert time.slept == []


def test_all_attempts_share_the_time_of_the_call(make: Make, time: Time) -> None:
    """Each look at the clock takes half a second: five attempts would take longer than two."""
    time.tick_s = 0.5
    fake = server(httpx.ConnectError("refused"))
    with pytest.raises(errors.ConnectionFailed):
        make(fake, retries=Retries(attempts=100))("models", timeout_s=3.0)
    assert 1 < len(fake.asked) < 5
    assert time.now - 1000 <= 4.0


def test_an_attempt_that_would_begin_too_late_is_not_begun(time: Time) -> None:
    attempts = Attempts(Retries(), 2.0, time.clock)
    assert attempts.left_s() == 2.0
    time.now += 2.0
    with pytest.raises(errors.TimedOut, match=r"no answer within 2 s"):
        attempts.left_s()


def test_each_attempt_has_the_time_that_is_left(make: Make, time: Time) -> None:
    slow = refused(503, "not_ready", retry_after="10")
    fake = server(slow, slow, httpx.Response(200, text="{}"))
    with pytest.raises(errors.InvalidAnswer):
        make(fake, retries=Retries(chance=lambda: 0.0), connect_timeout_s=15.0)(
            "infer", "m", X, timeout_s=30.0
        )
    assert time.slept == [10, 10]
    left = [request.extensions["timeout"] for request in fake.asked]
    assert [each["read"] for each in left] == [30, 20, 10]
    assert [each["connect"] for each in left] == [15, 15, 10]
    assert [timeout_parameter(body) for body in fake.bodies] == [30_000_000, 20_000_000, 10_000_000]


def timeout_parameter(body: bytes) -> int | None:
    document = json.JSONDecoder().raw_decode(body.decode("latin-1"))[0]
    found: int | None = document["parameters"].get("timeout")
    return found


def test_who_waits_for_ever_says_so_to_nobody(make: Make) -> None:
    fake = server(httpx.Response(200, text="{}"))
    with pytest.raises(errors.InvalidAnswer):
        make(fake, timeout_s=math.inf)("infer", "m", X)
    assert timeout_parameter(fake.bodies[0]) is None
    assert fake.asked[0].extensions["timeout"]["read"] is None


def test_less_than_a_microsecond_is_not_for_ever(make: Make) -> None:
    fake = server(httpx.Response(200, text="{}"))
    with pytest.raises(errors.FoldserveError):
        make(fake)("infer", "m", X, timeout_s=1e-9)
    assert [timeout_parameter(body) for body in fake.bodies] in ([1], [])  # [] if it was too late


@pytest.mark.parametrize("name", ["live", "ready"])
@pytest.mark.parametrize(
    "failure",
    [refused(503, "not_ready"), httpx.ConnectError("refused"), httpx.ReadTimeout("slow")],
    ids=described,
)
def test_a_server_that_is_not_there_is_not_ready_and_asked_once(
    make: Make, name: str, failure: Any
) -> None:
    fake = server(failure)
    assert make(fake)(name) is False
    assert len(fake.asked) == 1


@pytest.mark.parametrize("name", ["live", "ready"])
def test_what_is_no_server_of_ours_is_an_error(make: Make, name: str) -> None:
    with pytest.raises(errors.RoutingError):
        make(server(httpx.Response(404, text="nothing here")))(name)


def test_every_attempt_that_failed_is_in_the_log(
    make: Make, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, "foldserve_client")
    make(server(refused(503, "not_ready", "starting"), fine(NO_MODELS)))("models")
    (record,) = [each for each in caplog.records if each.name == "foldserve_client"]
    assert "attempt 1 failed" in record.getMessage()
    assert "starting (503 not_ready, request r1)" in record.getMessage()


@pytest.mark.parametrize(
    "settings",
    [
        {"attempts": 0},
        {"first_delay_s": -1.0},
        {"longest_delay_s": math.nan},
    ],
)
def test_a_rule_out_of_bounds_is_refused(settings: dict[str, Any]) -> None:
    (name,) = settings
    with pytest.raises(errors.InvalidCall, match=name):
        Retries(**settings)


@pytest.mark.parametrize("name", ["timeout_s", "connect_timeout_s"])
@pytest.mark.parametrize("seconds", [0.0, -1.0, math.nan])
def test_a_time_that_is_none_is_refused(name: str, seconds: float) -> None:
    with pytest.raises(errors.InvalidCall, match=name):
        Client("http://fake", **{name: seconds})  # type: ignore[arg-type]  # one of the times


def test_a_call_of_no_time_is_refused(make: Make) -> None:
    fake = server(fine(NO_MODELS))
    with pytest.raises(errors.InvalidCall, match="timeout_s"):
        make(fake)("models", timeout_s=0.0)
    assert fake.asked == []
