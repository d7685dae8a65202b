"""Service and client are deployed at different times; what they must agree on stands here."""

from collections import defaultdict
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest

import service.errors
from foldserve_client import errors, tensors
from foldserve_client.exchange import Answer
from foldserve_client.problems import error_of
from service.api.problems import problem
from service.artifact.signature import DATATYPES


def branch(leaf: type[Any], root: type[Any]) -> str:
    """The class right below the root that a leaf belongs to."""
    (found,) = [kind for kind in root.__subclasses__() if issubclass(leaf, kind)]
    return str(found.__name__)


def tree(root: type[Any]) -> list[tuple[str, str, str]]:
    """Every leaf below a root: its branch, its name, its code."""
    return [(branch(leaf, root), leaf.__name__, leaf.code) for leaf in leaves(root)]


def leaves(kind: type[Any]) -> Iterator[type[Any]]:
    for child in kind.__subclasses__():
        yield from leaves(child) if child.__subclasses__() else [child]


def test_the_client_knows_every_error_of_the_service_by_its_code() -> None:
    assert tree(errors.ServiceError) == tree(service.errors.ServiceError)


@pytest.mark.parametrize("path", ["/models/m/predict", "/v2/models/m/infer"])
@pytest.mark.parametrize("kind", [*leaves(service.errors.ServiceError)], ids=lambda kind: kind.code)
def test_every_error_as_the_service_writes_it_is_read_as_what_it_is(
    kind: type[service.errors.ServiceError], path: str
) -> None:
    written = problem(kind("a sentence"), path, "r1")
    headers = {name.lower(): value for name, value in written.headers.items()}
    found = error_of(Answer(written.status, headers | {"x-request-id": "r1"}, written.body))
    assert isinstance(found, errors.ServiceError)
    assert (type(found).__name__, found.code) == (kind.__name__, kind.code)
    assert (found.detail, found.status, found.request_id) == ("a sentence", kind.status, "r1")
    assert found.retry_after_s == (1.0 if "retry-after" in headers else None)


def test_what_has_no_code_is_of_the_branch_that_its_status_has_in_the_service() -> None:
    """Where all errors of a status are of one branch, and a client's call can meet them."""
    by_status: dict[int, set[str]] = defaultdict(set)
    for leaf in leaves(service.errors.ServiceError):
        by_status[leaf.status].add(branch(leaf, service.errors.ServiceError))
    told = {status: branches.pop() for status, branches in by_status.items() if len(branches) == 1}
    assert len(told) > 5
    for status, expected in told.items():
        assert type(error_of(Answer(status, {}, b""))).__name__ == expected, status


def test_the_datatypes_are_the_services() -> None:
    for datatype, dtype in DATATYPES.items():
        if datatype == "BYTES":
            continue
        array = np.zeros(1, dtype)
        assert tensors.datatype_of("x", array) == datatype
        back = tensors.to_array(datatype, [1], memoryview(bytes(array.itemsize)))
        assert back.dtype == array.dtype
