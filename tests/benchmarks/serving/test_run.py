"""The whole, with this project's own server alone."""

import csv
import os
import subprocess
import sys
from pathlib import Path

import pytest

from benchmarks.serving import ceiling, environments, models
from benchmarks.serving.environments import NoEnvironmentError
from benchmarks.serving.rounds import Options, Prepared, run
from benchmarks.serving.samples import samples
from benchmarks.serving.servers import BY_NAME, OURS

PATIENCE_S = 300


def options(tmp_path: Path, *servers: str) -> Options:
    return Options(
        servers=[BY_NAME[name] for name in servers],
        models=["digits"],
        forms=["json"],
        clients=[1],
        everything=False,
        rounds=1,
        seconds=1,
        peers=tmp_path,
        built=tmp_path,
        ceilings=False,
    )


@pytest.mark.slow
@pytest.mark.usefixtures("_wrk")
def test_a_round_of_our_own_server(root, tmp_path):
    choices = ["--servers=ours", "--models=digits", "--clients=1,open"]
    choices += ["--rounds=1", "--seconds=1"]
    done = subprocess.run(
        [sys.executable, "-m", "benchmarks.serving", *choices, "--out", str(tmp_path)],
        cwd=root,
        # What a shell has set for its own server is not for this one.
        env=os.environ | {"FOLDSERVE_PORT": "1"},
        capture_output=True,
        text=True,
        timeout=PATIENCE_S,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    with (tmp_path / "rows.csv").open() as stream:
        rows = list(csv.DictReader(stream))
    ours = [row for row in rows if row["server"] == OURS]
    assert {(row["form"], row["load"]) for row in ours} == {
        (form, load) for form in ("json", "binary", "jpeg") for load in ("1", "open")
    }
    for row in ours:
        assert row["failure"] == ""
        assert row["errors"] == "0"
        assert float(row["rate"]) > 0
        assert float(row["cpu_ms"]) > 0
        assert float(row["pss_mb"]) > 10
        assert int(row["processes"]) >= 2
        assert float(row["start_s"]) > 0
    assert {row["form"] for row in rows if row["server"] == ceiling.NAME} == {"binary", "jpeg"}
    assert "digits, json, 1 client" in done.stdout
    assert {"tables.md", "tables.txt", "rate.svg", "start.svg"} <= {
        file.name for file in tmp_path.iterdir()
    }


def test_what_cannot_be_installed_is_a_row_and_not_left_out(tmp_path):
    model = models.provide("digits", tmp_path)
    missing = {"mosec": "no matching distribution"}
    (row,) = run(options(tmp_path, "mosec"), Prepared({}, missing, [(model, [])]))
    assert (row.server, row.form, row.load) == ("mosec", "json", "1")
    assert row.failure == "not installed: no matching distribution"


def test_pip_s_complaint_is_what_is_said(tmp_path, monkeypatch):
    (tmp_path / "odd.txt").write_text("no such requirement\n")
    monkeypatch.setattr(environments, "REQUIREMENTS", tmp_path)
    with pytest.raises(NoEnvironmentError, match="requirement"):
        environments.provide("odd", tmp_path / "peers")


def test_an_environment_that_is_there_is_taken(tmp_path, monkeypatch):
    (tmp_path / "ready.txt").write_text("anything==1\n")
    monkeypatch.setattr(environments, "REQUIREMENTS", tmp_path)
    home = tmp_path / "peers" / "ready"
    home.mkdir(parents=True)
    (home / environments.STAMP).write_text("anything==1\n")
    assert environments.provide("ready", tmp_path / "peers") == home / "bin" / "python"


def test_a_server_that_does_not_start_is_a_row_with_its_last_words(tmp_path):
    model = models.provide("digits", tmp_path)
    here = {"mosec": Path(sys.executable)}  # which does not have it
    (row,) = run(options(tmp_path, "mosec"), Prepared(here, {}, [(model, samples(model))]))
    assert row.failure is not None
    assert row.failure.startswith("it ended")
    assert "No module named 'mosec'" in row.failure
