"""A file is read again when it is another, and only then."""

import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from service.machine.watched_files import WatchedFiles, is_open_to_all, mark

PATIENCE_S = 30


class Reader:
    """Counts reads, each of which waits until it may end."""

    def __init__(self) -> None:
        self.begun = threading.Semaphore(0)
        self.may_end = threading.Semaphore(0)
        self.threads: set[int] = set()

    def __call__(self) -> None:
        self.threads.add(threading.get_ident())
        self.begun.release()
        assert self.may_end.acquire(timeout=PATIENCE_S)

    def read_once(self) -> bool:
        self.may_end.release()
        return self.begun.acquire(timeout=PATIENCE_S)

    def has_begun(self) -> bool:
        return self.begun.acquire(blocking=False)


@pytest.fixture
def reader() -> Iterator[Reader]:
    reader = Reader()
    yield reader
    for _ in range(10):
        reader.may_end.release()


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "file"
    path.write_text("one")
    return path


def ended() -> None:
    for thread in threading.enumerate():
        if thread.name == "reads again":
            thread.join(PATIENCE_S)


def test_what_has_not_changed_is_not_read(file: Path, reader: Reader) -> None:
    watched = WatchedFiles([file], reader, [mark(file)])
    watched.look()
    ended()
    assert not reader.has_begun()


def test_each_change_is_read_once_and_beside_the_one_who_looks(file: Path, reader: Reader) -> None:
    watched = WatchedFiles([file], reader, [mark(file)])
    changes: list[Callable[[], object]] = [
        lambda: file.write_text("three"),
        lambda: file.with_name("new").write_text("THREE") and file.with_name("new").rename(file),
        file.unlink,
        lambda: file.write_text("one"),
    ]
    for change in changes:
        change()
        watched.look()
        assert reader.read_once()
        ended()
        watched.look()
        ended()
        assert not reader.has_begun()
    assert threading.get_ident() not in reader.threads


def test_any_of_several_files_counts(file: Path, reader: Reader) -> None:
    other = file.with_name("other")
    watched = WatchedFiles([file, other], reader, [mark(file), mark(other)])
    other.write_text("is there")
    watched.look()
    assert reader.read_once()


def test_what_changes_while_it_is_read_is_read_again_and_never_twice_at_once(
    file: Path, reader: Reader
) -> None:
    watched = WatchedFiles([file], reader, [None])
    watched.look()
    assert reader.begun.acquire(timeout=PATIENCE_S)
    file.write_text("three")
    watched.look()
    assert not reader.has_begun()
    reader.may_end.release()
    ended()
    watched.look()
    assert reader.read_once()


def test_a_change_behind_a_link_is_one(tmp_path: Path, file: Path, reader: Reader) -> None:
    """As secrets are mounted: a link to a folder is put in the place of one to another."""
    new = tmp_path / "new"
    new.write_text("one")
    link = tmp_path / "link"
    link.symlink_to(file)
    watched = WatchedFiles([link], reader, [mark(link)])
    (tmp_path / "next").symlink_to(new)
    (tmp_path / "next").rename(link)
    watched.look()
    assert reader.read_once()


def test_who_can_read_a_file_is_seen(file: Path) -> None:
    file.chmod(0o600)
    assert not is_open_to_all(file)
    file.chmod(0o644)
    assert is_open_to_all(file)
    assert not is_open_to_all(file.with_name("none"))
