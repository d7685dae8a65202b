"""The command: what it prints, and what its exit code says."""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from typer.testing import CliRunner, Result

from export.__main__ import app, main
from tests.export.checkpoints import write_checkpoint
from tests.export.graphs import bn, count, model, norm, normal

pytestmark = pytest.mark.slow

SMALL = "tests.export.networks:small"


def run(*arguments: str | Path) -> Result:
    return CliRunner().invoke(app, [str(one) for one in arguments], env={"COLUMNS": "200"})


def build(repository: Path, *more: str) -> Result:
    given = ("--input", "3x8x8", "--name", "small", "--output", repository, "--samples", "6")
    return run("build", SMALL, *given, *more)


def module(*arguments: str | Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-W", "error", "-m", "export", *map(str, arguments)],
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
        env={**os.environ, "COLUMNS": "200"},
    )


def test_a_build_prints_every_outcome_errors_size_and_latency(tmp_path: Path) -> None:
    result = build(tmp_path)

    assert result.exit_code == 0
    for words in (
        "folded backward into conv",
        "relative error to float64 PyTorch",
        "top-1 agreement",
        "kB",
        " ms",
        f"Wrote {tmp_path}/small/1/model.onnx",
    ):
        assert words in result.stdout
    assert result.stderr == ""


def test_a_network_without_batch_norm_says_so(tmp_path: Path) -> None:
    path = tmp_path / "m.onnx"
    onnx.save(model("y = Relu(x)", {}, inputs="float[n] x", outputs="float[n] y"), path)

    result = run("build", path, "--name", "relu", "--output", tmp_path)

    assert result.exit_code == 0
    assert "The model has no BatchNormalization." in result.stdout
    assert "top-1" not in result.stdout


def test_a_kept_batch_norm_is_named_with_its_reason(tmp_path: Path) -> None:
    source = "tests.export.networks:activation_first"
    model = ("--input", "3x8x8", "--name", "k", "--output", tmp_path)
    given = (*model, "--samples", "6", "--fold", "safe")

    refused = run("build", source, *given)
    allowed = run("build", source, *given, "--allow-unfolded")

    assert refused.exit_code == 1
    assert refused.stderr.startswith("foldserve-export: not one of 1 batch norms could be folded")
    assert len(refused.stderr.strip().splitlines()) == 1
    assert "kept: backward: Relu 'node_relu' would have to become" in refused.stdout
    assert allowed.exit_code == 0
    assert "kept: backward: Relu 'node_relu' would have to become" in allowed.stdout


@pytest.mark.parametrize(
    ("more", "message"),
    [
        (["--input", "3,8,8"], "--input 3,8,8: write the shape of one input like 3x224x224"),
        (["--name", "../up"], "--name '../up'"),
        (["--version", "0"], "--version 0: count from 1"),
        (["--mean", "a,b"], "--mean a,b: write numbers"),
        (["--color", "CMYK"], "--color CMYK: take one of L, RGB"),
        (["--weights", "none.pth"], "--weights none.pth"),
        (["--labels", "none.txt"], "--labels none.txt: cannot be read"),
        (["--tolerance", "inf"], "--tolerance inf: take a finite number"),
        (["--name", "a" * 300], "File name too long"),
    ],
)
def test_bad_usage_is_one_line_and_exit_code_2(
    tmp_path: Path, more: list[str], message: str
) -> None:
    result = build(tmp_path, *more)

    assert result.exit_code == 2
    assert message in result.stderr
    assert len(result.stderr.strip().splitlines()) == 1
    assert "Traceback" not in result.output
    assert list(tmp_path.iterdir()) == []


def test_an_existing_version_needs_force(tmp_path: Path) -> None:
    path = tmp_path / "m.onnx"
    onnx.save(model("y = Relu(x)", {}, inputs="float[n] x", outputs="float[n] y"), path)
    given = ("build", path, "--name", "relu", "--output", tmp_path)

    assert run(*given).exit_code == 0
    assert run(*given).exit_code == 2
    assert run(*given, "--force").exit_code == 0


def test_an_unreachable_tolerance_is_exit_code_1_and_leaves_no_file(tmp_path: Path) -> None:
    result = build(tmp_path, "--tolerance", "0")

    assert result.exit_code == 1
    assert "beyond the tolerance of 0" in result.stderr
    assert list(tmp_path.iterdir()) == []


