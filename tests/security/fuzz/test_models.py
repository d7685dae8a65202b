"""Damaged model files and manifests: served or refused with a reason, and nobody dies of them."""

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import onnx
import pytest

from tests.security.fuzz.target import CORPUS, SECONDS, SEED
from tests.service import zoo

PATIENCE_S = 120

# Loads one damaged file after the other, as the service does. The last one is on the disk where
# the process dies of it; what it raises otherwise is an error of ours.
LOADING = """
import sys, time
from pathlib import Path
from service.errors import ModelLoadError
from service.inference.loading import load
from service.inference.model import RunOptions, open_model
from service.settings import Settings
from tests.security.fuzz.mutation import mutations
from tests.security.fuzz.target import corpus

folder, name, seconds, seed = Path(sys.argv[1]), sys.argv[2], float(sys.argv[3]), int(sys.argv[4])
path = folder / "m/1/model.onnx"
path.parent.mkdir(parents=True)
options, settings = RunOptions("cpu", intra_op_threads=1, timeout_s=2.0), Settings()
seeds = [each.read_bytes() for each in sorted(folder.glob("*.onnx"))]
until = time.monotonic() + seconds
tried = served = 0

def attempt(data):
    global tried, served
    tried += 1
    path.write_bytes(data)
    try:
        loaded = load(path, options, settings, open_model)
    except ModelLoadError as error:
        assert len(str(error)) < 1000 and str(folder) not in str(error), str(error)
    else:
        served += 1
        loaded.model.terminate()

for data in corpus(name):
    attempt(data)
for data in mutations(seeds, seed):
    attempt(data)
    if time.monotonic() > until:
        break
print(tried, served)
"""


def graphs(folder: Path) -> None:
    models = {
        "doubler": zoo.doubler(),
        "two": zoo.two_in_two_out(),
        "classifier": zoo.brightness_classifier(),
        "counter": zoo.counter(),
        "picker": zoo.picker(),
        "halves": zoo.halves(),
    }
    for name, model in models.items():
        onnx.save(model, folder / f"{name}.onnx")


def manifests(folder: Path) -> None:
    """Graphs that are right, so that what is damaged is mostly their manifest, which is long."""
    for colour in ("L", "RGB"):
        labels = [f"class {i}" for i in range(3)]
        model = zoo.brightness_classifier(1, 1, colour, labels, notes={"text": "é" * 20})
        assert len(json.dumps(zoo.manifest_document(1, 1, colour, labels))) > 300
        onnx.save(model, folder / f"{colour}.onnx")


@pytest.mark.parametrize("seeds", [graphs, manifests])
def test_damaged_files_are_served_or_refused(
    root: Path, tmp_path: Path, seeds: Callable[[Path], None], figure: Callable[..., None]
) -> None:
    name = seeds.__name__
    seeds(tmp_path)
    done = subprocess.run(
        [sys.executable, "-c", LOADING, str(tmp_path), name, str(SECONDS), str(SEED)],
        cwd=root,
        capture_output=True,
        text=True,
        check=False,
        timeout=PATIENCE_S + SECONDS,
    )
    last = tmp_path / "m/1/model.onnx"
    assert done.returncode == 0, f"{last}, to go into {CORPUS / name}: {done.stderr[-3000:]}"
    tried, served = map(int, done.stdout.split()[-2:])
    assert tried > served
    figure(f"Fuzzing of {name}", inputs=tried, crashed=0, wrong=0)
