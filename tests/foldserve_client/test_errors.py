"""The tree of errors: as it is drawn, and as exceptions must be."""

import pickle
import re
from collections.abc import Iterator

import pytest

from foldserve_client import errors


def leaves(
    kind: type[errors.ServiceError] = errors.ServiceError,
) -> Iterator[type[errors.ServiceError]]:
    for child in kind.__subclasses__():
        yield from leaves(child) if child.__subclasses__() else [child]


def test_the_drawing_in_the_docstring_is_the_tree() -> None:
    drawn = re.findall(
        r"│   [├└]── (\w+) +(\w+)$|    [├└]── (\w+) +(\w+)$", errors.__doc__ or "", re.MULTILINE
    )
    found = [(a or c, b or d) for a, b, c, d in drawn]
    assert found == [(leaf.__name__, leaf.code) for leaf in leaves()]


def test_every_error_can_be_imported_from_the_package() -> None:
    assert {leaf.__name__ for leaf in leaves()} <= set(errors.__all__)
    assert all(hasattr(errors, name) for name in errors.__all__)


def test_an_error_survives_the_way_to_another_process() -> None:
    error = errors.QueueFull("full", 429, "queue_full", "r1", 2.0)
    copy = pickle.loads(pickle.dumps(error))  # noqa: S301 -- it was just written here
    assert type(copy) is errors.QueueFull
    assert vars(copy) == vars(error)
    assert str(copy) == "full (429 queue_full, request r1)"


@pytest.mark.parametrize(
    ("error", "builtin"),
    [
        (errors.TimedOut, TimeoutError),
        (errors.ConnectionFailed, ConnectionError),
        (errors.InvalidCall, ValueError),
    ],
)
def test_who_catches_pythons_own_catches_ours(
    error: type[errors.FoldserveError], builtin: type[Exception]
) -> None:
    assert issubclass(error, builtin)
    assert str(error("a sentence")) == "a sentence"


def test_what_is_not_known_is_not_in_the_message() -> None:
    assert str(errors.RunError("a proxy's word", 502)) == "a proxy's word (502)"
