"""The JSON of an answer, member by member; what is not as it must be is an ``InvalidAnswer``.

Members that are not asked for are overlooked: a newer server may say more.
"""

import json
from collections.abc import Mapping
from typing import Any, TypeVar

from foldserve_client.errors import InvalidAnswer

Member = TypeVar("Member")


class Fields:
    """A JSON object.

    Args:
        where: it stands in the answer, for the messages; empty for the answer itself.
        item: what is an object.

    Raises:
        InvalidAnswer: it is none.
    """

    def __init__(self, where: str, item: object) -> None:
        if not isinstance(item, dict):
            raise InvalidAnswer(f"{where or 'the answer'} is not a JSON object")
        self._where = where
        self._item: Mapping[str, Any] = item

    def text(self, name: str) -> str:
        """Return a text."""
        return self._typed(name, "a text", str)

    def text_or_none(self, name: str) -> str | None:
        """Return a text that may be null."""
        return None if self._item.get(name) is None else self.text(name)

    def truth_or_none(self, name: str) -> bool | None:
        """Return what is true, false or null."""
        return None if self._item.get(name) is None else self._typed(name, "true or false", bool)

    def whole(self, name: str) -> int:
        """Return a whole number of 0 or more."""
        value = self._item.get(name)
        if type(value) is not int or value < 0:
            raise InvalidAnswer(f"{self._path(name)} is not a whole number of 0 or more")
        return value

    def number(self, name: str) -> float:
        """Return a number."""
        value = self._item.get(name)
        if type(value) not in (int, float):
            raise InvalidAnswer(f"{self._path(name)} is not a number")
        return float(self._item[name])

    def texts(self, name: str) -> tuple[str, ...]:
        """Return a list of texts."""
        found = self._list(name)
        if not all(isinstance(each, str) for each in found):
            raise InvalidAnswer(f"{self._path(name)} is not a list of texts")
        return tuple(found)

    def sizes(self, name: str, *, least: int = 0) -> tuple[int, ...]:
        """Return a shape; where -1 is allowed, it stands for a size that is not fixed."""
        found = self._list(name)
        if not all(type(each) is int and each >= least for each in found):
            raise InvalidAnswer(f"{self._path(name)} is not a list of sizes")
        return tuple(found)

    def object(self, name: str) -> "Fields":
        """Return an object."""
        return Fields(self._path(name), self._item.get(name))

    def mapping_or_none(self, name: str) -> Mapping[str, Any] | None:
        """Return an object that may be null, as it is."""
        value = self._item.get(name)
        return None if value is None else self.object(name)._item

    def objects(self, name: str) -> "list[Fields]":
        """Return a list of objects."""
        return [Fields(f"{self._path(name)}[{i}]", each) for i, each in enumerate(self._list(name))]

    def objects_or_none(self, name: str) -> "list[Fields] | None":
        """Return a list of objects that may be null."""
        return None if self._item.get(name) is None else self.objects(name)

    def _list(self, name: str) -> list[Any]:
        return self._typed(name, "a list", list)

    def _typed(self, name: str, what: str, kind: type[Member]) -> Member:
        value = self._item.get(name)
        if not isinstance(value, kind):
            raise InvalidAnswer(f"{self._path(name)} is not {what}")
        return value

    def _path(self, name: str) -> str:
        return f"{self._where}.{name}" if self._where else name


def fields(body: bytes) -> Fields:
    """Return the JSON object that a body is.

    Raises:
        InvalidAnswer: it is none.
    """
    try:
        return Fields("", json.loads(body))
    except (ValueError, RecursionError):
        raise InvalidAnswer("the answer is not JSON") from None
