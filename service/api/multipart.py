"""The part named ``file`` of a multipart body that is in memory already (RFC 7578)."""

from typing import TYPE_CHECKING

from python_multipart.exceptions import FormParserError
from python_multipart.multipart import MultipartParser, parse_options_header

from service.errors import InvalidMultipart

if TYPE_CHECKING:
    from python_multipart.multipart import MultipartCallbacks  # a name for type checkers only

FIELD = "file"

# A form of ours has one; each part costs the parser as much as megabytes of a file do.
_MOST_PARTS = 64


def is_multipart(content_type: str) -> bool:
    """Return whether a content type announces a multipart form."""
    return content_type.partition(";")[0].strip().lower() == "multipart/form-data"


def file_part(body: bytes, content_type: str) -> bytes:
    """Return the bytes of the part named ``file``.

    Raises:
        InvalidMultipart: the body is damaged, unfinished, has no such part, or too many.
    """
    boundary = parse_options_header(content_type)[1].get(b"boundary")
    if not boundary:
        raise InvalidMultipart("the multipart content type has no boundary")
    parts = _Parts()
    try:
        parser = MultipartParser(boundary, parts.callbacks())
        parser.write(body)
        parser.finalize()
    except FormParserError as error:
        raise InvalidMultipart(f"the multipart body is damaged: {error}") from None
    if not parts.complete:
        raise InvalidMultipart("the multipart body has no closing boundary")
    if parts.file is None:
        raise InvalidMultipart(f"the multipart body has no part named {FIELD}")
    return parts.file


class _Parts:
    """Keeps the part that is wanted; of several the last one counts."""

    def __init__(self) -> None:
        self.file: bytes | None = None
        self.complete = False
        self._count = 0
        self._header = b""
        self._value = b""
        self._name = ""
        self._data = bytearray()

    def callbacks(self) -> "MultipartCallbacks":
        return {
            "on_part_begin": self._begin,
            "on_header_field": self._on_header,
            "on_header_value": self._on_value,
            "on_header_end": self._on_header_end,
            "on_part_data": self._on_data,
            "on_part_end": self._on_part_end,
            "on_end": self._on_end,
        }

    def _begin(self) -> None:
        self._count += 1
        if self._count > _MOST_PARTS:
            raise InvalidMultipart(f"the multipart body has more than {_MOST_PARTS} parts")
        self._name = ""
        self._data = bytearray()

    def _on_header(self, data: bytes, start: int, end: int) -> None:
        self._header += data[start:end]

    def _on_value(self, data: bytes, start: int, end: int) -> None:
        self._value += data[start:end]

    def _on_header_end(self) -> None:
        if self._header.lower() == b"content-disposition":
            name = parse_options_header(self._value)[1].get(b"name", b"")
            self._name = name.decode("utf-8", "replace")
        self._header = self._value = b""

    def _on_data(self, data: bytes, start: int, end: int) -> None:
        self._data += data[start:end]

    def _on_part_end(self) -> None:
        if self._name == FIELD:
            self.file = bytes(self._data)

    def _on_end(self) -> None:
        self.complete = True
