"""The file of a multipart form."""

import pytest

from service.api.multipart import file_part, is_multipart
from service.errors import InvalidMultipart

TYPE = "multipart/form-data; boundary=xyz"


def part(name: str, data: bytes, disposition: str = "Content-Disposition") -> bytes:
    head = f'--xyz\r\n{disposition}: form-data; name="{name}"; filename="a.png"\r\n'
    return head.encode() + b"Content-Type: image/png\r\n\r\n" + data + b"\r\n"


END = b"--xyz--\r\n"


def test_the_part_named_file_is_given_to_the_byte() -> None:
    data = bytes(range(256)) + b"\r\n--xy not quite a boundary"
    assert file_part(part("other", b"1") + part("file", data) + END, TYPE) == data


def test_the_name_of_a_header_has_no_case() -> None:
    assert file_part(part("file", b"1", "CONTENT-disposition") + END, TYPE) == b"1"


def test_an_empty_file_is_a_file() -> None:
    assert file_part(part("file", b"") + END, TYPE) == b""


@pytest.mark.parametrize(
    ("body", "content_type", "message"),
    [
        (END, "multipart/form-data", "has no boundary"),
        (part("picture", b"1") + END, TYPE, "no part named file"),
        (part("file", b"1"), TYPE, "no closing boundary"),
        (b"nonsense", TYPE, "damaged"),
        (b"", TYPE, "no closing boundary"),
        (b"--xyz\r\n\r\n1\r\n" + END, TYPE, "no part named file"),
    ],
)
def test_a_body_without_a_file_is_refused(body: bytes, content_type: str, message: str) -> None:
    with pytest.raises(InvalidMultipart, match=message):
        file_part(body, content_type)


def test_a_body_of_very_many_parts_is_refused() -> None:
    assert file_part(part("other", b"") * 63 + part("file", b"1") + END, TYPE) == b"1"
    with pytest.raises(InvalidMultipart, match="more than 64 parts"):
        file_part(part("other", b"") * 64 + part("file", b"1") + END, TYPE)


@pytest.mark.parametrize(
    ("content_type", "multipart"),
    [(TYPE, True), ("Multipart/Form-Data", True), ("image/png", False), ("", False)],
)
def test_only_a_form_is_multipart(content_type: str, multipart: bool) -> None:
    assert is_multipart(content_type) is multipart
