"""``.pt2`` programs become graphs that have every batch norm, and nothing in one is unpickled."""

import contextlib
import io
import json
import warnings
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.export import Dim

from export import runtime
from export.errors import SourceError, UsageError
from export.folding import fold
from export.folding.recognition import batch_norms
from export.sources import program_file
from export.sources.options import SourceOptions
from export.sources.original import ImageInput, Original, TensorInput
from export.sources.program import read_program
from tests.export.archives import DAMAGES
from tests.export.graphs import normal, relative_error
from tests.export.keras_networks import serialized
from tests.export.networks import BasicBlock, randomize_statistics

pytestmark = pytest.mark.slow

# A few float32 layers: some ten roundings of 6e-8 each.
FLOAT32 = 1e-6
ROWS = {0: Dim("rows")}
GRAPH = "models/model.json"
WEIGHTS = "data/weights/model_weights_config.json"
CONSTANTS = "data/constants/model_constants_config.json"
SAMPLE = "data/sample_inputs/model.pt"


def block() -> nn.Module:
    torch.manual_seed(0)
    return randomize_statistics(BasicBlock(3, 4, 2)).eval()


def saved(module: nn.Module, folder: Path, *, free: Any = (ROWS,), rows: int = 2) -> Path:
    """A program of one image (3, 8, 8), saved by PyTorch."""
    path = folder / "program.pt2"
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of a module that is in training mode, which is meant
        program = torch.export.export(
            module, (torch.zeros(rows, 3, 8, 8),), dynamic_shapes=free, strict=False
        )
        torch.export.save(program, path)
    return path


def read(path: Path, options: SourceOptions | None = None) -> Original:
    return read_program(path, options or SourceOptions())


def error_of(original: Original, rows: int = 3) -> float:
    """Of the graph in ONNX Runtime, against PyTorch in float64."""
    assert original.reference is not None
    feeds = {str(original.model.graph.inputs[0].name): normal(rows, 3, 8, 8, dtype=np.float32)}
    run = runtime.load(serialized(original.model), optimized=False)
    return relative_error(original.reference(feeds)[0], run(feeds)[0])


def test_every_batch_norm_of_the_program_is_in_the_graph(tmp_path: Path) -> None:
    original = read(saved(block(), tmp_path))

    names = [node.name for node in batch_norms(original.model.graph)]
    assert names == ["bn1", "bn2", "downsample.1"]
    assert fold(original.model, mode="all").report.bn_after == 0
    assert error_of(original) <= FLOAT32


def test_a_wrong_statistic_is_further_off_than_the_tolerance(tmp_path: Path) -> None:
    module = block()
    right = read(saved(module, tmp_path))
    module.get_buffer("bn1.running_mean")[0] += 1e-4
    wrong = read(saved(module, tmp_path))

    assert right.reference is not None
    feeds = {"x": normal(3, 3, 8, 8, dtype=np.float32)}
    run = runtime.load(serialized(wrong.model), optimized=False)
    assert relative_error(right.reference(feeds)[0], run(feeds)[0]) > FLOAT32


def test_the_input_is_called_as_the_program_calls_it_and_the_batch_is_free(tmp_path: Path) -> None:
    graph = read(saved(block(), tmp_path)).model.graph

    (taken,), (given,) = graph.inputs, graph.outputs
    assert (taken.name, str(taken.shape)) == ("x", "[batch,3,8,8]")
    assert (given.name, str(given.shape)) == ("logits", "[batch,4,4,4]")


def test_a_program_of_one_row_stays_one_of_one_row(tmp_path: Path) -> None:
    original = read(saved(block(), tmp_path, free=None, rows=1))

    assert str(original.model.graph.inputs[0].shape) == "[1,3,8,8]"
    assert error_of(original, rows=1) <= FLOAT32


