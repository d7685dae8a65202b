"""A training that is killed leaves the checkpoint of before, and goes on to the same weights."""

import json
import random
import shutil
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

from safetensors.torch import load_file

from tests.chaos.load import LONG
from tests.training.configs import tiny
from training import checkpoint

RUNS = 25 if LONG else 1
KILLS = 3  # of a run: it is begun anew, goes on, goes on again
PATIENCE_S = 120

TRAINING = """
import io, json, sys
from pathlib import Path
from rich.console import Console
from training.config import TrainingConfig
from training.train import train
config = TrainingConfig.model_validate(json.loads(sys.argv[1]))
print("ready", flush=True)
quiet = Console(file=io.StringIO())
train(config, runs=Path(sys.argv[2]), fresh=sys.argv[3] == "fresh", console=quiet)
"""


def train(
    runs: Path, seed: int, how: str = "on", kill_after_s: float | None = None
) -> float | None:
    """Train in a process; the seconds that it took, or None where it was killed."""
    config = json.dumps(tiny(epochs=6, seed=seed).model_dump(mode="json"))
    command = [sys.executable, "-c", TRAINING, config, str(runs), how]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
        began = time.monotonic()
        try:
            status = process.wait(PATIENCE_S if kill_after_s is None else kill_after_s)
        except subprocess.TimeoutExpired:
            assert kill_after_s is not None, "it does not end"
            process.kill()
            process.wait(PATIENCE_S)
            return None
    assert status == 0
    return time.monotonic() - began


def tensors(path: Path) -> dict[str, bytes]:
    return {name: tensor.numpy().tobytes() for name, tensor in load_file(path).items()}


def test_a_training_that_is_killed_leaves_the_checkpoint_of_before(
    tmp_path: Path, figure: Callable[..., None]
) -> None:
    """And goes on, killed again and again, to the weights of a run that nobody killed."""
    unbroken, broken = tmp_path / "unbroken", tmp_path / "broken"
    durations = [train(unbroken, seed=1), train(tmp_path / "before", seed=2)]
    whole_s = min(each for each in durations if each is not None)
    new = tensors(unbroken / "tiny/checkpoint.safetensors")
    shutil.copytree(tmp_path / "before", broken)
    path = broken / "tiny/checkpoint.safetensors"
    old_bytes, old = path.read_bytes(), tensors(path)
    assert old != new

    chance = random.Random(0)  # noqa: S311 -- a time
    kills = kept = 0
    for _ in range(RUNS):
        how = "fresh"
        for _ in range(KILLS):
            killed = train(broken, 1, how, chance.uniform(0, 0.6) * whole_s) is None
            kills += killed
            checkpoint.load(path)  # whole, whichever it is
            kept += path.read_bytes() == old_bytes
            # Killed before it noted what it trains, it has to be told again to begin anew.
            noted = json.loads((broken / "tiny/config.json").read_bytes())
            how = "on" if noted["training"]["seed"] == 1 else "fresh"
            if not killed:
                break
        train(broken, 1, how)
        assert tensors(path) == new
        assert not list((broken / "tiny").glob(".*draft"))
        assert not (broken / "tiny/.unfinished").exists()
        shutil.rmtree(broken)
        shutil.copytree(tmp_path / "before", broken)
    assert kills >= RUNS
    assert kept
    figure(
        "Integrity: a training that is killed leaves the old checkpoint and goes on to the same"
        " weights",
        kills=kills,
        damaged=0,
        other_weights=0,
    )
