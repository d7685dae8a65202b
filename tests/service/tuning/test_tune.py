"""``foldserve-serve tune`` as it is called."""

import json
import os
import re
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from typer.testing import CliRunner

from service.command_line import cli
from tests.service.servers import PATIENCE_S
from tests.service.tuning.test_children import assert_gone

pytestmark = pytest.mark.slow

# Two plans, as short as it goes.
BRIEF = ["--seconds", "0.3", "--rounds", "1", "--max-batch-size", "8", "--threads", "1"]
NUMBER = r" +[\d,.]+"


def start(*arguments: object, **settings: str) -> "subprocess.Popen[str]":
    return subprocess.Popen(
        [sys.executable, "-m", "service", "tune", *map(str, arguments)],
        env=os.environ | {f"FOLDSERVE_{name}": value for name, value in settings.items()},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def ran(*arguments: object) -> tuple[int, str, str]:
    """Call the command in this process."""
    done = CliRunner().invoke(cli, ["tune", *map(str, arguments)], catch_exceptions=False)
    return done.exit_code, done.stdout, done.stderr


def test_it_prints_the_table_and_writes_the_settings_of_the_best(
    root: Path, tmp_path: Path
) -> None:
    file = tmp_path / "foldserve.env"
    file.write_text("FOLDSERVE_TOP_K=3\nFOLDSERVE_WORKERS=9\n")
    with start(
        *("digits", "--models", root / "models", "--output", file, "--p99-ms", 60_000),
        *("--workers", 1, "--workers", 2, *BRIEF),
    ) as process:
        output, errors = process.communicate(timeout=2 * PATIENCE_S)
    assert process.returncode == 0, errors
    head, *rows, reason, written = output.splitlines()
    assert re.split(r"  +", head) == [
        *("version", "precision", "workers", "threads", "max_batch_size", "req/s"),
        *("p50 ms", "p99 ms", "one client p50", "memory MB", "rounds"),
    ]
    plans = [rf" +1 +fp32 +{workers} +1 +8{NUMBER * 5} +1(  best)?" for workers in (1, 2)]
    assert sorted(any(re.fullmatch(plan, row) for row in rows) for plan in plans) == [True, True]
    (best,) = [row for row in rows if row.endswith("  best")]
    assert reason.startswith(f"Best: workers {best.split()[2]}, threads 1, max_batch_size 8, ")
    assert written == f"Wrote {file}"
    assert len(errors.splitlines()) == 1 + 2  # how many plans; each
    kept, remark, *chosen = file.read_text().splitlines()
    assert kept == "FOLDSERVE_TOP_K=3"
    assert re.match(r"# foldserve-serve tune digits .*; version 1 \(fp32\) on \d+ CPUs, 20", remark)
    assert chosen == [
        f"FOLDSERVE_WORKERS={best.split()[2]}",
        "FOLDSERVE_INTRA_OP_THREADS=1",
        "FOLDSERVE_MAX_BATCH_SIZE=8",
    ]


def test_for_machines_the_outcome_is_one_document(models: Path, tmp_path: Path) -> None:
    file = tmp_path / "foldserve.env"
    status, output, errors = ran(
        *(
            "doubler",
            "--format",
            "json",
            "--workers",
            1,
            "--version",
            1,
            "--output",
            file,
            "--json",
        ),
        *("--models", models, *BRIEF),
    )
    assert status == 0
    found = json.loads(output)
    (plan,) = found["plans"]
    assert (plan["best"], plan["workers"], plan["failure"]) == (True, 1, None)
    assert plan["measured"]["throughput"] > 0
    assert found["file"] == str(file)
    assert found["settings"] == {
        "FOLDSERVE_WORKERS": "1",
        "FOLDSERVE_INTRA_OP_THREADS": "1",
        "FOLDSERVE_MAX_BATCH_SIZE": "8",
    }
    assert file.exists()
    assert "Plans: 1" in errors


def test_if_none_is_within_the_bound_nothing_is_written(models: Path, tmp_path: Path) -> None:
    file = tmp_path / "foldserve.env"
    status, output, _ = ran(
        *("brightness", "--format", "jpeg", "--workers", 1, "--p99-ms", 1e-6, "--output", file),
        *("--models", models, *BRIEF),
    )
    assert status == 1
    assert "No plan keeps p99 within 1e-06 ms. The closest, with " in output
    assert not file.exists()


def test_versions_are_compared_and_the_best_is_named(models: Path, tmp_path: Path) -> None:
    file = tmp_path / "foldserve.env"
    status, output, _ = ran(
        *("doubler", "--format", "json", "--workers", 1, "--output", file),
        *("--models", models, *BRIEF),
    )
    assert status == 0
    rows = [line.split() for line in output.splitlines()[1:3]]
    assert sorted(row[0] for row in rows) == ["1", "12"]
    (best,) = [row[0] for row in rows if row[-1] == "best"]
    assert ("A version is no setting" in output) == (best == "1")


def test_a_file_alone_can_be_measured(models: Path, tmp_path: Path) -> None:
    file = models / "doubler" / "1" / "model.onnx"
    alone = tmp_path / "alone.onnx"
    alone.write_bytes(file.read_bytes())
    status, output, errors = ran(
        alone, "--workers", 1, "--output", tmp_path / "foldserve.env", *BRIEF
    )
    assert status == 0, errors
    assert "version 1 (-): the highest throughput." in output


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["nothing"], "there is no model nothing in "),
        (["doubler", "--version", "7"], "model doubler has no version 7"),
        (["doubler", "--format", "jpeg"], "model doubler version 1 takes no images"),
        (["doubler", "--image", "no.jpg"], "cannot read no.jpg: No such file or directory"),
        (["doubler", "--shape", "x"], "x is no shape; write NAME=1x3x224x224"),
        (["doubler", "--shape", "x=1x4"], "an answer had status 400: "),
        (["doubler", "--output", "no/file"], "cannot write no/file: No such file or directory"),
    ],
)
def test_what_is_wrong_is_one_line_and_exit_status_2(
    arguments: list[str], message: str, models: Path
) -> None:
    status, output, errors = ran(*arguments, "--models", models)
    assert (status, output) == (2, "")
    assert errors.startswith(f"foldserve-serve: {message}")
    assert errors.count("\n") == 1