def test_an_image_network_takes_raw_pixels_and_says_how(tmp_path: Path) -> None:
    labels = tmp_path / "labels.txt"
    labels.write_text("".join(f"animal {index}\n" for index in range(4)))

    result = build(
        tmp_path,
        *("--labels", str(labels), "--color", "RGB", "--mean", "0.485,0.456,0.406"),
        *("--std", "0.229,0.224,0.225", "--resize-filter", "bicubic", "--crop-fraction", "0.875"),
    )
    shown = run("inspect", tmp_path / "small/1/model.onnx", "--json")

    assert result.exit_code == 0, result.output
    described = json.loads(shown.stdout)["manifest"]
    assert described["task"] == "image-classification"
    assert described["labels"][0] == "animal 0"
    assert described["input"]["resize_filter"] == "bicubic"
    assert described["input"]["crop_fraction"] == 0.875
    written = onnx.load(tmp_path / "small/1/model.onnx")
    # The scale is in the padded convolution; the mean, which its zeros would miss, is before it.
    assert [node.op_type for node in written.graph.node[:2]] == ["Add", "Conv"]
    assert (tmp_path / "small/1/report.html").read_text().startswith("<!doctype html>")


def test_a_fold_prints_every_outcome_and_writes_nothing_over_a_file(tmp_path: Path) -> None:
    source, result = tmp_path / "in.onnx", tmp_path / "out.onnx"
    arrays = {"w": normal(4, 3, 3, 3, dtype=np.float32), **norm(4, dtype=np.float32)}
    text = f"c = Conv(x, w) {bn('c', 'y')}"
    onnx.save(model(text, arrays, inputs="float[n,3,6,6] x", outputs="float[n,a,b,c] y"), source)

    first = run("fold", source, result)
    again = run("fold", source, result)
    forced = run("fold", source, result, "--force", "--samples", "0")

    assert (first.exit_code, first.stderr) == (0, "")
    for words in ("1 of 1 batch norm is gone", "max rel error", f"Wrote {result}"):
        assert words in first.stdout
    assert again.exit_code == 2
    assert again.stderr == f"foldserve-export: {result} exists: take another name, or --force\n"
    assert forced.exit_code == 0
    assert count(onnx.load(result), "BatchNormalization") == 0


def test_inspect_shows_signature_manifest_and_fold(tmp_path: Path) -> None:
    checkpoint = write_checkpoint(tmp_path / "c.safetensors", "cnn1d")
    given = ("--name", "c", "--output", tmp_path, "--samples", "6")
    assert run("build", checkpoint, *given).exit_code == 0

    result = run("inspect", tmp_path / "c/1/model.onnx")

    assert result.exit_code == 0
    for words in (
        "batch x 3 x 28",
        "10: class 0, class 1",
        "kind checkpoint, reference c.safetensors",
        "folded backward into network.features.0.conv",
        "unfolded max rel error",
    ):
        assert words in result.stdout


def test_inspect_shows_of_a_plain_onnx_file_what_there_is(tmp_path: Path) -> None:
    path = tmp_path / "plain.onnx"
    onnx.save(model("y = Sum(x, s)", {}, inputs="float[n,?] x, float s", outputs="float[] y"), path)

    result = run("inspect", path)
    shown = run("inspect", path, "--json")

    assert result.exit_code == 0
    assert "n x ?" in result.stdout
    assert "scalar" in result.stdout
    assert "has no manifest" in result.stdout
    described = json.loads(shown.stdout)
    assert described["manifest"] is None
    assert described["signature"]["inputs"][0] == {
        "name": "x",
        "dtype": "FLOAT",
        "shape": ["n", None],
    }


def test_a_path_that_the_system_refuses_is_one_line_and_exit_code_2() -> None:
    result = run("inspect", "x" * 5000)

    assert result.exit_code == 2
    assert "File name too long" in result.stderr
    assert len(result.stderr.strip().splitlines()) == 1


def test_libraries_do_not_add_lines_of_their_own(tmp_path: Path) -> None:
    """Neither the reader, on a graph that is not valid, nor ONNX Runtime, on one that fails."""
    invalid = model("y = Relu(q)", {}, inputs="float[n,3] x", outputs="float[n,3] y")
    failing = model(
        "y = Add(x, k)",
        {"k": normal(2, dtype=np.float32)},
        inputs="float[n,m] x",
        outputs="float[n,m] y",
    )
    onnx.save(invalid, tmp_path / "invalid.onnx")
    onnx.save(failing, tmp_path / "failing.onnx")
    given = ("--name", "m", "--output", tmp_path, "--input", "3")

    for name in ("invalid.onnx", "failing.onnx"):
        done = module("build", tmp_path / name, *given)
        assert done.returncode == 2
        assert len(done.stderr.strip().splitlines()) == 1, done.stderr


