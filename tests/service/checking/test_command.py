"""``foldserve-serve check`` as an operator calls it."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from service.command_line import cli
from tests.service import zoo
from tests.service.certificates import only_for_clients
from tests.service.servers import command, refused, taken_port

pytestmark = [pytest.mark.usefixtures("_logs_as_before"), pytest.mark.slow]


def ran(*arguments: object, **settings: object) -> tuple[int, str]:
    """Call the command in this process; return its status and what it prints."""
    named = {"PORT": 0} | settings
    env = {f"FOLDSERVE_{name}": str(value) for name, value in named.items()}
    done = CliRunner().invoke(
        cli, ["check", *map(str, arguments)], env=env | {"COLUMNS": "200"}, catch_exceptions=False
    )
    assert done.stderr == ""
    return done.exit_code, done.stdout


def found(*arguments: object, **settings: object) -> dict[str, Any]:
    """Return the document for machines, whose status is the exit status."""
    status, printed = ran(*arguments, "--json", **settings)
    document: dict[str, Any] = json.loads(printed)
    assert document["status"] == status
    return document


def test_of_a_repository_that_is_served_nothing_is_wrong(models: Path) -> None:
    status, printed = ran(models)
    assert status == 0
    assert printed.splitlines()[-2:] == ["Versions that run here: 3 of 3.", "Nothing is wrong."]
    rows = [line for line in printed.splitlines() if "ready" in line]
    assert [row.split("│")[1:4] for row in rows] == [
        [" brightness ", " 1       ", " ready "],
        [" doubler    ", " 1       ", " ready "],
        [" doubler    ", " 12      ", " ready "],
    ]
    assert "problem: " not in printed
    assert "warning: " not in printed


def test_what_runs_is_told_for_machines(models: Path) -> None:
    document = found(MODELS=models)
    assert document["models"] == str(models)
    assert document["configuration"]["problems"] == []
    assert " x " in document["configuration"]["plan"]
    brightness, *_ = document["versions"]
    assert brightness.pop("row_ms") > 0
    assert brightness.pop("batch_ms") > 0
    assert brightness == {
        "model": "brightness",
        "version": "1",
        "state": "ready",
        "reason": None,
        "provider": "CPU",
        "batched": True,
        "parity": False,
    }


def test_a_version_that_would_not_be_served_is_a_line_with_what_to_do(models: Path) -> None:
    (models / "doubler/12/model.onnx").write_bytes(b"")
    status, printed = ran(models)
    assert status == 1
    problem = "problem: doubler/12: the model's file is empty; write it anew with "
    (line,) = [line for line in printed.splitlines() if line.startswith("problem")]
    assert line == f"{problem}foldserve-export build"
    assert printed.endswith("Versions that run here: 2 of 3.\nSomething would not be served.\n")


def test_it_finds_what_a_start_finds(models: Path) -> None:
    """Of the same folder both say the same, since it is the same code."""
    for name in ("brightness", "doubler"):
        for file in (models / name).glob("*/model.onnx"):
            file.write_bytes(b"\x00")
    reasons = {
        f"{each['model']}/{each['version']}": each["reason"] for each in found(models)["versions"]
    }
    said = refused(models)
    assert all(f"{where}: {reason}" in said for where, reason in reasons.items())
    assert len(reasons) == 3


def test_all_that_is_wrong_with_the_variables_is_told_at_once(models: Path) -> None:
    document = found(models, PROT=1, WORKRES=2, TOP_K=0, MAX_QUEUE_SIZE=0)
    told = document["configuration"]["problems"]
    assert document["status"] == 2
    assert [line.split(":")[0].split(" ")[0] for line in told] == [
        "FOLDSERVE_PROT",
        "FOLDSERVE_WORKRES",
        "FOLDSERVE_MAX_QUEUE_SIZE=0",
        "FOLDSERVE_TOP_K=0",
    ]
    assert "did you mean FOLDSERVE_PORT?" in told[0]


def test_all_that_the_settings_name_is_looked_at_at_once(models: Path, tmp_path: Path) -> None:
    keys = tmp_path / "keys.toml"
    keys.write_text("[[key]]\n")
    choices = only_for_clients(tmp_path).choices()
    with taken_port() as port, taken_port() as control:
        document = found(
            models,
            VERSION_POLICY="latest:0",
            API_KEYS=keys,
            PORT=port,
            CONTROL_PORT=control,
            **choices,
        )
        besides = found(
            models, "--running", API_KEYS=keys, PORT=port, CONTROL_PORT=control, **choices
        )
    told = document["configuration"]["problems"]
    for line, words in zip(
        told,
        ("VERSION_POLICY", "API_KEYS: ", "TLS_CERTIFICATE=", f"port {control}: ", f"port {port}: "),
        strict=True,
    ):
        assert words in line
    assert besides["configuration"]["problems"] == told[1:3]
    # The models are looked at all the same.
    assert [each["state"] for each in document["versions"]] == ["ready"] * 3


def test_a_provider_that_is_not_there_is_a_mistake_of_the_settings(models: Path) -> None:
    document = found(models, PROVIDER="cuda")
    (line,) = document["configuration"]["problems"]
    assert "set FOLDSERVE_PROVIDER=cpu" in line
    assert document["versions"] == []


def test_a_repository_that_cannot_be_listed_is_a_mistake_of_the_settings(tmp_path: Path) -> None:
    status, printed = ran(tmp_path / "nowhere")
    assert status == 2
    assert "configuration: cannot list the model repository" in printed
    assert printed.endswith("There would be no start.\n")


def test_an_empty_repository_is_told(tmp_path: Path) -> None:
    document = found(tmp_path)
    assert document["status"] == 1
    (problem,) = document["problems"]
    assert "there is no model to serve" in problem["what"]


def test_what_the_policy_leaves_out_is_not_loaded_and_a_warning(models: Path) -> None:
    (models / "doubler/1/model.onnx").write_bytes(b"")  # nobody looks
    document = found(models, VERSION_POLICY="latest:1")
    assert document["status"] == 0
    states = [(each["model"], each["version"], each["state"]) for each in document["versions"]]
    assert states == [
        ("brightness", "1", "ready"),
        ("doubler", "1", "unavailable"),
        ("doubler", "12", "ready"),
    ]
    assert document["warnings"] == [
        {
            "where": "doubler/1",
            "what": "left out: the version policy is latest:1",
            "remedy": "FOLDSERVE_VERSION_POLICY chooses others",
        }
    ]


def test_a_lower_version_takes_the_place_of_one_that_fails_as_in_a_start(models: Path) -> None:
    (models / "doubler/12/model.onnx").write_bytes(b"")
    document = found(models, VERSION_POLICY="latest:1")
    states = {each["version"]: each["state"] for each in document["versions"][1:]}
    assert states == {"1": "ready", "12": "failed"}


def test_what_a_policy_names_and_is_not_there_is_a_problem(models: Path) -> None:
    document = found(models, VERSION_POLICY="doubler=1,7;faces=all")
    assert [each["where"] for each in document["problems"]] == ["doubler/7", "faces"]
    assert [each["where"] for each in document["warnings"]] == ["doubler/12"]


def test_names_of_folders_command_no_terminal(models: Path) -> None:
    (models / "\x1b[2Jgone").mkdir()
    status, printed = ran(models)
    assert status == 0
    assert "\x1b" not in printed
    assert "warning: \\x1b[2Jgone: it is ignored" in printed


def test_nothing_is_served_or_written(models: Path) -> None:
    before = sorted((path, path.stat().st_mtime_ns) for path in models.rglob("*"))
    done = subprocess.run(
        [sys.executable, "-W", "error", "-m", "service", "check", models],
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    assert (done.returncode, done.stderr) == (0, "")
    assert sorted((path, path.stat().st_mtime_ns) for path in models.rglob("*")) == before


def test_what_passes_the_check_is_served(models: Path) -> None:
    """The twin of those that find something: a start says of this repository that it is ready."""
    zoo.put(models, "picker", 1, zoo.picker())
    assert found(models)["status"] == 0
    with command(models) as process:
        assert process.stdout is not None
        greeting = process.stdout.readline()
        process.terminate()
        process.communicate()
    assert "ready" in greeting
