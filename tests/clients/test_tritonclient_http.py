"""NVIDIA's blocking HTTP client, unchanged, against a real server."""

import pytest

from tests.clients import expected
from tests.clients.conftest import Served, Talk
from tests.clients.documents import Document
from tests.clients.expected import CASES, MODELS, REQUESTS
from tests.clients.zoo import Case


@pytest.fixture(scope="module")
def said(served: Served, talk: Talk) -> Document:
    return talk("triton_http", served.http)


def test_the_server_is_live_and_ready_and_says_what_it_is(said: Document) -> None:
    assert said["live"] is True
    assert said["ready"] is True
    assert said["server"]["name"] == "foldserve"
    assert "binary_tensor_data" in said["server"]["extensions"]


@pytest.mark.parametrize("case", MODELS.values(), ids=MODELS)
def test_every_model_is_ready_and_shows_its_signature(said: Document, case: Case) -> None:
    assert said["models"][case.model]["ready"] is True
    expected.check_metadata(case, said["models"][case.model]["metadata"])


@pytest.mark.parametrize("case", CASES.values(), ids=CASES)
def test_every_model_answers_what_numpy_says_in_every_form(said: Document, case: Case) -> None:
    forms = said["cases"][case.id]
    assert len(forms) == (7 if case.as_json else 3)
    for answer in forms.values():
        expected.check_answer(case, answer)


def test_outputs_classes_and_ids_are_as_asked_for(said: Document) -> None:
    expected.check_several(said["several"])


@pytest.mark.parametrize("name", REQUESTS)
def test_a_request_ends_as_it_should(said: Document, name: str) -> None:
    found, due = said["requests"][name], REQUESTS[name]
    if isinstance(due, list):
        assert found == {"value": due}
        return
    status, message = due
    assert found["status"] == str(status)
    assert found["error"].startswith(message)


def test_many_requests_at_once_are_answered_each(said: Document) -> None:
    assert len(said["asynchronous"]) == 20
    for outputs in said["asynchronous"]:
        expected.check_outputs(CASES["two_in_two_out"], outputs)