def test_verify_draws_pixels_as_build_did(tmp_path: Path) -> None:
    assert build(tmp_path, "--color", "RGB").exit_code == 0
    path = tmp_path / "small/1/model.onnx"
    built = json.loads(run("inspect", path, "--json").stdout)["manifest"]["parity"]
    given = ("--against", SMALL, "--input", "3x8x8", "--color", "RGB", "--samples", "6")

    shown = run("verify", path, *given)

    assert shown.exit_code == 0
    assert f"{built['max_abs_error']:.3g}" in shown.stdout


def test_inspect_of_what_is_no_model_is_exit_code_2(tmp_path: Path) -> None:
    (tmp_path / "m.onnx").write_text("no model")

    result = run("inspect", tmp_path / "m.onnx")

    assert result.exit_code == 2
    assert "is no ONNX model" in result.stderr


def test_verify_tells_by_its_exit_code(tmp_path: Path) -> None:
    assert build(tmp_path).exit_code == 0
    path = tmp_path / "small/1/model.onnx"
    given = ("--against", SMALL, "--input", "3x8x8", "--samples", "6")

    same = run("verify", path, *given)
    other = run("verify", path, *given, "--seed", "1")
    unread = run("verify", path, "--against", "nothing.h5")

    assert same.exit_code == 0
    assert f"computes what {SMALL} computes" in same.stdout
    assert other.exit_code == 1
    assert "beyond the tolerance" in other.stderr
    assert unread.exit_code == 2


def test_verify_compares_any_two_onnx_files(tmp_path: Path) -> None:
    arrays = {"w": normal(4, 3, dtype=np.float32), **norm(4, dtype=np.float32)}
    text = f"c = Gemm<transB=1>(x, w) {bn('c')}"
    proto = model(text, arrays, inputs="float[n,3] x", outputs="float[n,4] y")
    onnx.save(proto, tmp_path / "m.onnx")
    given = ("--name", "m", "--output", tmp_path)
    assert run("build", tmp_path / "m.onnx", *given).exit_code == 0

    result = run("verify", tmp_path / "m/1/model.onnx", "--against", tmp_path / "m.onnx")

    assert result.exit_code == 0
    assert "float64 ONNX" in result.stdout


def test_the_command_alone_shows_its_help() -> None:
    result = run("--help")

    assert result.exit_code == 0
    for command in ("build", "inspect", "verify"):
        assert command in result.stdout


def test_importing_the_command_loads_neither_torch_nor_training() -> None:
    code = (
        "import sys, export.__main__; "
        "print(sorted({'torch', 'training', 'service', 'keras'} & set(sys.modules)))"
    )

    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=60
    )

    assert done.stdout.strip() == "[]"


def test_the_runtime_sends_nothing_home() -> None:
    code = "import os, export.runtime; print(os.environ['ORT_DISABLE_TELEMETRY'])"
    without = {key: text for key, text in os.environ.items() if key != "ORT_DISABLE_TELEMETRY"}

    done = subprocess.run(
        [sys.executable, "-c", code],
        capture_output=True,
        text=True,
        check=True,
        timeout=60,
        env=without,
    )

    assert done.stdout.strip() == "1"


@pytest.mark.slow
def test_resnet18_loses_all_its_batch_norms_in_a_process_of_its_own(tmp_path: Path) -> None:
    """Also: no warning anywhere on the way is more than a warning."""
    source = "tests.export.networks:resnet18"
    given = ("--input", "3x224x224", "--name", "resnet18", "--output", tmp_path, "--samples", "8")

    done = module("build", source, *given)

    assert done.stderr == ""
    assert done.returncode == 0
    path = tmp_path / "resnet18/1/model.onnx"
    assert count(onnx.load(path), "BatchNormalization") == 0
    described = json.loads(run("inspect", path, "--json").stdout)["manifest"]
    assert described["fold"]["bn_before"] == 20
    assert described["fold"]["bn_after"] == 0
    assert described["parity"]["reference"] == "float64 PyTorch"
    # What was asked for; 20 float32 layers round to about 6e-7.
    assert described["parity"]["max_rel_error"] < 1e-5


