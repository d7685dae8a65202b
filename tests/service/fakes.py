"""Models that a test holds, fails and lets go."""

import threading
import time
from collections.abc import Mapping

import numpy as np
import pytest

from service.artifact.manifest import Manifest
from service.artifact.signature import Array, Signature, TensorSpec
from service.batching.pace import Pace
from service.errors import InferenceFailed

PATIENCE_S = 20

_LEARN = Pace.learn


class FakeModel:
    """y = 2 x; with ``held`` every run waits for ``go``."""

    def __init__(self, *, held: bool = False, manifest: Manifest | None = None) -> None:
        spec = ("batch", 3)
        self.signature = Signature(
            (TensorSpec("x", "FP32", spec),), (TensorSpec("y", "FP32", spec),)
        )
        self.manifest = manifest
        self.provider = "Fake"
        self.hangs = False
        self.runs: list[list[list[float]]] = []
        self.poison: float | None = None
        self.began = threading.Semaphore(0)
        self.go = threading.Event()
        if not held:
            self.go.set()
        self.terminated = False

    def run(self, inputs: Mapping[str, Array]) -> dict[str, Array]:
        x = np.asarray(inputs["x"], np.float32)
        self.runs.append(x.tolist())
        self.began.release()
        assert self.go.wait(PATIENCE_S)
        if self.terminated or (self.poison is not None and (x == self.poison).any()):
            raise InferenceFailed("the model failed on this input")
        return {"y": x * 2}

    def terminate(self) -> None:
        self.terminated = True
        self.go.set()


def learn_runs_of(seconds: float, monkeypatch: pytest.MonkeyPatch) -> None:
    """Let admission learn of each run from now on that it lasts so long, as if it had."""
    monkeypatch.setattr(Pace, "learn", lambda pace, rows, _: _LEARN(pace, rows, seconds))


class LeapingClock:
    """Stands in for the module ``time`` of the runs, so that each lasts so many seconds more."""

    def __init__(self, seconds: float) -> None:
        self._seconds = seconds
        self._calls = 0

    def monotonic(self) -> float:
        self._calls += 1
        return time.monotonic() + self._calls * self._seconds
