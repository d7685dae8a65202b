"""Counters that several processes share."""

import math
import os
from collections.abc import Callable

import pytest

from service.errors import BoardFull
from service.telemetry.board import Board, Phase

PAGE = 4096


def in_another_process(work: Callable[[], None]) -> None:
    pid = os.fork()
    if pid == 0:  # pragma: no cover -- the measurement of coverage does not follow
        try:
            work()
        finally:
            os._exit(0)
    assert os.waitpid(pid, 0)[1] == 0


def test_what_another_process_counts_is_seen_here() -> None:
    board = Board(workers=2)

    def count() -> None:
        board.slots[1].claim()
        board.slots[1].open(("requests", "/v2", "200"), 1)[0] += 3

    in_another_process(count)
    board.slots[0].open(("requests", "/v2", "200"), 1)[0] += 1
    board.slots[0].open(("requests", "/v2", "404"), 1)[0] += 1
    assert board.totals({}) == {("requests", "/v2", "200"): [4], ("requests", "/v2", "404"): [1]}
    assert board.slots[1].pid not in {0, os.getpid()}


def test_a_worker_that_takes_over_a_slot_goes_on_with_its_counters_but_not_its_gauges() -> None:
    board = Board()

    def count() -> None:
        slot = board.slots[0]
        slot.claim()
        slot.open(("runs",), 2)[1] += 1
        slot.open(("waiting",), 1, is_gauge=True)[0] = 5

    in_another_process(count)
    assert board.totals({}) == {("runs",): [0, 1], ("waiting",): [5]}
    in_another_process(count)
    assert board.totals({}) == {("runs",): [0, 2], ("waiting",): [5]}
    board.slots[0].release()
    assert board.totals({}) == {("runs",): [0, 2]}


def test_a_series_keeps_its_place_whatever_its_key_is_made_of() -> None:
    slot = Board().slots[0]
    keys = [("", "ä\0\n"), ("x" * 1000,), (), ("a", "b"), ("a b",), ('["a","b"]',)]
    for size, key in enumerate(keys, 1):
        slot.open(key, size)[size - 1] = size
    found = {each.key: list(each.values) for each in slot.series()}
    assert found == {key: [0] * (size - 1) + [size] for size, key in enumerate(keys, 1)}
    assert slot.open(("a", "b"), 4)[3] == 4


def test_a_full_slot_says_what_it_cannot_count_and_keeps_what_it_has() -> None:
    board = Board(workers=2, slot_bytes=PAGE)
    slot = board.slots[0]
    slot.open(("first",), 400)
    with pytest.raises(BoardFull, match="no room to count second of many"):
        slot.open(("second", "of", "many"), 200)
    slot.open(("third",), 1)[0] = 1
    assert [each.key for each in slot.series()] == [("first",), ("third",)]
    assert list(board.slots[1].series()) == []


def test_a_series_may_end_where_its_slot_ends() -> None:
    slot = Board(slot_bytes=PAGE).slots[0]
    slot.open(("x",), PAGE // 8 - 6 - 3 - 1)[-1] = 1  # the slot's head, the series', its key
    assert next(slot.series()).values[-1] == 1
    with pytest.raises(BoardFull):
        slot.open(("y",), 1)


def test_a_rule_for_a_name_stands_in_for_the_sum() -> None:
    board = Board(workers=3)
    for slot, value in zip(board.slots, (3, math.nan, 2), strict=True):
        slot.open(("ready", "digits"), 1, is_gauge=True)[0] = value
    assert board.totals({"ready": min}) == {("ready", "digits"): [2]}


def test_a_worker_was_ready_for_good_once_it_was_ready() -> None:
    board = Board(workers=2)
    slot = board.slots[0]
    slot.claim()
    assert (slot.pid, slot.phase, board.never_ready) == (os.getpid(), Phase.STARTING, 2)
    slot.phase = Phase.SERVING
    assert (slot.phase, board.never_ready) == (Phase.SERVING, 1)
    slot.release()
    assert (slot.pid, slot.phase, board.never_ready) == (0, Phase.CLOSED, 1)
    slot.claim()
    assert (slot.phase, board.never_ready) == (Phase.STARTING, 1)


def test_the_first_worker_that_serves_is_another_once_it_is_gone() -> None:
    board = Board(workers=3)
    assert board.first_serving is None
    for slot in board.slots[1:]:
        slot.phase = Phase.SERVING
    assert board.first_serving is board.slots[1]
    board.slots[1].release()
    assert board.first_serving is board.slots[2]
