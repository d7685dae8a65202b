"""The whole, with this project's own server alone and a light network."""

import os
import subprocess
import sys

import onnx
import pytest

from benchmarks.faults.model import NAME, network
from benchmarks.faults.rows import read
from benchmarks.faults.turn import SCENARIOS

PATIENCE_S = 300
FEW = 6  # convolutions: a row takes some 4 ms


@pytest.mark.slow
def test_a_round_of_our_own_server(root, tmp_path):
    built = tmp_path / "built"
    path = built / NAME / NAME / "1" / "model.onnx"
    path.parent.mkdir(parents=True)
    onnx.save(network(FEW), path)
    choices = ["--servers=ours", "--rounds=1", "--seconds=2", "--bursts=1"]
    choices += ["--out", str(tmp_path), "--built", str(built)]
    done = subprocess.run(
        [sys.executable, "-m", "benchmarks.faults", *choices],
        cwd=root,
        # What a shell has set for its own server is not for this one.
        env=os.environ | {"FOLDSERVE_PORT": "1"},
        capture_output=True,
        text=True,
        timeout=PATIENCE_S,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    rows = {row.scenario: row for row in read(tmp_path / "rows.jsonl")}
    assert rows.keys() == SCENARIOS.keys()
    assert {row.failure for row in rows.values()} == {None}
    for name in ("cancelled", "cancelled-grpc", "poison"):
        counts = rows[name].counts
        assert counts["words"] == {"right": counts["good"]}
        assert counts["afterwards"] == counts["probes"]
    assert rows["poison"].counts["poison"] == {"500": 1}
    assert rows["overload"].counts["peak"] > 0
    assert rows["overload"].counts["lost"] == 0
    killed = rows["killed"].counts
    assert "service" in killed["victim"]
    assert not killed["ended"]
    assert killed["afterwards"] == killed["probes"]
    assert "| ours |" in done.stdout
    assert (tmp_path / "tables.md").read_text() == done.stdout
