"""Loading and unloading models while they are served; predictors are fakes."""

import asyncio
import gc
import weakref
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import pytest
from anyio.lowlevel import checkpoint

from service.errors import LoadFailed, ModelNotFound, NotReady, StartError
from service.repository.control import Control
from service.repository.entries import Entry, Files, Repository, file_of, files_of, find_models
from service.repository.in_use import InUse
from service.repository.policy import read_policies, read_policy

pytestmark = pytest.mark.anyio


class FakePredictor:
    """Remembers how it was closed.

    Args:
        content: of its file.
        in_memory: those that are not closed.
    """

    def __init__(self, content: str, in_memory: list["FakePredictor"]) -> None:
        self.content = content
        self.closed_with: float | None = None
        self._in_memory = in_memory
        in_memory.append(self)

    async def close(self, grace_s: float) -> bool:
        await asyncio.sleep(0)  # lets others in, as the end of a real one does
        self.closed_with = grace_s
        self._in_memory.remove(self)
        return True


class Served:
    """A folder of models that are served if their file does not say "broken"."""

    def __init__(self, root: Path, policies: str = "all", grace_s: float = 20) -> None:
        self.root = root
        self.in_memory: list[FakePredictor] = []
        self.most_in_memory = 0
        self.repository = Repository()
        self.published: list[tuple[str, bool]] = []
        self.loads: list[str] = []
        self.withdrawn = asyncio.Event()
        self.loading = 0
        self.most_at_once = 0
        self.control = Control(
            self.repository,
            self.find,
            self.load,
            self.publish,
            grace_s,
            read_policies(policies),
            lambda: file_of(root / "lock.json"),
        )

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
        predictor: Any = FakePredictor(content, self.in_memory)
        self.most_in_memory = max(self.most_in_memory, len(self.in_memory))
        return entry.ready(predictor, files)

    def publish(self, entry: Entry) -> None:
        self.published.append((entry.version, entry.predictor is not None))
        if entry.predictor is None:
            self.withdrawn.set()

    def predictor(self, version: str | None = None) -> FakePredictor:
        found: Any = self.repository.serving("m", version)[1]
        assert isinstance(found, FakePredictor)
        return found

    def seen(self) -> dict[str, Files]:
        """What a look at the folder of the model m finds."""
        return {each.version: files_of(each.path.parent) for each in self.find()}

    def served(self) -> dict[str, str]:
        versions = [each.version for each in self.repository if each.predictor]
        return {version: self.predictor(version).content for version in versions}

    def states(self) -> dict[str, tuple[str, str | None]]:
        return {each.version: (each.state, each.reason) for each in self.repository}


def remove(root: Path, version: int) -> None:
    (root / "m" / str(version)).rename(root / "m" / f".{version}")


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
    assert served.loads == ["2", "1"]
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
    assert served.loads == ["2", "1", "10"]
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


def put(root: Path, *versions: int) -> None:
    for version in versions:
        write(root, version, f"v{version}")


@pytest.mark.parametrize(
    ("policy", "served_then", "served_now"),
    [
        ("latest:1", ["3"], ["4"]),
        ("latest:2", ["2", "3"], ["3", "4"]),
        ("latest:9", ["1", "2", "3"], ["1", "2", "3", "4"]),
        ("m=1,3;latest:1", ["1", "3"], ["1", "3"]),
        ("all;other=1", ["1", "2", "3"], ["1", "2", "3", "4"]),
    ],
)
async def test_the_policy_chooses_at_the_start_and_at_each_load(
    tmp_path: Path, policy: str, served_then: list[str], served_now: list[str]
) -> None:
    put(tmp_path, 1, 2, 3)
    served = Served(tmp_path, policy)
    await served.control.load_all(served.find())
    assert list(served.repository.versions("m")) == served_then
    put(tmp_path, 4)
    await served.control.load("m")
    assert list(served.repository.versions("m")) == served_now
    assert served.most_in_memory <= len(served_then) + 1


async def test_the_latest_is_the_latest_that_can_be_loaded(tmp_path: Path) -> None:
    put(tmp_path, 1, 2)
    write(tmp_path, 3, "broken")
    served = Served(tmp_path, "latest:1")
    await served.control.load_all(served.find())
    assert served.states() == {"2": ("ready", None), "3": ("failed", "it is broken")}
    write(tmp_path, 3, "mended")
    await served.control.load("m")
    assert served.states() == {"3": ("ready", None)}
    write(tmp_path, 4, "broken")
    with pytest.raises(LoadFailed, match="version 4: it is broken"):
        await served.control.load("m")
    assert served.served() == {"3": "mended"}


async def test_the_next_older_version_is_served_once_the_newest_is_removed(
    tmp_path: Path,
) -> None:
    put(tmp_path, 1, 2, 3)
    served = Served(tmp_path, "latest:1")
    await served.control.load_all(served.find())
    remove(tmp_path, 3)
    await served.control.load("m")
    assert served.served() == {"2": "v2"}
    assert served.most_in_memory == 2


async def test_a_swap_is_rolled_back_and_forth_by_the_policy_of_a_command(tmp_path: Path) -> None:
    put(tmp_path, 1, 2)
    served = Served(tmp_path, "latest:1")
    await served.control.load_all(served.find())
    await served.control.load("m", read_policy("1"))
    assert served.served() == {"1": "v1"}
    put(tmp_path, 3)
    await served.control.refresh("m", served.seen())
    assert served.served() == {"1": "v1"}
    assert str(served.control.choices.of("m")) == "1"
    await served.control.load("m")
    assert served.served() == {"3": "v3"}
    assert str(served.control.choices.of("m")) == "latest:1"
    assert served.most_in_memory == 2