def test_the_installed_command_is_the_same(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sys, "argv", ["foldserve-export", "inspect", "missing.onnx"])

    with pytest.raises(SystemExit) as ended:
        main()

    assert ended.value.code == 2
    assert capsys.readouterr().err == "foldserve-export: missing.onnx: no such file\n"


def test_errors_of_the_process_are_one_line(tmp_path: Path) -> None:
    done = module("build", "missing.onnx", "--name", "m", "--output", tmp_path)

    assert done.returncode == 2
    assert done.stderr == "foldserve-export: missing.onnx: no such file\n"
    assert done.stdout == ""


def document(result: Result) -> Any:
    """What a command says to machines, and nothing beside it on the standard output."""
    return json.loads(result.stdout)


def test_for_machines_a_build_is_one_document(tmp_path: Path) -> None:
    result = build(tmp_path, "--json")

    assert (result.exit_code, result.stderr) == (0, "")
    found = document(result)
    assert found["path"] == str(tmp_path / "small/1/model.onnx")
    assert found["report"] == str(tmp_path / "small/1/report.html")
    assert found["manifest"] == document(run("inspect", found["path"], "--json"))["manifest"]
    assert found["latency_ms"]["folded"] > 0
    assert found["bytes"]["folded"] > 0
    assert found["precision"] is None


def test_for_machines_a_refused_build_has_an_exit_code_and_no_document(tmp_path: Path) -> None:
    given = ("--input", "3x8x8", "--name", "k", "--output", tmp_path, "--fold", "safe", "--json")

    result = run("build", "tests.export.networks:activation_first", *given)

    assert (result.exit_code, result.stdout) == (1, "")
    assert "foldserve-export: not one of 1 batch norms" in result.stderr


def test_for_machines_a_fold_is_one_document(tmp_path: Path) -> None:
    arrays = {"w": normal(4, 3, dtype=np.float32), **norm(4, dtype=np.float32)}
    text = f"c = Gemm<transB=1>(x, w) {bn('c')}"
    onnx.save(model(text, arrays, inputs="float[n,3] x", outputs="float[n,4] y"), tmp_path / "i")

    result = run("fold", tmp_path / "i", tmp_path / "out.onnx", "--json")

    assert (result.exit_code, result.stderr) == (0, "")
    found = document(result)
    assert (found["bn_before"], found["bn_after"]) == (1, 0)
    assert [node["outcome"] for node in found["nodes"]] == ["folded_backward"]
    assert found["parity"]["max_rel_error"] <= found["parity"]["tolerance"]


def test_for_machines_a_verification_says_whether_it_holds(tmp_path: Path) -> None:
    path = document(build(tmp_path, "--json"))["path"]
    given = ("verify", path, "--against", SMALL, "--input", "3x8x8", "--samples", "6", "--json")

    same = run(*given)
    other = run(*given, "--seed", "1")

    assert (same.exit_code, other.exit_code) == (0, 1)
    assert document(same)["holds"] is True
    assert document(same)["parity"]["samples"] == 6
    assert document(other)["holds"] is False
    assert "beyond the tolerance" in document(other)["problem"]


def test_for_machines_a_lock_says_what_differs(tmp_path: Path) -> None:
    path = Path(document(build(tmp_path, "--json"))["path"])
    lock = str(tmp_path / "lock.json")
    assert document(run("lock", tmp_path, "--json")) == {"lock": lock, "files": 1}

    (tmp_path / "small/2").mkdir()
    (tmp_path / "small/2/model.onnx").write_bytes(path.read_bytes())
    result = run("lock", tmp_path, "--check", "--json")

    assert result.exit_code == 1
    assert document(result) == {
        "lock": lock,
        "holds": False,
        "differences": ["small/2/model.onnx is not in the lock"],
    }


@pytest.mark.parametrize("command", ["build", "fold", "inspect", "verify", "lock"])
def test_each_help_ends_with_examples(command: str) -> None:
    shown = run(command, "--help").stdout

    assert f"foldserve-export {command} " in shown.split("Examples:")[1]
    assert "--json" in shown


def test_a_shell_completes_commands() -> None:
    asked = {"_FOLDSERVE_EXPORT_COMPLETE": "complete_bash", "COMP_CWORD": "1"}

    done = subprocess.run(
        [sys.executable, "-m", "export"],
        capture_output=True,
        text=True,
        check=True,
        timeout=60,
        env=os.environ | asked | {"COMP_WORDS": "foldserve-export ver"},
    )

    assert done.stdout == "verify\n"
