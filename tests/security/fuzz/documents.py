"""Damaged JSON that is JSON still: a value somewhere is another, is gone, is there more often."""

import json
import random
from typing import Any

# What readers compute with: bounds of whole numbers and of floats, empty and nested things, texts
# that are numbers, and the words of the protocols in places where they do not belong.
_VALUES: tuple[Any, ...] = (
    *(None, True, False, 0, 1, -1, 2, 3, 255, 256, 2**31, 2**53 + 1, 2**63 - 1, 2**63, 2**64),
    *(-(2**63), -(2**63) - 1, 10**30, 0.5, -0.0, 1.0, 1e-320, 3.5e38, 1e308, float("inf")),
    *("", "x", "a", "1", "é", "\0", "\ud800", "../x", "NaN", "FP32", "BYTES", "x" * 2000, "=" * 4),
    *([], [[]], {}, [1, 2, 3], [[1, 2, 3]], ["a", "b", "c"], {"b64": "AAAA"}, {"x": [1]}),
    {"binary_data_size": 12},
    {"binary_data_output": True, "timeout": 1},
    {"binary_data": True, "classification": 2},
)
_MOST_TIMES = 40
_DEEPEST = 60


def damaged_document(chance: random.Random, text: bytes) -> bytes:
    """Return a document with one to three values damaged; what is no JSON comes back as it is."""
    try:
        document = json.loads(text)
    except (ValueError, RecursionError):
        return text
    for _ in range(chance.randint(1, 3)):
        document = _damaged(chance, document)
    written = json.dumps(document, ensure_ascii=chance.random() < 0.5)
    return written.encode("utf-8", "surrogatepass")


def _damaged(chance: random.Random, value: Any) -> Any:
    """Return a value in which one thing is changed, somewhere inside or all of it."""
    if isinstance(value, dict) and value and chance.random() < 0.9:
        return _object(chance, value)
    if isinstance(value, list) and value and chance.random() < 0.9:
        return _list(chance, value)
    return _another(chance, value)


def _object(chance: random.Random, value: dict[str, Any]) -> dict[str, Any]:
    key = chance.choice(list(value))
    step = chance.random()
    if step < 0.08:
        return {name: each for name, each in value.items() if name != key}
    if step < 0.16:
        new = chance.choice([key + "x", "", "data", "parameters", chance.choice(list(value)) + " "])
        return {**value, new: value[key]}
    return {**value, key: _damaged(chance, value[key])}


def _list(chance: random.Random, value: list[Any]) -> list[Any]:
    at = chance.randrange(len(value))
    step = chance.random()
    if step < 0.08:
        return value[:at] + value[at + 1 :]
    if step < 0.16:
        return value[:at] + value[at : at + 1] * chance.randint(2, _MOST_TIMES) + value[at:]
    if step < 0.2:
        return value[::-1]
    return [*value[:at], _damaged(chance, value[at]), *value[at + 1 :]]


def _another(chance: random.Random, value: Any) -> Any:
    step = chance.random()
    if step < 0.15:
        for _ in range(chance.randint(1, _DEEPEST)):
            value = [value]
        return value
    if step < 0.3 and isinstance(value, int):
        return value + chance.choice([-1, 1, 2**8, 2**16, 2**32])
    if step < 0.3 and isinstance(value, str):
        at = chance.randint(0, len(value))
        return value[:at] + chance.choice(["", " ", "\0", "é", "\U0001f600", "x" * 99]) + value[at:]
    return chance.choice(_VALUES)
