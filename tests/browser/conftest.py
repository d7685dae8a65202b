"""The page as a person uses it: the real server, a real browser, models of every kind."""

import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Browser

from export import pipeline
from export.artifact import Place
from export.pipeline import ParityOptions
from export.sources.options import SourceOptions
from tests.browser.chromium import Visit, started
from tests.export.checkpoints import write_checkpoint
from tests.service import zoo
from tests.service.servers import Server, server

CLOTHES = (
    *("T-shirt", "Trouser", "Pullover", "Dress", "Coat"),
    *("Sandal", "Shirt", "Sneaker", "Bag", "Ankle boot"),
)
FEW = ParityOptions(samples=6)

Open = Callable[..., Visit]
"""Opens a path of the server with options of the window; at the end nothing went wrong in it."""


@pytest.fixture(scope="session")
def models(tmp_path_factory: pytest.TempPathFactory, root: Path) -> Path:
    """A repository: pictures, signals, tensors, a network with kept batch norms, a broken file."""
    folder = tmp_path_factory.mktemp("models")
    (folder / "digits" / "1").mkdir(parents=True)
    shutil.copy(root / "models/digits/1/model.onnx", folder / "digits" / "1")
    labels = tmp_path_factory.mktemp("labels") / "labels.txt"
    labels.write_text("\n".join(CLOTHES))
    shown = SourceOptions(input_shape=(1, 28, 28), color="L", labels=labels)
    place = Place(folder, "clothes", 1)
    pipeline.build("tests.browser.networks:mixed", place, shown, FEW, mode="safe")
    signals = write_checkpoint(tmp_path_factory.mktemp("runs") / "signals.safetensors", "cnn1d")
    pipeline.build(str(signals), Place(folder, "signals", 1), parity=FEW)
    zoo.put(folder, "pair", 1, zoo.two_in_two_out())
    zoo.put(folder, "pair", 2, zoo.doubler(shape=("batch", 4)))
    zoo.put(folder, "large", 1, zoo.doubler(shape=("batch", 2000)))
    broken = folder / "broken" / "1" / "model.onnx"
    broken.parent.mkdir(parents=True)
    broken.write_bytes(b"no model")
    return folder


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with started() as browser:
        yield browser


@pytest.fixture(scope="module")
def served(models: Path) -> Iterator[Server]:
    with server(models) as running:
        yield running


@pytest.fixture
def visit(browser: Browser, served: Server) -> Iterator[Open]:
    """Opens the page."""
    visits: list[Visit] = []

    def open_page(path: str = "/", **options: Any) -> Visit:
        visits.append(Visit(browser, served.url, **options))
        return visits[-1].go(path)

    yield open_page
    try:
        for each in visits:
            each.check()
    finally:
        for each in visits:
            each.context.close()


@pytest.fixture
def seven(root: Path) -> Path:
    """A picture of the bundled model's held-out split: the digit 7."""
    return root / "tests/data/digit_7.png"
