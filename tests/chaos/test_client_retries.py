"""Clients that try again: what a server loses when it is killed or replaced, they get anyway."""

import asyncio
import os
import signal
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest

from foldserve_client import Client, Retries, errors
from tests.chaos.load import LONG
from tests.chaos.workers import replaced
from tests.service.servers import server

CLIENTS = 6
KILLS = 20 if LONG else 4
RESTARTS = 10 if LONG else 1

# A new server is there within some seconds on a loaded machine; a call may take longer than that.
PATIENT = Retries(attempts=100, longest_delay_s=0.5)
NEVER = Retries(attempts=1)


class Load:
    """Threads that ask all the time, each for the double of a number of its own.

    Args:
        url: of the server.
        retries: of the client that they share.
    """

    def __init__(self, url: str, retries: Retries) -> None:
        self.answered = 0
        self.failed: list[errors.FoldserveError] = []
        self._over = threading.Event()
        self._client = Client(url, retries=retries)
        self._pool = ThreadPoolExecutor(CLIENTS)
        self._working = [self._pool.submit(self._ask, number) for number in range(CLIENTS)]

    def end(self) -> None:
        """Let each thread have its last answer."""
        self._over.set()
        self.answered = sum(each.result() for each in self._working)
        self._pool.shutdown()
        self._client.close()

    def _ask(self, number: int) -> int:
        x = np.full((1, 3), number, np.float32)
        answered = 0
        while not self._over.is_set():
            try:
                found = self._client.infer("m", {"x": x})
            except errors.FoldserveError as error:
                self.failed.append(error)
            else:
                assert found["y"].tolist() == [[2 * number] * 3]
                answered += 1
        return answered


def test_killed_workers_cost_a_client_that_tries_again_nothing(
    root: Path, figure: Callable[..., None]
) -> None:
    with server(root, WORKERS=2, LOG_LEVEL="error") as running:
        load = Load(running.url, PATIENT)
        for turn in range(KILLS):
            victim = running.workers[turn % 2]
            os.kill(victim, signal.SIGKILL)
            asyncio.run(replaced(running, victim, workers=2))
        load.end()
    assert load.failed == []
    figure(
        "Client: kill -9 of workers, under its retries",
        kills=KILLS,
        requests=load.answered,
        lost=len(load.failed),
    )


def test_servers_that_are_replaced_cost_a_client_that_tries_again_nothing(
    root: Path, figure: Callable[..., None]
) -> None:
    """One after the other on the same port, ended or killed; between two of them there is none."""
    ends = [signal.SIGTERM, signal.SIGKILL] * RESTARTS
    with server(root) as first:
        port = first.port
        load = Load(first.url, PATIENT)
        first.stop(ends[0])
    for kind in ends[1:]:
        with server(root, PORT=port) as running:
            assert running.port == port
            running.stop(kind)
    with server(root, PORT=port) as last:
        load.end()
        assert last.stop() == 0
    assert load.failed == []
    figure(
        "Client: servers ended and killed on one port, under its retries",
        ends=len(ends),
        requests=load.answered,
        lost=len(load.failed),
    )


def test_a_client_that_never_tries_again_loses_something(root: Path) -> None:
    """The twin of the tests above: what they do to servers is felt."""
    with server(root) as running:
        load = Load(running.url, NEVER)
        running.stop(signal.SIGKILL)
        with Client(running.url, retries=NEVER) as client, pytest.raises(errors.ConnectionFailed):
            client.models()
        load.end()
    assert load.failed
