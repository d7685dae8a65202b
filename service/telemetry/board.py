"""Counters in memory that all workers share, so that each of them can tell the whole.

    board   one slot a worker
    slot    pid, phase, was ready, beats, claims, doubles in use; then series, one behind the other
    series  length of the key, number of values, whether it is a gauge; the key, the values

A slot is written by its worker alone and read by all, without locks: a double is stored at
once, and a slot says that a series is in use when it is complete. A series names itself, so
a reader need not know it beforehand, and a worker that takes over the slot of a dead one
goes on with its counters; its gauges have no value until they are set again.
"""

import json
import math
import mmap
import os
from array import array
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping
from enum import Enum
from typing import NamedTuple

from service.errors import BoardFull

# One number for each API key: ten times as many as there may be, so that two seldom want one place.
_RATES = 1024

# Of address space: a page costs memory once it is written. Enough for the histograms of a
# thousand models, each with the times of thirty batch sizes.
_SLOT_BYTES = 4 * 2**20

_DOUBLE_BYTES = 8
_PID, _PHASE, _WAS_READY, _BEATS, _CLAIMS, _USED, _FIRST = range(7)
_HEAD_DOUBLES = 3

Key = tuple[str, ...]
"""What a series counts: a name, then the values of its labels."""

Rule = Callable[[Iterable[float]], float]


class Phase(Enum):
    """Where a service is in its life."""

    STARTING = "starting"
    SERVING = "serving"
    DRAINING = "draining"
    CLOSED = "closed"


_PHASES = tuple(Phase)


class Series(NamedTuple):
    """Values under one key; NaN stands for none."""

    key: Key
    values: "memoryview[float]"
    is_gauge: bool


class Slot:
    """The counters of one worker.

    Args:
        doubles: the slot's part of the shared memory.
    """

    def __init__(self, doubles: "memoryview[float]") -> None:
        self._doubles = doubles
        self._bytes = doubles.cast("B")
        self._known: dict[Key, memoryview[float]] = {}

    @property
    def pid(self) -> int:
        """The process that writes here; 0 where there is none."""
        return int(self._doubles[_PID])

    @property
    def was_ready(self) -> bool:
        """Whether a worker of this slot has ever been ready."""
        return bool(self._doubles[_WAS_READY])

    @property
    def phase(self) -> Phase:
        """Where the worker is in its life."""
        return _PHASES[int(self._doubles[_PHASE])]

    @phase.setter
    def phase(self, phase: Phase) -> None:
        self._doubles[_PHASE] = _PHASES.index(phase)
        if phase is Phase.SERVING:
            self._doubles[_WAS_READY] = 1.0

    @property
    def beats(self) -> float:
        """How many signs of life the workers of this slot have given."""
        return self._doubles[_BEATS]

    @property
    def restarts(self) -> int:
        """How many workers have taken over this slot from one before them."""
        return max(0, int(self._doubles[_CLAIMS]) - 1)

    def beat(self) -> None:
        """Give a sign of life."""
        self._doubles[_BEATS] += 1.0

    def claim(self) -> None:
        """Write here from now on, as this process."""
        self._doubles[_CLAIMS] += 1.0
        self._enter(os.getpid(), Phase.STARTING)
        self._known = {each.key: each.values for each in self.series()}

    def release(self) -> None:
        """Note that the process that wrote here is gone."""
        self._enter(0, Phase.CLOSED)

    def open(self, key: Key, size: int, *, is_gauge: bool = False) -> "memoryview[float]":
        """Return the values of a series; those of a new one are 0, or none if it is a gauge.

        Args:
            key: of the series.
            size: how many values it has, always the same for one key.
            is_gauge: whether its values end with the process.

        Raises:
            BoardFull: there is no room for it.
        """
        if key not in self._known:
            self._known[key] = self._append(key, size, is_gauge=is_gauge)
        return self._known[key]

    def series(self) -> Iterator[Series]:
        """Yield what was opened, in that order."""
        start, end = _FIRST, _FIRST + int(self._doubles[_USED])
        while start < end:
            text_bytes, size, is_gauge = map(int, self._doubles[start : start + _HEAD_DOUBLES])
            text = (start + _HEAD_DOUBLES) * _DOUBLE_BYTES
            key = tuple(json.loads(bytes(self._bytes[text : text + text_bytes])))
            values = _values(start, text_bytes)
            start = values + size
            yield Series(key, self._doubles[values:start], bool(is_gauge))

    def _enter(self, pid: int, phase: Phase) -> None:
        self._doubles[_PID] = pid
        self.phase = phase
        for each in self.series():
            if each.is_gauge:
                _clear(each.values)

    def _append(self, key: Key, size: int, *, is_gauge: bool) -> "memoryview[float]":
        text = json.dumps(key).encode()
        start = _FIRST + int(self._doubles[_USED])
        first = _values(start, len(text))
        values = self._doubles[first : first + size]
        if len(values) < size:
            raise BoardFull(f"the memory that workers share has no room to count {' '.join(key)}")
        at = (start + _HEAD_DOUBLES) * _DOUBLE_BYTES
        self._bytes[at : at + len(text)] = text
        self._doubles[start : start + _HEAD_DOUBLES] = array("d", (len(text), size, is_gauge))
        if is_gauge:
            _clear(values)
        self._doubles[_USED] = first + size - _FIRST
        return values


class Board:
    """The slots of all workers; made before the fork, so that all of them see the same.

    Args:
        workers: that share it.
        slot_bytes: of one worker, a multiple of the page's.
    """

    def __init__(self, workers: int = 1, slot_bytes: int = _SLOT_BYTES) -> None:
        size = slot_bytes // _DOUBLE_BYTES
        slots_bytes = workers * slot_bytes
        memory = memoryview(mmap.mmap(-1, slots_bytes + _RATES * _DOUBLE_BYTES)).cast("d")
        self.slots = tuple(Slot(memory[i * size : (i + 1) * size]) for i in range(workers))
        self.rates = memory[workers * size :]  # of API keys; written by every worker

    @property
    def never_ready(self) -> int:
        """How many workers have not been ready once."""
        return sum(not slot.was_ready for slot in self.slots)

    @property
    def first_serving(self) -> Slot | None:
        """The slot of the first worker that serves: it does what one of them must do."""
        return next((slot for slot in self.slots if slot.phase is Phase.SERVING), None)

    def totals(self, rules: Mapping[str, Rule]) -> dict[Key, list[float]]:
        """Return the values of all workers as one: added up, or by the rule for a key's name.

        Args:
            rules: by name; each is given the values of the workers that have one.
        """
        found: dict[Key, list[memoryview[float]]] = defaultdict(list)
        for slot in self.slots:
            for each in slot.series():
                if not math.isnan(each.values[0]):
                    found[each.key].append(each.values)
        return {
            key: [rules.get(key[0], math.fsum)(values) for values in zip(*columns, strict=True)]
            for key, columns in found.items()
        }


def _values(start: int, text_bytes: int) -> int:
    """Return where the values of the series begin whose head is at ``start``."""
    return start + _HEAD_DOUBLES + math.ceil(text_bytes / _DOUBLE_BYTES)


def _clear(gauge: "memoryview[float]") -> None:
    for i in range(len(gauge)):
        gauge[i] = math.nan
