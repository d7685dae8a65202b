import numpy as np
import orjson
import pytest

from benchmarks.serving.answers import Answer, WrongAnswerError, compare, read, softmax

LOGITS = np.array([1.0, 3.0, -2.0], np.float32)
OFF = LOGITS + np.array([0, 0.01, 0], np.float32)
OCTETS = {"content-type": "application/octet-stream"}
JSON = {"content-type": "application/json"}


def ranking(*pairs: tuple[int, float]) -> Answer:
    content = {"predictions": [{"index": i, "probability": float(p)} for i, p in pairs]}
    return read("jpeg", JSON, orjson.dumps(content))


def test_logits_are_read_from_every_form():
    data = LOGITS.tobytes()
    plain = orjson.dumps({"logits": LOGITS.tolist()})
    protocol = orjson.dumps({"outputs": [{"name": "y", "data": LOGITS.tolist()}]})
    answers = [
        read("binary", OCTETS, data),
        read("binary", {"inference-header-content-length": "2"}, b"{}" + data),
        read("binary", JSON, plain),
        read("json", OCTETS, plain),
        read("json", JSON, protocol),
    ]
    for answer in answers:
        assert answer.logits is not None
        assert answer.logits.tolist() == LOGITS.tolist()
        compare(answer, LOGITS)


@pytest.mark.parametrize("body", [b"", b"<html>", b"{}", b"[]", b'{"outputs": []}', b"null"])
def test_what_is_no_answer_is_refused(body):
    with pytest.raises(WrongAnswerError, match="no answer"):
        read("json", JSON, body)


@pytest.mark.parametrize(
    "wrong",
    [OFF, LOGITS[:2], np.full(3, np.nan, np.float32), LOGITS[::-1], np.zeros(0, np.float32)],
)
def test_wrong_logits_are_refused(wrong):
    with pytest.raises(WrongAnswerError):
        compare(Answer(wrong), LOGITS)


def test_rounding_is_not_wrong():
    compare(Answer(LOGITS * np.float32(1 + 1e-6)), LOGITS)


def test_the_right_ranking_is_accepted():
    odds = softmax(LOGITS)
    compare(ranking((1, odds[1]), (0, odds[0] + 0.01)), LOGITS)


def test_wrong_rankings_are_refused():
    odds = softmax(LOGITS)
    with pytest.raises(WrongAnswerError, match="class 1 has"):
        compare(ranking((1, odds[1] - 0.1)), LOGITS)
    with pytest.raises(WrongAnswerError, match="class 0 is first"):
        compare(ranking((0, odds[0]), (1, odds[1])), LOGITS)
    with pytest.raises(WrongAnswerError, match="empty"):
        compare(ranking(), LOGITS)
