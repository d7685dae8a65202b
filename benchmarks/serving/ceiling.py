"""`session.run` in a loop in two threads, without a server; a server that batches may exceed it.

A program of its own, so that nothing else of the benchmark runs beside it:

    python -m benchmarks.serving.ceiling digits models jpeg 2.0

It prints one line of JSON, the fields of a row. With `jpeg` every run decodes and resizes a
photograph before, as the peers do.
"""

import json
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Sequence
from functools import partial
from itertools import chain
from pathlib import Path

import numpy as np
import onnxruntime  # type: ignore[import-untyped]  # it has no types

from benchmarks.serving.calls import Format
from benchmarks.serving.models import ROOT, ServedModel, described
from benchmarks.serving.samples import from_jpeg, photographs

NAME = "session.run"
LOAD = "loop"
FORMS: tuple[Format, ...] = ("binary", "jpeg")
THREADS = 2
SPARE_S = 60
MS = 1e3


def measure(model: ServedModel, form: Format, seconds: float) -> dict[str, object]:
    """What a row says of the ceiling, measured in another process."""
    module = "benchmarks.serving.ceiling"
    command = [sys.executable, "-m", module, model.name, str(model.repository), form, str(seconds)]
    done = subprocess.run(  # noqa: S603 - this module
        command, cwd=ROOT, capture_output=True, text=True, timeout=seconds + SPARE_S, check=False
    )
    if done.returncode != 0:
        return {"failure": done.stderr.strip()[-200:]}
    found: dict[str, object] = json.loads(done.stdout)
    return found


def main(name: str, repository: str, form: str, seconds: str) -> None:
    """Run, and print what was found."""
    model = described(name, Path(repository))
    works = [_work(model, form) for _ in range(THREADS)]
    for work in works:
        work()
    latencies: list[list[float]] = [[] for _ in works]
    begin, cpu = time.perf_counter(), time.process_time()
    end = begin + float(seconds)
    threads = [
        threading.Thread(target=_loop, args=(work, end, taken))
        for work, taken in zip(works, latencies, strict=True)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    took, used = time.perf_counter() - begin, time.process_time() - cpu
    print(json.dumps(_row([*chain(*latencies)], took, used)))  # noqa: T201 - a program


def _work(model: ServedModel, form: str) -> Callable[[], object]:
    """One run of a session of its own, of one thread."""
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    providers = ["CPUExecutionProvider"]
    session = onnxruntime.InferenceSession(model.path, options, providers=providers)
    jpeg = photographs()[0]
    tensor = from_jpeg(jpeg, model.shape)[None]
    if form == "binary":
        return partial(session.run, None, {model.input: tensor})
    return lambda: session.run(None, {model.input: from_jpeg(jpeg, model.shape)[None]})


def _loop(work: Callable[[], object], end: float, taken: list[float]) -> None:
    now = time.perf_counter()
    while now < end:
        work()
        before, now = now, time.perf_counter()
        taken.append(now - before)


def _row(latencies: Sequence[float], seconds: float, cpu_s: float) -> dict[str, object]:
    count = len(latencies)
    return {
        "requests": count,
        "seconds": seconds,
        "rate": count / seconds,
        "p50_ms": float(np.percentile(latencies, 50)) * MS,
        "p99_ms": float(np.percentile(latencies, 99)) * MS,
        "cpu_ms": cpu_s * MS / count,
    }


if __name__ == "__main__":
    main(*sys.argv[1:])
