import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnx
import pytest

from benchmarks.folding import latency, tools
from benchmarks.folding.comparison import Options, compare
from benchmarks.folding.models import UnknownModelError, batches, expand, provide
from benchmarks.folding.network import Network
from benchmarks.folding.patterns import PATTERNS
from benchmarks.folding.running import attempts, one_process

FILES = [(Path("a.onnx"), Path("b.onnx")), (Path("c.onnx"), Path("d.onnx"))]
SAY = """
import sys
print("a tool's own words")
print('@@ {"version": "1", "seconds": 0.5, "invalid": null}', flush=True)
"""
LONG_S = 60.0  # no test waits that long: the program ends before


def program(code: str) -> list[str]:
    return [sys.executable, "-c", code]


def test_a_program_says_one_line_a_model():
    done = one_process(program(SAY + SAY), FILES, LONG_S)
    assert [one.seconds for one in done] == [0.5, 0.5]
    assert [one.path for one in done] == [Path("b.onnx"), Path("d.onnx")]


def test_a_crash_is_charged_to_the_model_at_hand():
    done = one_process(program(SAY + "import os; os.abort()"), FILES, LONG_S)
    assert [one.failure for one in done] == [None, "crash (signal 6)"]


def test_a_program_that_hangs_is_ended():
    done = one_process(program("import threading; threading.Event().wait()"), FILES, 0.5)
    assert [one.failure for one in done] == ["not done in 0 s"]


def test_a_missing_tool_is_said_of_every_model(monkeypatch, capsys):
    def missing() -> tools.Fold:
        raise ModuleNotFoundError("no such", name="nothing_like_it")

    monkeypatch.setitem(tools.TOOLS, "nothing", ("nothing", missing))
    tools.main("nothing", ["a.onnx", "b.onnx", "c.onnx", "d.onnx"])
    lines = capsys.readouterr().out.splitlines()
    assert lines == ['@@ {"failure": "missing: nothing_like_it"}'] * 2


def test_what_a_tool_raises_is_its_result():
    def refuse(_: object) -> object:
        raise ValueError("not this one")

    assert "failure" in tools.attempt(refuse, "nowhere.onnx", "nowhere else.onnx")


def test_onnx_runtime_is_a_tool_that_is_always_there(tmp_path):
    path = provide("pattern:conv_bn", tmp_path, Path(sys.executable))
    options = Options(["ort-basic"], Path(sys.executable), limit_s=LONG_S, latency_s=0)
    ((unfolded, row),) = compare({"conv_bn": path}, options)
    assert unfolded.counts is not None
    assert row.counts is not None
    assert (unfolded.counts.batch_norms, row.counts.batch_norms) == (2, 0)
    assert row.invalid is None
    assert row.error is not None
    assert row.error < 1e-5  # float32 rounding is 1e-7


def test_a_model_that_does_not_compute_is_invalid(tmp_path):
    path = tmp_path / "broken.onnx"
    path.write_bytes(b"no model")
    assert tools.why_invalid(path)


def test_a_file_that_cannot_be_folded_fails_alone(tmp_path):
    broken = tmp_path / "broken.onnx"
    broken.write_bytes(b"no model")
    good = provide("pattern:conv_bn", tmp_path, Path(sys.executable))
    files = [(broken, tmp_path / "1.onnx"), (good, tmp_path / "2.onnx")]
    first, second = attempts("ort-basic", files, LONG_S, Path(sys.executable))
    assert first.failure
    assert second.failure is None


def test_latency_is_a_ratio_to_the_baseline():
    def work(size: int) -> Callable[[], object]:
        return lambda: sum(range(size))

    samples = latency.turns([work(20_000), work(40_000)], budget_s=0.2)
    assert samples.shape[1] == 1
    # Loose: of a busy machine.
    assert latency.ratio([samples[:, 0]]).median == pytest.approx(2, rel=0.5)


def test_what_lies_between_two_loadings_is_no_better_known_than_that():
    found = latency.ratio([np.full(100, 1.0), np.full(100, 1.1)])
    assert found.median == pytest.approx(1.05)
    assert found.margin >= 0.05 - 1e-9


def test_names_of_a_kind_stand_for_all_of_it():
    assert expand(["pattern", "x.onnx"]) == [*(f"pattern:{name}" for name in PATTERNS), "x.onnx"]
    assert "light:resnet50" in expand(["light"])


@pytest.mark.parametrize("name", ["pattern:nothing", "light:nothing", "nowhere.onnx"])
def test_a_model_that_is_not_there_is_named(name, tmp_path):
    with pytest.raises(UnknownModelError, match=r"nothing|nowhere"):
        provide(name, tmp_path, Path(sys.executable))


def test_architectures_need_a_python_that_has_them(tmp_path):
    with pytest.raises(UnknownModelError, match="does not start"):
        provide("torchvision:resnet18", tmp_path, tmp_path / "python")


def test_large_models_are_not_folded_in_one_batch(tmp_path, monkeypatch):
    monkeypatch.setattr("benchmarks.folding.models.LARGEST_BATCH", 10)
    sizes = {"a": 4, "b": 4, "c": 4, "d": 20}
    for name, size in sizes.items():
        (tmp_path / name).write_bytes(bytes(size))
    found = batches((name, tmp_path / name) for name in sizes)
    assert [list(batch) for batch in found] == [["a", "b"], ["c"], ["d"]]


def test_a_model_without_a_reference_is_counted_all_the_same(tmp_path):
    net = Network(seed=0)
    x = net.relu(net.conv(net.image(), 8))
    model = net.finish(net.op("Multinomial", net.op("Flatten", net.op("GlobalAveragePool", x))))
    path = tmp_path / "drawing.onnx"
    onnx.save(model, path)
    options = Options(["ort-basic"], Path(sys.executable), limit_s=LONG_S, latency_s=0)
    ((unfolded, row),) = compare({"drawing": path}, options)
    assert unfolded.invalid
    assert row.error is None
    assert row.counts is not None
