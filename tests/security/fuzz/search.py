"""A search in the process itself, which may die of it.

Each kind leaves a line of JSON in the folder. What is found lies there too, and so does the input
that the process was at when it ended.
"""

import faulthandler
import json
import logging
import mmap
import resource
import signal
import time
import traceback
import warnings
from collections.abc import Callable, Iterator, Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from random import Random
from types import TracebackType

import structlog

from tests.security.fuzz.target import corpus

# Of one input: a thousand times what the longest one takes.
PATIENCE_S = 20.0

_MEBIBYTE = 2**20
_LARGEST = 4 * _MEBIBYTE
_MOST_FOUND = 10

# Of addresses: an input that asks for more is a find, and the machine's other work lives on.
_MOST_MEMORY = 16 * 2**30

# Inputs after which caches are full and lazy imports are done; what is taken then is growth.
_SETTLED = 500


@dataclass(frozen=True)
class Kind:
    """What is searched.

    Args:
        seeds: whole and right.
        damage: damages one of them.
        read: returns whether an input is taken; what else it raises is a find.
    """

    seeds: Callable[[], list[bytes]]
    damage: Callable[[Random, bytes], bytes]
    read: Callable[[bytes], bool]


@dataclass
class Told:
    """What a search tells.

    Args:
        name: the kind's.
        tried: inputs.
        taken: those that were not refused.
        found: the errors that should not be.
        slowest_s: seconds of the slowest input.
        grown_mebibytes: of memory at its most, since the first inputs.
    """

    name: str
    tried: int = 0
    taken: int = 0
    found: list[str] = field(default_factory=list)
    slowest_s: float = 0.0
    grown_mebibytes: float = 0.0


class At:
    """A file that holds the input that is tried, even if the process dies of it."""

    def __init__(self, path: Path) -> None:
        with path.open("wb+") as file:
            file.truncate(_LARGEST)
            self._room = mmap.mmap(file.fileno(), _LARGEST)
        self._path = path

    def hold(self, data: bytes) -> None:
        self._room[:8] = len(data).to_bytes(8, "little")
        self._room[8 : 8 + len(data)] = data

    def __enter__(self) -> "At":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, _error: object, _trace: TracebackType | None
    ) -> None:
        self._room.close()
        if kind is None:
            self._path.unlink()


def held(path: Path) -> bytes:
    """Return the input at which a process ended."""
    data = path.read_bytes()
    return data[8 : 8 + int.from_bytes(data[:8], "little")]


def inputs(kind: Kind, name: str, seconds: float, seed: int) -> Iterator[bytes]:
    """Yield what was found once, the seeds, and damaged ones for so many seconds."""
    whole = kind.seeds()
    yield from corpus(name)
    yield from whole
    chance = Random(seed)  # noqa: S311 -- no secret
    until = time.monotonic() + seconds
    while time.monotonic() < until:
        yield kind.damage(chance, chance.choice(whole))


def search(
    name: str, kind: Kind, folder: Path, seconds: float, seed: int, patience_s: float = PATIENCE_S
) -> Told:
    """Try inputs of one kind; the process ends at one that takes longer than ``patience_s``."""
    told, before = Told(name), 0
    places: set[str] = set()
    with At(folder / f"{name}.last") as at:
        for data in inputs(kind, name, seconds, seed):
            at.hold(data[: _LARGEST - 8])
            signal.setitimer(signal.ITIMER_REAL, patience_s)
            began = time.perf_counter()
            try:
                told.taken += kind.read(data)
            except Exception as error:  # noqa: BLE001 -- every kind of it is a find
                _note(told, places, folder, data, error)
            told.slowest_s = max(told.slowest_s, time.perf_counter() - began)
            told.tried += 1
            if told.tried == _SETTLED:
                before = _most_memory()
        signal.setitimer(signal.ITIMER_REAL, 0)
    told.grown_mebibytes = (_most_memory() - (before or _most_memory())) / _MEBIBYTE
    return told


def _note(told: Told, places: set[str], folder: Path, data: bytes, error: Exception) -> None:
    """Keep the first input of each error, by the line that raises it."""
    *_, last = traceback.extract_tb(error.__traceback__)
    place = f"{Path(last.filename).name}:{last.lineno}"
    if place in places or len(places) >= _MOST_FOUND:
        return
    places.add(place)
    path = folder / f"{told.name}-{len(places)}"
    path.write_bytes(data)
    words = "".join(traceback.format_exception(error))[-2000:]
    told.found.append(f"{path}: {place}: {words}")


def _most_memory() -> int:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


def main(
    kinds: Mapping[str, Kind],
    folder: Path,
    seconds: float,
    seed: int,
    patience_s: float = PATIENCE_S,
) -> None:
    """Search one kind after the other."""
    resource.setrlimit(resource.RLIMIT_AS, (_MOST_MEMORY, _MOST_MEMORY))
    faulthandler.enable()
    faulthandler.register(signal.SIGALRM, chain=True)  # tells where it hangs, and ends
    warnings.simplefilter("ignore")  # as the service has it
    logging.disable(logging.CRITICAL)
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.CRITICAL))
    for name, kind in kinds.items():
        told = search(name, kind, folder, seconds, seed, patience_s)
        (folder / f"{name}.json").write_text(json.dumps(asdict(told)))
