"""NVIDIA's asyncio HTTP client, unchanged, against a real server."""

import pytest

from tests.clients import expected
from tests.clients.conftest import Served, Talk
from tests.clients.documents import Document
from tests.clients.expected import CASES, MODELS
from tests.clients.zoo import Case


@pytest.fixture(scope="module")
def said(served: Served, talk: Talk) -> Document:
    return talk("triton_http_aio", served.http)


def test_the_server_is_live_and_ready_and_says_what_it_is(said: Document) -> None:
    assert said["live"] is True
    assert said["ready"] is True
    assert said["server"]["name"] == "foldserve"


@pytest.mark.parametrize("case", MODELS.values(), ids=MODELS)
def test_every_model_is_ready_and_shows_its_signature(said: Document, case: Case) -> None:
    assert said["models"][case.model]["ready"] is True
    expected.check_metadata(case, said["models"][case.model]["metadata"])


@pytest.mark.parametrize("case", CASES.values(), ids=CASES)
def test_every_model_answers_what_numpy_says_in_every_form(said: Document, case: Case) -> None:
    forms = said["cases"][case.id]
    assert len(forms) == (4 if case.as_json else 2)
    for answer in forms.values():
        expected.check_answer(case, answer)


def test_an_error_is_the_clients_own(said: Document) -> None:
    assert said["refused"]["status"] == "404"
    assert said["refused"]["error"].startswith("there is no model of this name")


def test_many_requests_at_once_are_answered_each(said: Document) -> None:
    assert len(said["at once"]) == 20
    for outputs in said["at once"]:
        expected.check_outputs(CASES["two_in_two_out"], outputs)
