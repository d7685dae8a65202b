"""Loading and unloading models while they are served; predictors are fakes."""

import asyncio
import gc
import weakref
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import pytest

from service.errors import LoadFailed, ModelNotFound, NotReady, StartError
from service.repository.control import Control
from service.repository.entries import Entry, Repository, files_of, find_models
from service.repository.in_use import InUse

pytestmark = pytest.mark.anyio


class FakePredictor:
    """Remembers how it was closed."""

    def __init__(self, content: str) -> None:
        self.content = content
        self.closed_with: float | None = None

    async def close(self, grace_s: float) -> bool:
        self.closed_with = grace_s
        return True


class Served:
    """A folder of models that are served if their file does not say "broken"."""

    def __init__(self, root: Path, grace_s: float = 20) -> None:
        self.root = root
        self.repository = Repository()
        self.published: list[tuple[str, bool]] = []
        self.loads: list[str] = []
        self.withdrawn = asyncio.Event()
        self.loading = 0
        self.most_at_once = 0
        self.control = Control(self.repository, self.find, self.load, self.publish, grace_s)

    def find(self) -> Iterable[Entry]:
        return find_models(self.root, lambda _folder, _reason: None)

    async def load(self, entry: Entry) -> Entry:
        self.loads.append(entry.version)
        self.loading += 1
        self.most_at_once = max(self.loading, self.most_at_once)
        files, content = files_of(entry.path.parent), entry.path.read_text()
        await asyncio.sleep(0)  # lets others in, as the thread of a real load does
        self.loading -= 1
        if content == "broken":
            return entry.failed("it is broken")
        predictor: Any = FakePredictor(content)
        return entry.ready(predictor, files)

    def publish(self, entry: Entry) -> None:
        self.published.append((entry.version, entry.predictor is not None))
        if entry.predictor is None:
            self.withdrawn.set()

    def predictor(self, version: str | None = None) -> FakePredictor:
        found: Any = self.repository.serving("m", version)[1]
        assert isinstance(found, FakePredictor)
        return found

    def states(self) -> dict[str, tuple[str, str | None]]:
        return {each.version: (each.state, each.reason) for each in self.repository}


def write(root: Path, version: int, content: str) -> None:
    folder = root / "m" / str(version)
    folder.mkdir(parents=True, exist_ok=True)
    new = folder / "new"
    new.write_text(content)
    new.replace(folder / "model.onnx")


@pytest.fixture
def served(tmp_path: Path) -> Served:
    write(tmp_path, 1, "one")
    return Served(tmp_path)


async def test_a_command_waits_for_the_start(served: Served) -> None:
    write(served.root, 2, "two")
    await asyncio.gather(served.control.load_all(served.find()), served.control.load("m"))
    assert served.loads == ["1", "2"]
    assert served.most_at_once == 1


async def test_a_model_that_came_later_is_loaded(served: Served) -> None:
    await served.control.load("m")
    assert served.predictor().content == "one"
    assert served.published == [("1", True)]


async def test_new_versions_come_gone_ones_go_and_the_rest_stays(served: Served) -> None:
    write(served.root, 2, "two")
    await served.control.load("m")
    first, second = served.predictor("1"), served.predictor("2")
    write(served.root, 10, "ten")
    (served.root / "m" / "1" / "model.onnx").unlink()
    (served.root / "m" / "1").rmdir()
    await served.control.load("m")
    assert list(served.repository.versions("m")) == ["2", "10"]
    assert served.predictor().content == "ten"
    assert served.predictor("2") is second
    assert (first.closed_with, second.closed_with) == (20, None)
    assert served.loads == ["1", "2", "10"]
    assert served.published[-2:] == [("10", True), ("1", False)]


async def test_a_changed_file_takes_the_place_of_the_old_one(served: Served) -> None:
    await served.control.load("m")
    old = served.predictor()
    write(served.root, 1, "new")
    await served.control.load("m")
    assert served.predictor().content == "new"
    assert old.closed_with == 20


async def test_a_file_beside_the_model_counts_as_well(served: Served) -> None:
    # Large models keep their weights in a file of their own.
    await served.control.load("m")
    (served.root / "m" / "1" / "model.onnx.data").write_text("weights")
    await served.control.load("m")
    assert served.loads == ["1", "1"]


async def test_what_has_not_changed_is_not_loaded_again(served: Served) -> None:
    await served.control.load("m")
    await served.control.load("m")
    assert served.loads == ["1"]


