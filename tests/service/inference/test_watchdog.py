"""Runs that take too long: ended by the flag, and where it is not read, with their process."""

import subprocess
import sys
import threading
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from onnx import TensorProto, helper

from service.errors import ModelLoadError, OutOfMemory, RunTimedOut
from service.inference.loading import load
from service.inference.model import OnnxModel, RunOptions, open_model
from service.inference.watchdog import EXIT_STATUS, Turn, Watchdog
from service.settings import Settings
from tests.service import zoo

PATIENCE_S = 20
ENDLESS = np.array([[1e18]], np.float32)
ONE = np.array([[1.0]], np.float32)

DEAF = """
import time
from types import SimpleNamespace
from service.inference.watchdog import Watchdog
Watchdog(lambda: SimpleNamespace(terminate=False), timeout_s=0.05, deaf_s=0.05).begin()
time.sleep(60)
"""


@pytest.fixture
def counter(tmp_path: Path) -> OnnxModel:
    options = RunOptions("cpu", intra_op_threads=1, timeout_s=0.2)
    return open_model(zoo.put(tmp_path, "m", 1, zoo.counter()), options)


def watchdog(timeout_s: float, deaf_s: float = PATIENCE_S) -> Watchdog:
    return Watchdog(lambda: SimpleNamespace(terminate=False), timeout_s, deaf_s)


def test_a_run_that_takes_too_long_is_ended_and_the_model_says_so(counter: OnnxModel) -> None:
    with pytest.raises(RunTimedOut, match="took too long"):
        counter.run({"x": ENDLESS})
    assert counter.hangs
    assert counter.run({"x": ONE})["y"].tolist() == [[1]]
    assert not counter.hangs
    counter.terminate()


def test_runs_beside_one_that_is_ended_go_on(counter: OnnxModel) -> None:
    ended = threading.Event()

    def hang() -> None:
        with pytest.raises(RunTimedOut):
            counter.run({"x": ENDLESS})
        ended.set()

    thread = threading.Thread(target=hang)
    thread.start()
    while not ended.is_set():
        assert counter.run({"x": ONE})["y"].tolist() == [[1]]
    thread.join(PATIENCE_S)
    counter.terminate()


def test_runs_in_time_share_the_options_of_the_runtime() -> None:
    watched = watchdog(timeout_s=PATIENCE_S)
    first = watched.begin()
    watched.end(first)
    assert watched.begin() is first
    assert watched.begin() is not first
    watched.close()


def test_the_turn_of_a_run_that_was_late_is_nobodys() -> None:
    """The thread that looks may just be about to end it."""
    watched = watchdog(timeout_s=0.1)
    late = watched.begin()
    wait_until_ended(late)
    watched.end(late)
    assert watched.hangs
    assert watched.begin() is not late
    watched.close()


def wait_until_ended(turn: Turn) -> None:
    looked = threading.Event()
    for _ in range(PATIENCE_S * 100):
        if turn.was_ended:
            return
        looked.wait(0.01)
    raise AssertionError("the run was not ended")


def test_what_begins_after_the_end_is_ended_from_the_beginning() -> None:
    watched = watchdog(timeout_s=PATIENCE_S)
    under_way = watched.begin()
    watched.close()
    assert under_way.options.terminate
    assert watched.begin().options.terminate


def test_a_process_whose_run_reads_no_flag_ends_by_itself(root: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-c", DEAF], cwd=root, check=False, timeout=PATIENCE_S, capture_output=True
    )
    assert done.returncode == EXIT_STATUS
    assert b"a run that was ended goes on" in done.stdout


def test_a_model_whose_first_run_hangs_is_not_served(tmp_path: Path) -> None:
    path = zoo.put(tmp_path, "m", 1, zoo.endless())
    options = RunOptions("cpu", intra_op_threads=1, timeout_s=0.2)
    with pytest.raises(ModelLoadError, match="fails on its first run"):
        load(path, options, Settings(), open_model)


def test_a_run_without_the_memory_for_it_says_so(tmp_path: Path) -> None:
    """The output is of 4 EiB, which no allocator promises."""
    model = zoo.graph_model(
        [helper.make_node("Expand", ["one", "x"], ["y"])],
        [zoo.info("x", (2,), TensorProto.INT64)],
        [zoo.info("y", (None, None))],
        [zoo.constant("one", 1.0)],
    )
    opened = open_model(zoo.put(tmp_path, "m", 1, model), RunOptions("cpu", intra_op_threads=1))
    with pytest.raises(OutOfMemory, match="fewer rows"):
        opened.run({"x": np.array([2**30, 2**30], np.int64)})
    assert opened.run({"x": np.array([1, 2], np.int64)})["y"].tolist() == [[1, 1]]
