"""NVIDIA's gRPC client, unchanged, against a real server."""

from pathlib import Path

import pytest

from tests.clients import expected
from tests.clients.conftest import Served, Talk
from tests.clients.documents import Document
from tests.clients.expected import CASES, MODELS, REQUESTS
from tests.clients.zoo import Case
from tests.service import servers

# gRPC's words for what the same request is over HTTP.
CODES = {
    400: "StatusCode.INVALID_ARGUMENT",
    404: "StatusCode.NOT_FOUND",
    415: "StatusCode.INVALID_ARGUMENT",
    504: "StatusCode.DEADLINE_EXCEEDED",
}


@pytest.fixture(scope="module")
def said(served: Served, talk: Talk) -> Document:
    return talk("triton_grpc", f"{served.grpc},{served.control_grpc}")


def test_several_workers_share_the_port(repository: Path, talk: Talk) -> None:
    with servers.server(repository, WORKERS=2, GRPC_PORT=0, CONTROL_GRPC_PORT=0) as server:
        said = talk("triton_grpc", f"{server.grpc},{server.control_grpc}")
        assert server.stop() == 0
    for case in CASES.values():
        expected.check_answer(case, said["cases"][case.id])


def test_the_server_is_live_and_ready_and_says_what_it_is(said: Document) -> None:
    assert said["live"] is True
    assert said["ready"] is True
    assert said["server"]["name"] == "foldserve"


@pytest.mark.parametrize("case", MODELS.values(), ids=MODELS)
def test_every_model_is_ready_and_shows_its_signature(said: Document, case: Case) -> None:
    assert said["models"][case.model]["ready"] is True
    expected.check_metadata(case, said["models"][case.model]["metadata"])


@pytest.mark.parametrize("case", CASES.values(), ids=CASES)
def test_every_model_answers_what_numpy_says(said: Document, case: Case) -> None:
    expected.check_answer(case, said["cases"][case.id])


def test_outputs_classes_and_ids_are_as_asked_for(said: Document) -> None:
    expected.check_several(said["several"])


@pytest.mark.parametrize("name", REQUESTS)
def test_a_request_ends_as_it_should(said: Document, name: str) -> None:
    found, due = said["requests"][name], REQUESTS[name]
    if isinstance(due, list):
        assert found == {"value": due}
        return
    status, message = due
    assert found["status"] == CODES[status]
    assert found["error"].startswith(message)


def test_a_client_that_does_not_wait_is_told_so(said: Document) -> None:
    # Where the runs before took longer than it waits, it is refused at once.
    told = {"StatusCode.DEADLINE_EXCEEDED", "StatusCode.RESOURCE_EXHAUSTED"}
    assert said["impatient"]["status"] in told


@pytest.mark.parametrize("algorithm", ["gzip", "deflate"])
def test_messages_may_be_packed(said: Document, algorithm: str) -> None:
    case = CASES["fixed_batch"]
    expected.check_answer(case, said["compressed"][algorithm])


def test_many_calls_at_once_are_answered_each(said: Document) -> None:
    assert len(said["asynchronous"]) == 20
    for outputs in said["asynchronous"]:
        expected.check_outputs(CASES["two_in_two_out"], outputs)


def test_models_are_looked_after(said: Document) -> None:
    managed = said["management"]
    assert managed["config"]["config"]["max_batch_size"] == 32
    assert managed["config"]["config"]["input"][0]["dims"] == ["3"]
    assert managed["counted"] == 3
    assert (managed["gone"], managed["back"]) == (False, True)
    assert managed["refused"]["status"] == "StatusCode.UNAVAILABLE"
    states = {each["name"]: each["state"] for each in managed["index"]["models"]}
    assert states["open_batch"] == "UNAVAILABLE"
    assert states["fixed_batch"] == "READY"
