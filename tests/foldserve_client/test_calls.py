"""Where a call goes, and what its answer must be."""

from typing import Any

import pytest

from foldserve_client import calls, errors
from foldserve_client.exchange import Answer, Call


def path(call: Call[Any]) -> str:
    return call.request(1.0).path


@pytest.mark.parametrize(
    ("call", "expected"),
    [
        (calls.live(), "/v2/health/live"),
        (calls.ready(), "/v2/health/ready"),
        (calls.metadata(), "/v2"),
        (calls.models(), "/models"),
        (calls.model("digits"), "/models/digits"),
        (calls.statistics(None, None), "/v2/models/stats"),
        (calls.statistics("digits", None), "/v2/models/digits/stats"),
        (calls.statistics("digits", "2"), "/v2/models/digits/versions/2/stats"),
        (calls.predict("digits", None, b"", None), "/models/digits/predict"),
        (calls.predict("digits", "2", b"", 3), "/models/digits/versions/2/predict?top_k=3"),
        (calls.infer("digits", None, {}, None), "/v2/models/digits/infer"),
        (calls.model("a/b?c=d#e%2F é"), "/models/a%2Fb%3Fc%3Dd%23e%252F%20%C3%A9"),
    ],
)
def test_a_call_goes_to_its_path_whatever_the_name(call: Call[Any], expected: str) -> None:
    assert path(call) == expected


@pytest.mark.parametrize("name", ["", ".", "..", None, 7])
def test_a_name_that_is_another_path_is_refused(name: Any) -> None:
    with pytest.raises(errors.InvalidCall, match=repr(name)):
        calls.model(name)


@pytest.mark.parametrize("version", ["", "..", 1])
def test_a_version_that_is_no_name_is_refused(version: Any) -> None:
    with pytest.raises(errors.InvalidCall, match=f"a version .* {version!r}"):
        calls.predict("digits", version, b"", None)


def test_a_version_of_no_model_is_refused() -> None:
    with pytest.raises(errors.InvalidCall, match="'1'"):
        calls.statistics(None, "1")


GOOD = (
    b'{"model":"m","version":"1","predictions":[{"label":"a","index":0,"probability":1}],"new":1}'
)


def test_what_a_newer_server_says_beside_is_overlooked() -> None:
    found = calls.predict("m", None, b"", None).read(Answer(200, {}, GOOD))
    assert (found.best.label, found.best.probability) == ("a", 1.0)


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        (b"{", b"", "not JSON"),
        (GOOD, b"[]", "the answer is not a JSON object"),
        (GOOD, b"[" * 100_000, "not JSON"),
        (b'"m"', b"1", "model is not a text"),
        (b'"predictions":', b'"other":', "predictions is not a list"),
        (b'[{"label":"a","index":0,"probability":1}]', b"[]", "predictions is empty"),
        (b'[{"label":"a","index":0,"probability":1}]', b"[7]", r"predictions\[0\] is not a JSON"),
        (b'"a"', b"null", r"predictions\[0\]\.label is not a text"),
        (b'"index":0', b'"index":-1', r"predictions\[0\]\.index is not a whole number"),
        (b'"index":0', b'"index":true', r"predictions\[0\]\.index is not a whole number"),
        (b'"probability":1', b'"probability":"1"', r"predictions\[0\]\.probability is not a"),
    ],
)
def test_an_answer_that_is_not_what_it_must_be_is_refused_by_the_members_name(
    old: bytes, new: bytes, said: str
) -> None:
    with pytest.raises(errors.InvalidAnswer, match=said):
        calls.predict("m", None, b"", None).read(Answer(200, {}, GOOD.replace(old, new)))


MODEL = (
    b'{"name":"m","version":"1","state":"ready","versions":[{"version":"1","state":"ready",'
    b'"reason":null,"provider":"CPU","batched":true,"inputs":[{"name":"x","datatype":"FP32",'
    b'"shape":[-1,3]}],"outputs":[],"manifest":{}}]}'
)


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        (b"[-1,3]", b"[-2,3]", r"versions\[0\]\.inputs\[0\]\.shape is not a list of sizes"),
        (b"[-1,3]", b"3", r"versions\[0\]\.inputs\[0\]\.shape is not a list"),
        (b'"batched":true', b'"batched":1', r"versions\[0\]\.batched is not true or false"),
        (b'"manifest":{}', b'"manifest":[]', r"versions\[0\]\.manifest is not a JSON object"),
        (b'"reason":null', b'"reason":1', r"versions\[0\]\.reason is not a text"),
    ],
)
def test_a_model_that_is_not_what_it_must_be_is_refused(old: bytes, new: bytes, said: str) -> None:
    assert calls.model("m").read(Answer(200, {}, MODEL)).versions[0].batched is True
    with pytest.raises(errors.InvalidAnswer, match=said):
        calls.model("m").read(Answer(200, {}, MODEL.replace(old, new)))


def test_extensions_are_texts() -> None:
    body = b'{"name":"n","version":"1","extensions":["a",1]}'
    with pytest.raises(errors.InvalidAnswer, match="extensions is not a list of texts"):
        calls.metadata().read(Answer(200, {}, body))
