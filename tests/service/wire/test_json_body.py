"""Bodies of many parts are refused before they are read."""

import pytest

from service.errors import InvalidJSON, InvalidRequest
from service.wire.inference_request import read_request
from service.wire.json_body import read_json
from service.wire.v1_request import read_v1_request
from tests.service.wire.wire import one_input

MANY = 2**20 + 1


@pytest.mark.parametrize("part", [b"[],", b"{},", b'"[",'])
def test_a_body_of_too_many_parts_is_refused(part: bytes) -> None:
    body = b"[" + part * MANY + b"0]"
    for given in (body, memoryview(body)):
        with pytest.raises(InvalidRequest, match="more than 1048576 lists and objects"):
            read_json(given)


def test_numbers_are_no_parts() -> None:
    assert len(read_json(b"[" + b"0," * MANY + b"0]")) == MANY + 1


def test_what_is_no_json_is_told_by_its_place() -> None:
    with pytest.raises(InvalidJSON, match=r"the body is not JSON: .* at byte 1"):
        read_json(b"[NaN]")


def test_the_bodies_of_both_protocols_are_bounded() -> None:
    parts = b"[]," * MANY
    with pytest.raises(InvalidRequest, match="lists and objects"):
        read_request(b'{"inputs":[' + parts + b"0]}", one_input())
    with pytest.raises(InvalidRequest, match="lists and objects"):
        read_v1_request(b'{"instances":[' + parts + b"0]}", one_input())
