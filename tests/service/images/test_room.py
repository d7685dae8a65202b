"""Pixels in work at once are bounded, whoever many threads there are."""

import threading
from concurrent.futures import ThreadPoolExecutor

import pytest

from service.errors import InvalidImage
from service.images.preprocessing import image_tensor
from service.images.room import Room
from tests.service.pictures import grey, image_input

PATIENCE_S = 20


def test_images_wait_until_there_is_room() -> None:
    room = Room(10)
    began, go = threading.Event(), threading.Event()

    def small() -> None:
        with room.taken(4):
            pass

    def large() -> None:
        began.set()
        with room.taken(7):
            assert go.is_set()

    with ThreadPoolExecutor() as threads:
        with room.taken(4):
            small()  # there is room for both
            waiting = threads.submit(large)
            assert began.wait(PATIENCE_S)
            behind = threads.submit(small)
            assert not waiting.done()
            go.set()
        waiting.result(PATIENCE_S)
        behind.result(PATIENCE_S)


def test_room_is_free_again_behind_an_image_and_behind_one_that_fails() -> None:
    room = Room(16)
    for _ in range(3):
        assert image_tensor(grey(7), image_input(4, 4, "L"), 16, room=room).min() == 7
        cut = grey(7)[:-20]
        with pytest.raises(InvalidImage):
            image_tensor(cut, image_input(4, 4, "L"), 16, room=room)


def test_never_more_pixels_than_there_is_room_for() -> None:
    room, lock, most, now = Room(10), threading.Lock(), 0, 0

    def work(pixels: int) -> None:
        nonlocal most, now
        with room.taken(pixels):
            with lock:
                now += pixels
                most = max(most, now)
            with lock:
                now -= pixels

    with ThreadPoolExecutor(16) as threads:
        list(threads.map(work, [1, 3, 10, 2, 7] * 200))
    assert 0 < most <= 10
    assert now == 0
