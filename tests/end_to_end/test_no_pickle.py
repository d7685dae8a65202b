"""Every stage works where nothing can be unpickled, in its own code and its dependencies'."""

import subprocess
import sys
from pathlib import Path

import pytest

# What unpickles, in C and in Python, raises from here on; classes stay, as libraries derive theirs.
FORBIDDEN = """
import _pickle, pickle, sys

def refuse(*_, **__):
    raise SystemExit("unpickled")

class Unpickler:
    def __init__(self, *_, **__):
        refuse()

pickle._Unpickler.load = refuse
for module in (pickle, _pickle):
    module.load = module.loads = refuse
    module.Unpickler = Unpickler
"""
EXPORT = """
from export.__main__ import main
main()
"""
TRAINING = """
from pathlib import Path
import typer
from training.__main__ import *
from training.__main__ import main
main()
"""
SERVICE = """
import asyncio
import httpx
from pathlib import Path
from service.app import create_app
from service.settings import Settings

async def ask():
    app = create_app(Settings(models=Path(sys.argv[1]), control_port=8002))
    async with app.router.lifespan_context(app):
        transport = httpx.ASGITransport(app)
        url = "http://127.0.0.1:8002"
        async with httpx.AsyncClient(transport=transport, base_url=url) as client:
            picture = Path(sys.argv[2]).read_bytes()
            answer = await client.post("/models/digits/predict", files={"file": picture})
            assert answer.status_code == 200, answer.text
            answer = await client.post("/v2/repository/models/digits/load")
            assert answer.status_code == 200, answer.text

asyncio.run(ask())
"""

WRITERS = (
    """
import sys
import torch
from tests.export.networks import small
example = (torch.zeros(2, 3, 8, 8),)
free = ({0: torch.export.Dim("batch")},)
program = torch.export.export(small().eval(), example, dynamic_shapes=free)
torch.export.save(program, sys.argv[1] + "/program.pt2")
""",
    """
import os, sys
os.environ["KERAS_BACKEND"] = "torch"
import keras
layers = [keras.Input((8, 8, 3)), keras.layers.Conv2D(4, 3), keras.layers.BatchNormalization()]
keras.Sequential([*layers, keras.layers.ReLU()]).save(sys.argv[1] + "/network.keras")
""",
)


def run(root: Path, script: str, *arguments: object) -> None:
    done = subprocess.run(
        [sys.executable, "-c", FORBIDDEN + script, *map(str, arguments)],
        cwd=root,
        capture_output=True,
        text=True,
        check=False,
        timeout=300,
    )
    assert (done.returncode, "unpickled" in done.stderr) == (0, False), done.stderr[-2000:]


@pytest.mark.parametrize(
    "source",
    [
        ("models/digits/1/checkpoint.safetensors",),
        ("tests/data/keras_article.onnx",),
        ("tests.export.networks:small", "--input", "3x8x8"),
    ],
    ids=lambda source: str(source[0]),
)
def test_export_unpickles_nothing(root: Path, tmp_path: Path, source: tuple[str, ...]) -> None:
    run(root, EXPORT, "build", *source, "--name", "m", "--output", tmp_path, "--samples", 2)
    run(root, EXPORT, "inspect", tmp_path / "m" / "1" / "model.onnx")


@pytest.fixture(scope="module")
def files(root: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A `.pt2` program and a `.keras` file; to write them, their libraries may pickle."""
    folder = tmp_path_factory.mktemp("files")
    for script in WRITERS:
        done = subprocess.run(
            [sys.executable, "-c", script, str(folder)],
            cwd=root,
            capture_output=True,
            text=True,
            check=False,
            timeout=300,
        )
        assert done.returncode == 0, done.stderr[-2000:]
    return folder


@pytest.mark.parametrize("name", ["program.pt2", "network.keras"])
def test_export_of_others_archives_unpickles_nothing(
    root: Path, tmp_path: Path, files: Path, name: str
) -> None:
    given = ("--name", "m", "--output", tmp_path, "--samples", 2)
    run(root, EXPORT, "build", files / name, *given)
    run(root, EXPORT, "inspect", tmp_path / "m" / "1" / "model.onnx")


def test_the_service_unpickles_nothing(root: Path) -> None:
    run(root, SERVICE, root / "models", root / "tests/data/digit_7.png")


def test_training_unpickles_nothing(root: Path, tmp_path: Path) -> None:
    config = (root / "training/configs/digits.toml").read_text()
    (tmp_path / "short.toml").write_text(config.replace("epochs = 60", "epochs = 1"))
    run(root, TRAINING, tmp_path / "short.toml", "--runs", tmp_path)
    assert (tmp_path / "digits" / "checkpoint.safetensors").is_file()


def test_the_check_can_fail(root: Path) -> None:
    with pytest.raises(AssertionError, match="unpickled"):
        run(root, "import json, pickle; pickle.loads(pickle.dumps(1))")
    with pytest.raises(AssertionError, match="unpickled"):
        run(root, "import io, pickle; pickle._Unpickler(io.BytesIO(pickle.dumps(1))).load()")