@pytest.mark.parametrize(
    ("policy", "words"), [("7", "there is no version 7; there is 1"), ("2", "version 2: it is")]
)
async def test_a_rollback_to_what_cannot_be_served_leaves_all_as_it_was(
    tmp_path: Path, policy: str, words: str
) -> None:
    put(tmp_path, 1)
    write(tmp_path, 2, "broken")
    served = Served(tmp_path, "latest:1")
    await served.control.load_all(served.find())
    with pytest.raises(LoadFailed, match=words):
        await served.control.load("m", read_policy(policy))
    assert served.served() == {"1": "v1"}
    assert str(served.control.choices.of("m")) == "latest:1"


async def test_many_versions_come_for_many_with_one_more_in_memory_at_most(tmp_path: Path) -> None:
    put(tmp_path, 1, 2, 3)
    served = Served(tmp_path)
    await served.control.load_all(served.find())
    for version in (1, 2, 3):
        remove(tmp_path, version)
    put(tmp_path, 4, 5, 6)
    await served.control.load("m")
    assert served.served() == {"4": "v4", "5": "v5", "6": "v6"}
    for version in (4, 5, 6):
        write(tmp_path, version, "new")
    await served.control.load("m")
    assert set(served.served().values()) == {"new"}
    assert served.most_in_memory == 4


async def test_the_next_load_waits_until_the_last_is_out_of_memory(served: Served) -> None:
    await served.control.load("m")
    entry, _ = served.repository.serving("m")
    with entry.in_use:
        write(served.root, 1, "new")
        loads = [asyncio.create_task(served.control.load("m"))]
        while served.predictor().content != "new":
            await checkpoint()
        write(served.root, 1, "newest")
        loads.append(asyncio.create_task(served.control.load("m")))
        for _ in range(100):  # turns of the loop, in which the second would begin
            await checkpoint()
        assert served.loads == ["1", "1"]
    await asyncio.gather(*loads)
    assert served.predictor().content == "newest"
    assert served.most_in_memory == 2


async def test_what_was_seen_in_the_folder_is_served(tmp_path: Path) -> None:
    served = Served(tmp_path)
    put(tmp_path, 1)
    await served.control.refresh("m", served.seen())
    put(tmp_path, 2)
    await served.control.refresh("m", served.seen())
    assert served.served() == {"1": "v1", "2": "v2"}
    remove(tmp_path, 2)
    await served.control.refresh("m", served.seen())
    assert served.served() == {"1": "v1"}
    remove(tmp_path, 1)
    await served.control.refresh("m", served.seen())
    assert served.states() == {}
    assert served.in_memory == []


async def test_what_has_changed_since_it_was_seen_waits_for_the_next_look(served: Served) -> None:
    await served.control.load("m")
    put(served.root, 2)
    seen = served.seen()
    write(served.root, 1, "half")
    write(served.root, 2, "half")
    put(served.root, 3)
    await served.control.refresh("m", seen | {"1": None})
    assert served.served() == {"1": "one"}


async def test_an_old_look_drops_nothing_that_is_there(served: Served) -> None:
    seen = served.seen()
    put(served.root, 2)
    await served.control.load("m")
    await served.control.refresh("m", seen)
    assert served.served() == {"1": "one", "2": "v2"}


async def test_a_version_that_failed_is_not_tried_again_until_its_files_change(
    served: Served,
) -> None:
    await served.control.load("m")
    write(served.root, 1, "broken")
    write(served.root, 2, "broken")
    with pytest.raises(LoadFailed, match=r"version 2: it is broken; version 1: it is broken"):
        await served.control.refresh("m", served.seen())
    await served.control.refresh("m", served.seen())
    assert served.loads == ["1", "2", "1"]
    assert served.states() == {
        "1": ("ready", "a newer file is not served: it is broken"),
        "2": ("failed", "it is broken"),
    }
    write(served.root, 2, "mended")
    await served.control.refresh("m", served.seen())
    assert served.served() == {"1": "one", "2": "mended"}


async def test_a_look_leaves_what_clients_unloaded_alone(served: Served) -> None:
    await served.control.load("m")
    await served.control.unload("m")
    put(served.root, 2)
    await served.control.refresh("m", served.seen())
    assert served.states() == {"1": ("unavailable", "unloaded")}


async def test_the_index_says_what_the_policy_left_out(tmp_path: Path) -> None:
    put(tmp_path, 1, 2)
    served = Served(tmp_path, "latest:1")
    await served.control.load_all(served.find())
    put(tmp_path, 3)
    left = {each.version: each.reason for each in await served.control.not_loaded()}
    assert left == {"1": "the version policy is latest:1", "3": "not loaded yet"}


async def test_what_the_lock_refused_is_tried_again_when_the_lock_changes(served: Served) -> None:
    write(served.root, 1, "broken")
    for _ in range(2):
        with pytest.raises(LoadFailed):
            await served.control.refresh("m", served.seen())
        await served.control.refresh("m", served.seen())
        (served.root / "lock.json").write_text("{}")
    assert served.loads == ["1", "1"]


async def test_a_worker_that_comes_later_serves_what_was_commanded_from_its_start_on(
    tmp_path: Path,
) -> None:
    put(tmp_path, 1, 2)
    served = Served(tmp_path, "latest:1")
    served.control.choices.recall("m", read_policy("1"), unloaded=False)
    await served.control.load_all(served.find())
    assert served.loads == ["1"]
    assert served.served() == {"1": "v1"}


async def test_a_worker_that_comes_later_does_not_load_what_was_unloaded(served: Served) -> None:
    served.control.choices.recall("m", None, unloaded=True)
    await served.control.load_all(served.find())
    assert served.states() == {"1": ("unavailable", "unloaded")}
    await served.control.load("m")
    assert served.served() == {"1": "one"}