def test_sizes_that_the_program_leaves_free_are_given(tmp_path: Path) -> None:
    free = ({**ROWS, 2: Dim("height", min=8), 3: Dim("width", min=8)},)
    path = saved(nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4)).eval(), tmp_path, free=free)

    original = read(path, SourceOptions(input_shape=(3, 8, 8)))

    assert original.input == TensorInput((3, 8, 8))
    assert error_of(original) <= FLOAT32


def test_a_decomposed_program_is_read_like_any_other(tmp_path: Path) -> None:
    program = torch.export.export(block(), (torch.zeros(2, 3, 8, 8),), dynamic_shapes=(ROWS,))
    path = tmp_path / "core.pt2"
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", FutureWarning)  # PyTorch's own, of its tree of arguments
        torch.export.save(program.run_decompositions(), path)

    original = read(path)

    assert len(batch_norms(original.model.graph)) == 3
    assert error_of(original) <= FLOAT32


class TwoInputs(nn.Module):
    """Inputs in a dictionary and by keyword, two outputs, and a part without gradients."""

    def __init__(self) -> None:
        super().__init__()
        self.conv, self.bn, self.linear = nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.Linear(2, 4)

    def forward(self, x: Tensor, more: dict[str, Tensor], *, scale: Tensor) -> dict[str, Any]:
        with torch.no_grad():
            shift = self.linear(more["shift"])
        return {"sum": self.bn(self.conv(x)).mean((2, 3)) + shift, "scaled": [scale * 2]}


def test_several_inputs_and_outputs_go_one_by_one(tmp_path: Path) -> None:
    path = tmp_path / "two.pt2"
    program = torch.export.export(
        randomize_statistics(TwoInputs()).eval(),
        (torch.zeros(2, 3, 8, 8), {"shift": torch.zeros(2, 2)}),
        kwargs={"scale": torch.zeros(2, 3)},
        dynamic_shapes={"x": ROWS, "more": {"shift": ROWS}, "scale": ROWS},
    )
    torch.export.save(program, path)

    original = read(path)

    names = [str(value.name) for value in original.model.graph.inputs]
    assert names == ["x", "more_shift", "scale"]
    shapes = [(3, 3, 8, 8), (3, 2), (3, 3)]
    feeds = {n: normal(*s, dtype=np.float32) for n, s in zip(names, shapes, strict=True)}
    run = runtime.load(serialized(original.model), optimized=False)
    assert original.reference is not None
    for expected, actual in zip(original.reference(feeds), run(feeds), strict=True):
        assert relative_error(expected, actual) <= FLOAT32


def test_where_it_came_from_and_what_it_takes_is_said(tmp_path: Path) -> None:
    options = SourceOptions(color="RGB", mean=(0.5,), std=(0.5,))
    original = read(saved(block(), tmp_path), options)

    assert original.provenance.kind == "torch"
    assert original.provenance.reference == "program.pt2"
    assert len(original.provenance.sha256 or "") == 64
    assert original.input == ImageInput("RGB", 3, 8, 8)
    assert error_of(original) <= FLOAT32


@pytest.mark.parametrize(
    ("module", "message"),
    [
        (nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4)), "'1' is a batch norm in training"),
        (nn.Sequential(nn.Conv2d(3, 4, 3), nn.Dropout()), "'1' is a dropout in training mode"),
        (
            nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4, track_running_stats=False)),
            "'1' is a batch norm without running statistics",
        ),
    ],
)
def test_a_program_that_was_traced_in_training_is_refused(
    module: nn.Module, message: str, tmp_path: Path
) -> None:
    with pytest.raises(SourceError, match=message):
        read(saved(module.train(), tmp_path))


Records = dict[str, bytes]


def changed(path: Path, change: Callable[[Records], None]) -> Path:
    """A program whose records were changed by hand."""
    with zipfile.ZipFile(path) as archive:
        records = {name.partition("/")[2]: archive.read(name) for name in archive.namelist()}
    change(records)
    with zipfile.ZipFile(path, "w") as archive:
        for name, data in records.items():
            archive.writestr(f"program/{name}", data)
    return path


