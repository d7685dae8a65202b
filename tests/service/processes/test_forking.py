"""Processes for workers, where there is no room for one more."""

import errno
import os
import signal
import socket
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from service.errors import StartError
from service.processes.forking import SIGNALS, fork
from service.processes.handover import Handover
from service.processes.supervisor import Supervisor, Work
from service.processes.watch import Watch
from service.telemetry.board import Board

real_fork = os.fork


class Forks:
    """Forks, but for those that are numbered."""

    def __init__(self, *refused: int) -> None:
        self.asked = 0
        self._refused = refused

    def __call__(self) -> int:
        self.asked += 1
        if self.asked in self._refused:
            raise OSError(errno.EAGAIN, os.strerror(errno.EAGAIN))
        return real_fork()


@pytest.fixture
def listener() -> Iterator[socket.socket]:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        yield listener


def supervise(listener: socket.socket, work: Work) -> None:
    board = Board(1)
    watch = Watch(board.slots, patience_s=60.0)
    with closing(Handover()) as handover:
        Supervisor([listener], board, work, lambda _line: None, 10.0, watch, handover).run()


def test_signals_arrive_after_a_fork_that_failed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "fork", Forks(1))
    with pytest.raises(OSError, match="temporarily"):
        fork(lambda _end: 0, [])
    assert not signal.pthread_sigmask(signal.SIG_BLOCK, ()) & set(SIGNALS)


def test_a_worker_that_cannot_be_forked_anew_is_tried_again(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, listener: socket.socket
) -> None:
    monkeypatch.setattr(os, "fork", forks := Forks(2))
    lived = tmp_path / "lived"

    def work(_number: int, end: socket.socket, _history: object) -> int:
        end.sendall(b'{"ready": []}\n')
        if not lived.exists():  # the first one ends by itself, the second when it is told
            lived.touch()
            return 0
        os.kill(os.getppid(), signal.SIGTERM)
        return 0 if end.recv(100) else 1

    supervise(listener, work)
    assert forks.asked == 3


def test_a_start_without_room_for_a_process_is_refused(
    monkeypatch: pytest.MonkeyPatch, listener: socket.socket
) -> None:
    monkeypatch.setattr(os, "fork", Forks(1))
    with pytest.raises(StartError, match="worker 0 cannot be started"):
        supervise(listener, lambda *_: 0)
