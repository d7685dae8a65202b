"""One measurement of one plan, with a real server and a real load."""

from pathlib import Path

import numpy as np
import pytest

from service.settings import Settings
from service.tuning.candidates import NotMeasured
from service.tuning.repositories import Source
from service.tuning.requests import make_requests
from service.tuning.serving import served
from service.tuning.subject import ask
from service.tuning.trial import (
    Requests,
    Trials,
    plan_settings,
    right_answers,
    run_load,
    server_settings,
)
from tests.service import keys, zoo
from tests.service.certificates import files
from tests.service.servers import taken_port
from tests.service.tuning.records import candidate

pytestmark = pytest.mark.slow

# Enough for some answers on a busy machine.
SECONDS = 0.3


@pytest.fixture(scope="module")
def doublers(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A repository."""
    models = tmp_path_factory.mktemp("models")
    zoo.put(models, "doubler", 1, zoo.doubler())
    return models


@pytest.fixture(scope="module")
def requests(doublers: Path) -> Requests:
    with served(doublers, {"workers": 1}) as server:
        subject = ask(server.port, "doubler", "1")
        bodies = make_requests("doubler", subject.versions[0], "binary", {})
        return Requests(bodies, right_answers(server.port, bodies))


@pytest.fixture
def trials(doublers: Path, tmp_path: Path, requests: Requests) -> Trials:
    source = Source("doubler", doublers / "doubler")
    return Trials(source, tmp_path / "single", Settings(), {"1": requests}, clients=4)


def test_a_plan_is_measured(trials: Trials) -> None:
    found = trials.measure(candidate(workers=2, size=8), SECONDS)
    assert found.throughput > 0
    assert 0 < found.p50_ms <= found.p99_ms
    assert found.alone_ms is not None
    # Two workers; one that does nothing holds more than 20 MB.
    assert found.memory_mb is None or found.memory_mb > 50


def test_a_plan_that_answers_wrongly_is_out(trials: Trials, requests: Requests) -> None:
    wrong = [{name: array + 1 for name, array in each.items()} for each in requests.answers]
    others = Trials(
        trials.source, trials.place, trials.settings, {"1": Requests(requests.bodies, wrong)}, 1
    )
    with pytest.raises(NotMeasured, match="it answered wrongly"):
        others.measure(candidate(), SECONDS)


def test_a_plan_whose_server_refuses_is_out(trials: Trials, requests: Requests) -> None:
    two_rows = [body.replace(b'"shape":[1,', b'"shape":[2,') for body in requests.bodies]
    assert two_rows != requests.bodies
    others = Trials(
        trials.source,
        trials.place,
        trials.settings,
        {"1": Requests(two_rows, requests.answers)},
        1,
    )
    with pytest.raises(NotMeasured, match=r"^\d+ errors; an answer had status 400: "):
        others.measure(candidate(), SECONDS)


def test_a_plan_that_the_server_does_not_start_with_is_out_in_its_words(
    trials: Trials, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FOLDSERVE_MAX_QUEUE_SIZE", "4")
    with pytest.raises(NotMeasured, match=r"the server did not start: .*max_queue_size is smaller"):
        trials.measure(candidate(size=8), SECONDS)


def test_the_operators_other_settings_are_the_servers(
    doublers: Path, monkeypatch: pytest.MonkeyPatch, requests: Requests
) -> None:
    monkeypatch.setenv("FOLDSERVE_MAX_BODY_BYTES", "1024")
    large = requests.bodies[0].split(b"\r\n")[0] + b"\r\nHost: x\r\nContent-Length: 1025\r\n\r\n"
    with (
        served(doublers, {"workers": 1}) as server,
        pytest.raises(NotMeasured, match="status 413"),
    ):
        right_answers(server.port, [large + bytes(1025)])


def test_who_may_ask_and_how_is_not_measured(
    doublers: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, requests: Requests
) -> None:
    monkeypatch.setenv("FOLDSERVE_API_KEYS", str(keys.put(tmp_path)))
    monkeypatch.setenv("FOLDSERVE_CORS_ORIGINS", "*")
    for name, value in files(tmp_path).choices().items():
        monkeypatch.setenv(f"FOLDSERVE_{name}", str(value))
    with taken_port() as port, monkeypatch.context() as its_own:
        its_own.setenv("FOLDSERVE_CONTROL_PORT", str(port))
        with served(doublers, {"workers": 1}) as server:
            assert len(right_answers(server.port, requests.bodies)) == len(requests.bodies)


def test_the_right_answers_are_those_of_the_model(requests: Requests) -> None:
    for body, answer in zip(requests.bodies, requests.answers, strict=True):
        sent = np.frombuffer(body[-12:], np.float32)
        np.testing.assert_array_equal(answer["y"], 2 * sent)


def test_a_load_that_finds_no_server_is_no_measurement() -> None:
    with taken_port() as port:
        pass  # nobody listens there any more
    with pytest.raises(NotMeasured, match="the load ended early; the server may have ended"):
        run_load(port, [b"GET / HTTP/1.1"], 1, SECONDS)
    with pytest.raises(NotMeasured, match="one request at a time is not answered: "):
        right_answers(port, [b"GET / HTTP/1.1"])


def test_buckets_of_the_operator_end_where_the_plans_batches_do() -> None:
    settings = Settings(batch_buckets=(1, 4, 32))
    assert plan_settings(candidate(2, 3, 8), settings) == {
        "workers": 2,
        "intra_op_threads": 3,
        "max_batch_size": 8,
        "batch_buckets": (1, 4, 8),
    }
    assert plan_settings(candidate(size=32), settings)["batch_buckets"] == (1, 4, 32)
    assert "batch_buckets" not in plan_settings(candidate(), Settings())


@pytest.mark.parametrize(("port", "expected"), [(None, None), (8001, 0)])
def test_the_port_of_the_operators_grpc_is_left_to_the_operator(
    port: int | None, expected: int | None
) -> None:
    assert server_settings(candidate(), Settings(grpc_port=port))["grpc_port"] == expected