async def test_a_broken_new_file_leaves_the_old_model_and_says_why(served: Served) -> None:
    await served.control.load("m")
    old = served.predictor()
    write(served.root, 1, "broken")
    write(served.root, 2, "fine")
    with pytest.raises(LoadFailed, match="version 1: it is broken"):
        await served.control.load("m")
    assert served.predictor("1") is old
    assert old.closed_with is None
    assert served.states() == {
        "1": ("ready", "a newer file is not served: it is broken"),
        "2": ("ready", None),
    }
    write(served.root, 1, "mended")
    await served.control.load("m")
    assert served.states()["1"] == ("ready", None)
    assert served.predictor("1").content == "mended"


async def test_a_broken_version_is_tried_again(served: Served) -> None:
    write(served.root, 1, "broken")
    for _ in range(2):
        with pytest.raises(LoadFailed):
            await served.control.load("m")
    assert served.states() == {"1": ("failed", "it is broken")}
    assert served.loads == ["1", "1"]


async def test_an_unloaded_model_is_not_found_by_requests_and_comes_back(served: Served) -> None:
    await served.control.load("m")
    old = served.predictor()
    await served.control.unload("m")
    assert served.states() == {"1": ("unavailable", "unloaded")}
    assert old.closed_with == 20
    assert served.published[-1] == ("1", False)
    await served.control.load("m")
    assert served.predictor() is not old


async def test_an_unloaded_model_is_free(served: Served) -> None:
    await served.control.load("m")
    predictor = weakref.ref(served.predictor())
    await served.control.unload("m")
    gc.collect()
    assert predictor() is None


async def test_a_model_is_closed_behind_the_last_of_its_requests(served: Served) -> None:
    await served.control.load("m")
    entry, _ = served.repository.serving("m")
    old = served.predictor()
    with entry.in_use:
        with entry.in_use:
            unloading = asyncio.create_task(served.control.unload("m"))
            await served.withdrawn.wait()
        assert old.closed_with is None
        assert not unloading.done()
    await unloading
    assert old.closed_with == 20


async def test_a_request_that_never_ends_is_cut_short_after_the_grace_time(tmp_path: Path) -> None:
    write(tmp_path, 1, "one")
    served = Served(tmp_path, grace_s=0.01)
    await served.control.load("m")
    entry, _ = served.repository.serving("m")
    old = served.predictor()
    with entry.in_use:
        await served.control.unload("m")
    assert old.closed_with == 0


async def test_an_unload_that_is_cancelled_closes_the_model_all_the_same(served: Served) -> None:
    await served.control.load("m")
    entry, _ = served.repository.serving("m")
    old = served.predictor()
    with entry.in_use:
        unloading = asyncio.create_task(served.control.unload("m"))
        await served.withdrawn.wait()
        unloading.cancel()
        with pytest.raises(asyncio.CancelledError):
            await unloading
    await served.control.close()
    assert old.closed_with == 20


async def test_loads_come_one_after_the_other_and_the_second_finds_nothing_to_do(
    served: Served,
) -> None:
    await asyncio.gather(*(served.control.load("m") for _ in range(5)))
    assert served.most_at_once == 1
    assert served.loads == ["1"]


@pytest.mark.parametrize("name", ["nothing", "..", "m/1", "../m", ""])
async def test_only_a_folder_of_the_repository_is_a_model(served: Served, name: str) -> None:
    await served.control.load("m")
    with pytest.raises(ModelNotFound):
        await served.control.load(name)
    with pytest.raises(ModelNotFound):
        await served.control.unload(name)
    assert served.states() == {"1": ("ready", None)}


async def test_a_model_whose_folder_is_gone_stays(served: Served) -> None:
    await served.control.load("m")
    (served.root / "m").rename(served.root / "other")
    with pytest.raises(ModelNotFound):
        await served.control.load("m")
    assert served.predictor().closed_with is None


async def test_a_repository_that_cannot_be_listed_is_told_without_its_path(
    served: Served,
) -> None:
    def unlistable(_root: Path) -> Iterable[Entry]:
        raise StartError(f"cannot list {served.root}")

    control = Control(
        served.repository, lambda: unlistable(served.root), served.load, served.publish, 1
    )
    with pytest.raises(LoadFailed, match=r"^the model repository cannot be listed$"):
        await control.load("m")


async def test_what_is_not_loaded_yet_is_listed(served: Served) -> None:
    await served.control.load("m")
    write(served.root, 2, "two")
    found = [(each.name, each.version, each.state) for each in await served.control.not_loaded()]
    assert found == [("m", "2", "unavailable")]


async def test_after_close_nothing_is_loaded(served: Served) -> None:
    await served.control.close()
    with pytest.raises(NotReady):
        await served.control.load("m")
    with pytest.raises(NotReady):
        await served.control.unload("m")


async def test_who_comes_while_the_end_is_awaited_is_waited_for() -> None:
    in_use = InUse()
    with in_use:
        ended = asyncio.create_task(in_use.ended())
        await asyncio.sleep(0)
    with in_use:
        await asyncio.sleep(0)
        assert not ended.done()
    await ended