def children(pid: int) -> list[int]:
    found = []
    for stat in Path("/proc").glob("[0-9]*/stat"):
        try:
            parent = stat.read_text().rpartition(")")[2].split()[1]
        except (FileNotFoundError, ProcessLookupError):
            continue
        if int(parent) == pid:
            found.append(int(stat.parent.name))
    return found


@pytest.mark.skipif(sys.platform != "linux", reason="hardware: processes are listed on Linux")
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_ctrl_c_ends_every_child_and_writes_nothing(
    number: signal.Signals, models: Path, tmp_path: Path
) -> None:
    file = tmp_path / "foldserve.env"
    arguments = ("doubler", "--workers", 2, "--output", file, "--seconds", 60)
    with start(*arguments, MODELS=str(models)) as process:
        assert process.stderr is not None
        process.stderr.readline()  # the count of plans: the first is about to be measured
        while not (started := children(process.pid)):
            assert process.poll() is None
        started += [below for each in started for below in children(each)]
        process.send_signal(number)
        output, errors = process.communicate(timeout=PATIENCE_S)
    assert process.returncode not in (0, 1)
    assert "Traceback" not in errors
    assert output == ""
    assert not file.exists()
    assert_gone(started)


def test_neither_a_server_nor_the_command_loads_what_it_does_not_need(root: Path) -> None:
    script = "import sys; import {}; print(*sys.modules)"

    def loaded(module: str) -> set[str]:
        command = [sys.executable, "-c", script.format(module)]
        done = subprocess.run(command, cwd=root, capture_output=True, text=True, check=True)
        return set(done.stdout.split())

    assert not any(name.startswith("service.tuning") for name in loaded("service.processes.server"))
    assert loaded("service.tuning.command") & {"onnxruntime", "fastapi", "uvicorn"} == set()
    assert loaded("service.tuning.load") & {"numpy", "pydantic", "orjson", "PIL"} == set()