def edited(name: str, edit: Callable[[Any], None]) -> Callable[[Records], None]:
    def change(records: Records) -> None:
        document = json.loads(records[name])
        edit(document)
        records[name] = json.dumps(document).encode()

    return change


class Payload:
    """Writes a file when it is unpickled."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[Any, ...]:
        return (Path.touch, (self.path,))


def bring_payload(mark: Path) -> Callable[[Records], None]:
    buffer = io.BytesIO()
    torch.save(Payload(mark), buffer)
    return lambda records: records.update({SAMPLE: buffer.getvalue()})


def test_the_example_that_was_traced_is_not_unpickled(tmp_path: Path) -> None:
    path = changed(saved(block(), tmp_path), bring_payload(tmp_path / "mark"))

    original = read(path)

    assert error_of(original) <= FLOAT32
    assert not (tmp_path / "mark").exists()


def test_pytorch_itself_would_unpickle_it(tmp_path: Path) -> None:
    path = changed(saved(block(), tmp_path), bring_payload(tmp_path / "mark"))

    with contextlib.suppress(Exception):  # what it says afterwards is its own affair
        torch.export.load(path)
    assert (tmp_path / "mark").exists()


def pickle_weight(table: Any) -> None:
    table["config"]["bn1.weight"]["use_pickle"] = True


def bring_object(table: Any) -> None:
    table["config"]["thing"] = {"path_name": "opaque_obj_0", "use_pickle": False}


def reach_outside(table: Any) -> None:
    table["config"]["bn1.weight"]["path_name"] = "../weight_0"


def call_the_system(graph: Any) -> None:
    graph["graph_module"]["graph"]["nodes"][0]["target"] = "torch.os.system"


def map_a_file(graph: Any) -> None:
    graph["graph_module"]["graph"]["nodes"][0]["target"] = "torch.ops.aten.from_file.default"


def name_a_list(graph: Any) -> None:
    (top, *_) = graph["graph_module"]["module_call_graph"]
    top["signature"]["out_spec"] = json.dumps([1, {"type": ["builtins.list"]}])


def evaluate_code(graph: Any) -> None:
    size = {"as_expr": {"expr_str": "__import__('os').system('true')", "hint": None}}
    graph["graph_module"]["graph"]["tensor_values"]["x"]["sizes"][0] = size


def constrain_code(graph: Any) -> None:
    graph["range_constraints"]["s1.__class__"] = {"min_val": 0, "max_val": None}


def take_other_containers(graph: Any) -> None:
    (top, *_) = graph["graph_module"]["module_call_graph"]
    top["signature"]["out_spec"] = json.dumps(
        [1, {"type": "collections.defaultdict", "context": {}, "children_spec": []}]
    )


def pass_an_operator(graph: Any) -> None:
    graph["graph_module"]["graph"]["nodes"][0]["inputs"][0]["arg"] = {"as_operator": "torch.os"}


@pytest.mark.parametrize(
    ("name", "edit", "message"),
    [
        (WEIGHTS, pickle_weight, "'bn1.weight' is stored as a pickle, which is not read"),
        (CONSTANTS, bring_object, "'thing' is stored as a pickle, which is not read"),
        (WEIGHTS, reach_outside, "'bn1.weight' is stored as a pickle"),
        (GRAPH, call_the_system, r"calls torch\.os\.system, which is no operator of PyTorch's own"),
        (GRAPH, map_a_file, r"calls torch\.ops\.aten\.from_file\.default"),
        (GRAPH, name_a_list, r"takes or gives a \['builtins\.list'\]"),
        (GRAPH, evaluate_code, r"the size .*__import__.* is not understood"),
        (GRAPH, constrain_code, r"the size 's1\.__class__' is not understood"),
        (GRAPH, take_other_containers, r"takes or gives a collections\.defaultdict"),
        (GRAPH, pass_an_operator, "holds an operator or an object as a value"),
    ],
    ids=lambda case: getattr(case, "__name__", ""),
)
def test_what_could_run_code_is_refused(
    name: str, edit: Callable[[Any], None], message: str, tmp_path: Path
) -> None:
    path = changed(saved(block(), tmp_path), edited(name, edit))

    with pytest.raises(SourceError, match=message):
        read(path)


def test_the_code_of_guards_is_dropped(tmp_path: Path) -> None:
    def guard(graph: Any) -> None:
        graph["guards_code"] = ["__import__('sys').exit(3)"]

    path = changed(saved(block(), tmp_path), edited(GRAPH, guard))

    assert error_of(read(path)) <= FLOAT32


def test_a_program_that_was_traced_on_a_gpu_is_read_on_a_cpu(tmp_path: Path) -> None:
    def on_cuda(records: Records) -> None:
        for name in (GRAPH, WEIGHTS):
            text = records[name].decode()
            cuda = text.replace('"type": "cpu", "index": null', '"type": "cuda", "index": 0')
            assert cuda != text
            records[name] = cuda.encode()

    path = changed(saved(block(), tmp_path), on_cuda)

    assert error_of(read(path)) <= FLOAT32


def only(name: str) -> Callable[[Records], None]:
    def change(records: Records) -> None:
        records.clear()
        records[name] = b"{}"

    return change


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (only("data/aotinductor/model/a.so"), "holds compiled code, which is not run"),
        (only("serialized_exported_program.json"), "has no models/model.json"),
        (only(GRAPH), r"model_weights_config\.json"),
        (lambda records: records.update({GRAPH: b"{"}), r"models/model\.json"),
        (lambda records: records.update({GRAPH: b"[]"}), r"models/model\.json is no object"),
        (lambda records: records.update({GRAPH: b"{}"}), "has no graph"),
        (lambda records: records.update({WEIGHTS: b"{}"}), "does not say which tensor is where"),
        (lambda records: records.pop("data/weights/weight_0"), "PyTorch cannot load it"),
    ],
)
def test_what_is_no_program_is_said(
    change: Callable[[Records], None], message: str, tmp_path: Path
) -> None:
    path = changed(saved(nn.Conv2d(3, 4, 3), tmp_path), change)

    with pytest.raises(SourceError, match=message):
        program_file.load(path)


@pytest.mark.parametrize("damage", DAMAGES)
def test_a_damaged_program_is_refused(damage: Callable[[Path], Path], tmp_path: Path) -> None:
    path = damage(saved(nn.Conv2d(3, 4, 3), tmp_path))

    with pytest.raises(SourceError, match=r"is no \.pt2 program"):
        program_file.load(path)


def test_a_graph_of_more_text_than_is_read_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = saved(nn.Conv2d(3, 4, 3), tmp_path)
    monkeypatch.setattr(program_file, "LARGEST_DOCUMENT", 100)

    with pytest.raises(SourceError, match=r"its models/model\.json is larger than 100 bytes"):
        program_file.load(path)


def test_a_program_of_an_older_pytorch_is_to_be_saved_again(tmp_path: Path) -> None:
    path = tmp_path / "old.pt2"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("serialized_exported_program.json", "{}")

    with pytest.raises(SourceError, match=r"was written by PyTorch 2\.7 or before"):
        program_file.load(path)


def test_a_missing_file_one_that_is_no_archive_and_weights_beside_it_are_refused(
    tmp_path: Path,
) -> None:
    (tmp_path / "text.pt2").write_text("text")

    with pytest.raises(SourceError, match="no such file"):
        read(tmp_path / "none.pt2")
    with pytest.raises(SourceError, match=r"is no \.pt2 program: File is not a zip file"):
        read(tmp_path / "text.pt2")
    with pytest.raises(UsageError, match=r"--weights: a \.pt2 program has its weights"):
        read(tmp_path / "none.pt2", SourceOptions(weights=Path("w.pth")))


def test_nothing_is_said_and_no_warning_gets_out(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    path = saved(block(), tmp_path)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        read(path)

    assert not caught
    assert capfd.readouterr() == ("", "")
