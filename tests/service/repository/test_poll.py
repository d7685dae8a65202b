"""What a change in the repository's folder makes of what is served; no clock."""

import json
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import structlog

from service.errors import LoadFailed, StartError
from service.repository.control import Look
from service.repository.entries import Entry, file_of, find_models
from service.repository.poll import Poller

pytestmark = pytest.mark.anyio


class Polled:
    """A folder, and what the workers were told of it."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.told: list[tuple[str, list[str], list[str]]] = []
        self.served: set[str] = set()
        self.is_first = True
        self.fails = False
        self.missing = False
        self.ignored: set[str] = set()
        self.poller = Poller(
            self.find,
            lambda: self.served,
            self.refresh,
            lambda: self.is_first,
            lambda: file_of(root / "lock.json"),
        )

    def find(self, on_ignored: Callable[[str, str], None]) -> Iterator[Entry]:
        if self.missing:
            raise StartError("cannot list the model repository")
        for folder in self.ignored:
            on_ignored(folder, "it cannot be listed")
        return (e for e in find_models(self.root, on_ignored) if e.name not in self.ignored)

    async def refresh(self, name: str, seen: Look) -> None:
        json.dumps(seen)  # so that it can be told to another process
        whole = [version for version, files in seen.items() if files]
        self.told.append((name, whole, [version for version in seen if not seen[version]]))
        self.served.add(name)
        if self.fails:
            raise LoadFailed("version 1: it is broken")

    async def turns(self, count: int) -> list[tuple[str, list[str], list[str]]]:
        for _ in range(count):
            await self.poller.turn()
        taken, self.told[:] = self.told[:], []
        return taken


def write(root: Path, version: int, content: str, name: str = "m") -> Path:
    path = root / name / str(version) / "model.onnx"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(content)
    return path


@pytest.fixture
def polled(tmp_path: Path) -> Polled:
    write(tmp_path, 1, "one")
    return Polled(tmp_path)


async def test_what_is_there_is_told_once_after_two_equal_looks(polled: Polled) -> None:
    assert await polled.turns(1) == []
    assert await polled.turns(1) == [("m", ["1"], [])]
    assert await polled.turns(3) == []


async def test_a_version_that_came_and_a_new_model_are_told(polled: Polled) -> None:
    await polled.turns(2)
    write(polled.root, 2, "two")
    write(polled.root, 1, "new", "faces")
    assert await polled.turns(3) == [
        ("m", ["1"], ["2"]),
        ("faces", ["1"], []),
        ("m", ["1", "2"], []),
    ]


async def test_a_file_that_still_grows_is_not_told(polled: Polled) -> None:
    await polled.turns(2)
    path = write(polled.root, 1, "half")
    for _ in range(5):
        assert await polled.turns(1) == []
        path.write_text(path.read_text() + "more")
    assert await polled.turns(2) == [("m", ["1"], [])]


async def test_a_file_that_was_put_in_the_place_of_another_of_its_size_is_told(
    polled: Polled,
) -> None:
    await polled.turns(2)
    new = write(polled.root, 7, "two", "store")
    new.replace(polled.root / "m" / "1" / "model.onnx")
    new.parent.rmdir()
    new.parent.parent.rmdir()
    assert await polled.turns(2) == [("m", ["1"], [])]


async def test_what_is_hidden_and_folders_without_a_model_are_not_told(polled: Polled) -> None:
    await polled.turns(2)
    (polled.root / "m" / ".2").mkdir()
    (polled.root / "m" / "1" / ".model.onnx.part").write_text("half")
    (polled.root / "m" / "3").mkdir()
    (polled.root / "m" / "3" / "model.onnx.part").write_text("half")
    (polled.root / "empty").mkdir()
    assert await polled.turns(3) == []


async def test_a_removed_version_is_told_once_it_is_gone_for_two_looks(polled: Polled) -> None:
    write(polled.root, 2, "two")
    await polled.turns(2)
    (polled.root / "m" / "2").rename(polled.root / "m" / ".2")
    assert await polled.turns(1) == [("m", ["1"], ["2"])]
    assert await polled.turns(1) == [("m", ["1"], [])]
    (polled.root / "m").rename(polled.root / ".m")
    assert await polled.turns(3) == [("m", [], [])]


async def test_a_removed_model_that_only_the_workers_know_is_told(polled: Polled) -> None:
    polled.served.add("old")
    assert ("old", [], []) in await polled.turns(2)


async def test_what_fails_is_told_until_no_worker_fails(polled: Polled) -> None:
    polled.fails = True
    with structlog.testing.capture_logs() as lines:
        assert await polled.turns(3) == [("m", ["1"], [])] * 2
    assert [line["reason"] for line in lines] == ["version 1: it is broken"] * 2
    polled.fails = False  # as of a worker that has refused these files already
    assert await polled.turns(3) == [("m", ["1"], [])]


async def test_a_folder_that_is_gone_for_now_changes_nothing(polled: Polled) -> None:
    await polled.turns(2)
    polled.missing = True
    assert await polled.turns(3) == []
    polled.missing = False
    assert await polled.turns(3) == []
    polled.ignored.add("m")
    assert await polled.turns(3) == []


async def test_only_the_first_worker_looks_and_a_successor_begins_anew(polled: Polled) -> None:
    polled.is_first = False
    assert await polled.turns(3) == []
    polled.is_first = True
    assert await polled.turns(2) == [("m", ["1"], [])]


async def test_another_lock_has_all_told_again(polled: Polled) -> None:
    await polled.turns(2)
    (polled.root / "lock.json").write_text("{}")
    assert await polled.turns(3) == [("m", ["1"], [])]
