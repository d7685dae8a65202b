"""Answers that are errors, in every shape in which they come."""

import json
from typing import Any

import pytest

from foldserve_client import errors
from foldserve_client.exchange import Answer
from foldserve_client.problems import error_of


def answer(status: int, body: Any = b"", **headers: str) -> Answer:
    content = body if isinstance(body, bytes) else json.dumps(body).encode()
    return Answer(
        status, {name.replace("_", "-"): value for name, value in headers.items()}, content
    )


def service_error(status: int, body: Any = b"", **headers: str) -> errors.ServiceError:
    found = error_of(answer(status, body, **headers))
    assert isinstance(found, errors.ServiceError)
    return found


def test_problem_details_are_read() -> None:
    body = {"detail": "the queue is full", "code": "queue_full", "status": 429, "request_id": "r7"}
    found = service_error(429, body, retry_after="3")
    assert type(found) is errors.QueueFull
    assert (found.detail, found.status, found.code) == ("the queue is full", 429, "queue_full")
    assert (found.request_id, found.retry_after_s) == ("r7", 3.0)


def test_the_protocols_error_has_its_code_and_id_in_headers() -> None:
    found = service_error(
        404, {"error": "no such model"}, foldserve_error="model_not_found", x_request_id="r8"
    )
    assert type(found) is errors.ModelNotFound
    assert (found.detail, found.request_id) == ("no such model", "r8")


@pytest.mark.parametrize(
    ("status", "branch"),
    [
        (400, errors.ContentError),
        (401, errors.AccessError),
        (403, errors.AccessError),
        (404, errors.RoutingError),
        (408, errors.BodyError),
        (413, errors.BodyError),
        (418, errors.ContentError),
        (429, errors.CapacityError),
        (500, errors.RunError),
        (502, errors.CapacityError),
        (503, errors.CapacityError),
        (504, errors.CapacityError),
        (507, errors.RunError),
    ],
)
def test_what_has_no_code_is_the_branch_of_its_status(
    status: int, branch: type[errors.ServiceError]
) -> None:
    found = service_error(status, b"<h1>of a proxy</h1>")
    assert type(found) is branch
    assert found.code is None
    assert found.detail == "<h1>of a proxy</h1>"


def test_a_code_of_a_newer_server_is_kept() -> None:
    found = service_error(503, {"detail": "a meteor", "code": "struck_by_meteor"})
    assert type(found) is errors.CapacityError
    assert found.code == "struck_by_meteor"


@pytest.mark.parametrize(
    "body", [b"", b"\xff\xfe", b"[" * 100_000, [1], {"detail": 7, "code": []}, b"{" + b"x" * 10_000]
)
def test_a_body_of_any_kind_becomes_an_error(body: Any) -> None:
    found = service_error(500, body)
    assert type(found) is errors.RunError
    assert 0 < len(found.detail) <= 500


@pytest.mark.parametrize("status", [204, 206, 302, 304, 600])
def test_what_is_neither_an_error_nor_an_answer_is_none_of_ours(status: int) -> None:
    found = error_of(answer(status, location="https://login.example/"))
    assert type(found) is errors.InvalidAnswer
    assert str(status) in str(found)
    assert "https://login.example/" in str(found)
