"""What servers answer, read and compared with what they have to."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import orjson

from benchmarks.serving.calls import Format
from benchmarks.serving.samples import Array

# Relative to the largest logit: float32 sums in other orders, as in a batch, are 1e-6 off.
TENSOR_TOLERANCE = 1e-4
# Of a probability: decoders and resizers of pictures differ by some units of 255.
IMAGE_TOLERANCE = 0.05


class WrongAnswerError(Exception):
    """A server did not answer what it had to; the message says what."""


@dataclass(frozen=True)
class Answer:
    """Either all logits, or the probabilities of the likeliest classes.

    Attributes:
        logits: Shape (classes,).
        ranking: Probabilities by class, likeliest first.
    """

    logits: Array | None = None
    ranking: Mapping[int, float] | None = None


def read(form: Format, headers: Mapping[str, str], body: bytes) -> Answer:
    """Read an answer in any of the forms that the servers have.

    Args:
        form: The request's; JSON may be the answer to any.
        headers: By lower-case names.
        body: Of a response with status 200.

    Raises:
        WrongAnswerError: It has none of these forms.
    """
    try:
        if length := headers.get("inference-header-content-length"):
            return Answer(np.frombuffer(body[int(length) :], np.float32))
        if form == "binary" and "json" not in headers.get("content-type", ""):
            return Answer(np.frombuffer(body, np.float32))
        return _from_json(orjson.loads(body))
    except (ValueError, KeyError, TypeError, IndexError) as error:
        raise WrongAnswerError(f"no answer at all: {body[:80]!r}") from error


def compare(answer: Answer, logits: Array) -> None:
    """Hold an answer against the logits of `session.run`.

    Raises:
        WrongAnswerError: It is another.
    """
    if answer.logits is not None:
        _compare_logits(answer.logits, logits)
    elif answer.ranking:
        _compare_ranking(answer.ranking, softmax(logits))
    else:
        raise WrongAnswerError("an empty answer")


def softmax(logits: Array) -> npt.NDArray[np.float64]:
    """Probabilities of logits (classes,)."""
    odds = np.exp(logits.astype(np.float64) - logits.max())
    probabilities: npt.NDArray[np.float64] = odds / odds.sum()
    return probabilities


def _compare_logits(found: Array, expected: Array) -> None:
    if found.shape != expected.shape:
        raise WrongAnswerError(f"{found.size} numbers in place of {expected.size}")
    error = float(np.abs(found - expected).max() / np.abs(expected).max())
    if not error <= TENSOR_TOLERANCE:  # so that NaN is refused
        raise WrongAnswerError(f"logits are {error:.1e} off")


def _compare_ranking(found: Mapping[int, float], expected: npt.NDArray[np.float64]) -> None:
    for index, probability in found.items():
        if not abs(probability - expected[index]) <= IMAGE_TOLERANCE:
            raise WrongAnswerError(
                f"class {index} has {probability:.3f} in place of {expected[index]:.3f}"
            )
    first = next(iter(found))
    if expected.max() - expected[first] > IMAGE_TOLERANCE:
        raise WrongAnswerError(f"class {first} is first in place of {expected.argmax()}")


def _from_json(content: Any) -> Answer:
    if isinstance(content, list):  # a batch, of one row
        return Answer(np.asarray(content[0], np.float32))
    if "predictions" in content:
        ranking = {int(one["index"]): one["probability"] for one in content["predictions"]}
        return Answer(ranking=ranking)
    numbers = content["logits"] if "logits" in content else content["outputs"][0]["data"]
    return Answer(np.asarray(numbers, np.float32))
