"""Modules become graphs that still have every batch norm, whatever PyTorch would fold itself."""

import warnings
from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnx_ir as ir
import pytest
import torch
from safetensors.torch import save_file
from torch import Tensor, nn

from export import runtime
from export.errors import SourceError, UsageError
from export.folding import fold
from export.folding.recognition import batch_norms
from export.sources.module import read_module
from export.sources.options import SourceOptions
from export.sources.original import ImageInput, TensorInput
from export.sources.torch import load_weights, make_module, read_factory
from tests.export.graphs import normal, relative_error
from tests.export.networks import BasicBlock, randomize_statistics

pytestmark = pytest.mark.slow

# A few float32 layers: some ten roundings of 6e-8 each.
FLOAT32 = 1e-6

HERE = "tests.export.networks"
SMALL = SourceOptions(input_shape=(3, 8, 8))


def block() -> nn.Module:
    torch.manual_seed(0)
    return randomize_statistics(BasicBlock(3, 4, 2))


def test_every_batch_norm_that_the_module_calls_is_in_the_graph() -> None:
    model, _ = read_module(block(), (3, 8, 8))

    assert [node.name for node in batch_norms(model.graph)] == ["bn1", "bn2", "downsample.1"]


def test_a_module_called_twice_counts_twice_and_folds_exactly() -> None:
    class Twice(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.conv = nn.Conv2d(3, 3, 3, padding=1, bias=False)
            self.bn1, self.bn2 = nn.BatchNorm2d(3), nn.BatchNorm2d(3)

        def forward(self, x: Tensor) -> Tensor:
            x = self.bn1(self.conv(x)).relu()
            x = self.bn2(self.conv(x)).relu()
            result: Tensor = self.bn1(self.conv(x))
            return result

    torch.manual_seed(0)
    module = randomize_statistics(Twice())
    model, reference = read_module(module, (3, 8, 8))
    assert reference is not None

    assert [node.name for node in batch_norms(model.graph)] == ["bn1", "bn2", "bn1#2"]
    assert fold(model, mode="safe").report.bn_after == 0
    feeds = {"input": normal(2, 3, 8, 8, dtype=np.float32)}
    run = runtime.load(ir.to_proto(model).SerializeToString(), optimized=False)
    assert relative_error(reference(feeds)[0], run(feeds)[0]) <= FLOAT32


@pytest.mark.parametrize("rows", [1, 5])
def test_the_batch_is_free_and_names_are_ours(rows: int) -> None:
    model, reference = read_module(block(), (3, 8, 8))
    assert reference is not None

    (taken,), (given,) = model.graph.inputs, model.graph.outputs
    assert (taken.name, given.name) == ("input", "logits")
    assert taken.shape is not None
    assert str(taken.shape[0]) == "batch"
    feeds = {"input": normal(rows, 3, 8, 8, dtype=np.float32)}
    run = runtime.load(ir.to_proto(model).SerializeToString(), optimized=False)
    assert relative_error(reference(feeds)[0], run(feeds)[0]) <= FLOAT32


def test_a_wrong_weight_is_further_off_than_the_tolerance() -> None:
    module = block()
    _, reference = read_module(module, (3, 8, 8))
    assert reference is not None
    with torch.no_grad():
        module.get_parameter("conv1.weight")[0, 0, 0, 0] += 1e-3
    changed, _ = read_module(module, (3, 8, 8))

    feeds = {"input": normal(5, 3, 8, 8, dtype=np.float32)}
    run = runtime.load(ir.to_proto(changed).SerializeToString(), optimized=False)
    assert relative_error(reference(feeds)[0], run(feeds)[0]) > FLOAT32


def test_nothing_of_this_machine_and_no_warning_gets_out(capfd: pytest.CaptureFixture[str]) -> None:
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        model, _ = read_module(block(), (3, 8, 8))

    assert not caught
    assert capfd.readouterr() == ("", "")
    assert str(Path.cwd()).encode() not in ir.to_proto(model).SerializeToString()


def test_a_batch_norm_without_running_statistics_is_refused_by_name() -> None:
    module = nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4, track_running_stats=False))

    with pytest.raises(SourceError, match="batch norm '1' has no running statistics"):
        read_module(module, (3, 8, 8))


def test_one_that_is_never_called_does_not_matter() -> None:
    module = BasicBlock(3, 3, 1)
    module.add_module("unused", nn.BatchNorm2d(4, track_running_stats=False))

    model, _ = read_module(module, (3, 8, 8))

    assert len(batch_norms(model.graph)) == 2


def test_one_that_averages_over_all_batches_reads_like_any_other() -> None:
    """``momentum=None`` says how statistics are gathered, not how they are used."""
    module = nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4, momentum=None))

    model, _ = read_module(module, (3, 8, 8))

    assert fold(model, mode="safe").report.bn_after == 0


def test_a_module_that_will_not_leave_training_mode_is_refused_by_name() -> None:
    class Stubborn(nn.BatchNorm2d):
        def train(self, _: bool = True) -> "Stubborn":
            super().train(True)
            return self

    with pytest.raises(SourceError, match="module '1' stays in training mode"):
        read_module(nn.Sequential(nn.Conv2d(3, 4, 3), Stubborn(4)), (3, 8, 8))


def test_a_batch_norm_that_the_exporter_lost_is_noticed() -> None:
    class Hidden(nn.BatchNorm2d):
        def forward(self, x: Tensor) -> Tensor:
            return x * 2

    with pytest.raises(SourceError, match="0 batch norms of the 1"):
        read_module(nn.Sequential(nn.Conv2d(3, 4, 3), Hidden(4)), (3, 8, 8))


def test_a_shape_that_the_module_does_not_take_is_said() -> None:
    with pytest.raises(SourceError, match="does not take inputs 5x8x8"):
        read_module(block(), (5, 8, 8))


class Pair(nn.Module):
    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        return x, x


class Flat(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        return x.sum()


class FixedBatch(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        return x.reshape(2, -1)


@pytest.mark.parametrize("module", [Pair(), Flat()], ids=["two outputs", "no batch"])
def test_a_module_must_put_out_one_tensor_with_the_batch_first(module: nn.Module) -> None:
    with pytest.raises(SourceError, match="one tensor, the batch first"):
        read_module(module, (3, 8, 8))


@pytest.mark.parametrize(
    "flatten",
    [lambda x: x.flatten(1), lambda x: x.view(x.size(0), -1), lambda x: x.reshape(x.shape[0], 192)],
    ids=["flatten", "view", "reshape"],
)
def test_flattening_is_one_node_and_leaves_the_batch_free(
    flatten: Callable[[Tensor], Tensor],
) -> None:
    class Flattens(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            return flatten(x.relu())

    model, _ = read_module(Flattens(), (3, 8, 8))

    assert [node.op_type for node in model.graph] == ["Relu", "Reshape"]
    run = runtime.load(ir.to_proto(model).SerializeToString(), optimized=False)
    feeds = {"input": normal(5, 3, 8, 8, dtype=np.float32)}
    assert np.array_equal(run(feeds)[0], np.maximum(feeds["input"], 0).reshape(5, 192))


def test_a_module_that_fixes_the_batch_is_refused() -> None:
    with pytest.raises(SourceError, match="the module fixes the batch: its logits"):
        read_module(FixedBatch(), (3, 8, 8))


def test_a_module_that_decides_by_its_data_cannot_be_converted() -> None:
    class Decides(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            return x if x.sum() > 0 else -x

    with pytest.raises(SourceError, match="PyTorch cannot convert the module") as raised:
        read_module(Decides(), (3, 8, 8))
    assert "data-dependent" in str(raised.value)
    assert "\x1b" not in str(raised.value)


def test_a_module_that_insists_on_float32_has_no_float64_reference() -> None:
    class Insists(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.conv = nn.Conv1d(3, 4, 3)

        def forward(self, x: Tensor) -> Tensor:
            result: Tensor = self.conv(x.to(torch.float32))
            return result

    _, reference = read_module(Insists(), (3, 8))

    assert reference is None


def test_a_factory_is_read_with_its_origin() -> None:
    original = read_factory(f"{HERE}:small", SMALL)

    assert original.provenance.kind == "torch"
    assert original.provenance.reference == f"{HERE}:small"
    assert original.provenance.sha256 is None
    assert original.provenance.versions["torch"].startswith("2.")
    assert original.input == TensorInput((3, 8, 8))
    assert original.labels is None


def test_the_seed_decides_what_a_factory_draws() -> None:
    first, again, other = (make_module(f"{HERE}:small", seed) for seed in (1, 1, 2))

    name = "conv.weight"
    assert torch.equal(first.get_parameter(name), again.get_parameter(name))
    assert not torch.equal(first.get_parameter(name), other.get_parameter(name))


def test_mean_and_std_become_nodes_that_take_raw_pixels() -> None:
    mean, std = (0.5, 0.4, 0.3), (0.2, 0.25, 0.3)
    options = SourceOptions(input_shape=(3, 8, 8), mean=mean, std=std)
    pixels = np.random.default_rng(0).integers(0, 256, (2, 3, 8, 8)).astype(np.float32)

    original = read_factory(f"{HERE}:small", options)

    assert isinstance(original.input, ImageInput)
    assert original.input.color == "RGB"
    module = make_module(f"{HERE}:small", 0).double().eval()
    shape = (1, 3, 1, 1)
    normalized = (pixels / np.float64(255) - np.reshape(mean, shape)) / np.reshape(std, shape)
    with torch.no_grad():
        expected = module(torch.from_numpy(normalized)).numpy()
    run = runtime.load(ir.to_proto(original.model).SerializeToString(), optimized=False)
    assert original.reference is not None
    assert relative_error(expected, original.reference({"input": pixels})[0]) <= 1e-12
    assert relative_error(expected, run({"input": pixels})[0]) <= FLOAT32


@pytest.mark.parametrize("suffix", [".safetensors", ".pth", ".pt"])
def test_weights_are_loaded_and_their_hash_kept(tmp_path: Path, suffix: str) -> None:
    state = make_module(f"{HERE}:small", 5).state_dict()
    path = tmp_path / f"weights{suffix}"
    if suffix == ".safetensors":
        save_file(state, path)
    else:
        torch.save({"state_dict": state} if suffix == ".pt" else state, path)
    module = make_module(f"{HERE}:small", 0)

    digest = load_weights(module, path)

    assert len(digest) == 64
    assert torch.equal(module.get_parameter("conv.weight"), state["conv.weight"])
    options = SourceOptions(input_shape=(3, 8, 8), weights=path)
    assert read_factory(f"{HERE}:small", options).provenance.sha256 == digest


def test_weights_of_another_network_are_refused(tmp_path: Path) -> None:
    save_file({"other": torch.zeros(1)}, tmp_path / "w.safetensors")

    with pytest.raises(SourceError, match=r"w\.safetensors: .*[Mm]issing key"):
        load_weights(make_module(f"{HERE}:small", 0), tmp_path / "w.safetensors")


def test_a_wrapper_around_the_network_or_its_weights_does_not_matter(tmp_path: Path) -> None:
    bare = make_module(f"{HERE}:small", 5).state_dict()
    for number, wrapped in enumerate(
        [
            {f"module.{name}": tensor for name, tensor in bare.items()},
            {"epoch": 3, "model": {f"_orig_mod.{name}": one for name, one in bare.items()}},
            {"state_dict": bare},
        ]
    ):
        path = tmp_path / f"{number}.pth"
        torch.save(wrapped, path)
        module = make_module(f"{HERE}:small_in_parallel", 0)
        load_weights(module, path)
        assert torch.equal(module.get_parameter("conv.weight"), bare["conv.weight"])


def test_a_network_that_has_a_part_called_module_keeps_its_names(tmp_path: Path) -> None:
    class Holder(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.module = nn.Linear(2, 2)

    save_file(Holder().state_dict(), tmp_path / "w.safetensors")

    load_weights(Holder(), tmp_path / "w.safetensors")


@pytest.mark.parametrize("content", [[1, 2], {"state_dict": "text"}])
def test_weights_that_are_no_state_dict_are_an_error(tmp_path: Path, content: object) -> None:
    torch.save(content, tmp_path / "w.pth")

    with pytest.raises(SourceError, match=r"w\.pth: holds a (list|str), not a state dict"):
        load_weights(make_module(f"{HERE}:small", 0), tmp_path / "w.pth")


class Pickled:
    """What a weights file must not hold."""


def test_a_pickle_of_anything_but_tensors_is_not_read(tmp_path: Path) -> None:
    torch.save({"conv.weight": Pickled()}, tmp_path / "w.pth")

    with pytest.raises(SourceError, match=r"w\.pth: holds something else than tensors"):
        load_weights(make_module(f"{HERE}:small", 0), tmp_path / "w.pth")


@pytest.mark.parametrize("name", ["missing.pth", "missing.safetensors"])
def test_missing_weights_are_an_error(tmp_path: Path, name: str) -> None:
    with pytest.raises(SourceError, match=name):
        load_weights(make_module(f"{HERE}:small", 0), tmp_path / name)


def test_weights_in_an_unknown_format_are_refused(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"take a \.safetensors, \.pth or \.pt file"):
        load_weights(make_module(f"{HERE}:small", 0), tmp_path / "weights.h5")


@pytest.mark.parametrize(
    ("reference", "message"),
    [
        ("no.such.module:factory", "cannot import no.such.module"),
        (f"{HERE}:nothing", "has no callable nothing"),
        (f"{HERE}:", "has no callable"),
        (f"{HERE}:fails", "the factory failed: out of ideas"),
        (f"{HERE}:leaves", "the factory failed: 0"),
        (f"{HERE}:scripted", "made a TorchScript module"),
        (f"{HERE}:no_module", "made a int, not a torch.nn.Module"),
    ],
)
def test_a_factory_that_is_none_is_an_error(reference: str, message: str) -> None:
    with pytest.raises(SourceError, match=message):
        read_factory(reference, SMALL)


def test_a_factory_needs_an_input_shape() -> None:
    with pytest.raises(UsageError, match="--input is needed"):
        read_factory(f"{HERE}:small", SourceOptions())


def test_a_factory_in_the_current_folder_is_found(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "foldserve_test_factory.py").write_text(
        "from torch import nn\ndef make():\n    return nn.Flatten()\n"
    )
    monkeypatch.chdir(tmp_path)

    assert isinstance(make_module("foldserve_test_factory:make", 0), nn.Flatten)


def test_a_factory_in_the_current_folder_may_import_its_neighbours_when_it_is_called(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "foldserve_test_neighbour.py").write_text("from torch.nn import Flatten\n")
    (tmp_path / "foldserve_test_late.py").write_text(
        "def make():\n    from foldserve_test_neighbour import Flatten\n    return Flatten()\n"
    )
    monkeypatch.chdir(tmp_path)

    assert isinstance(make_module("foldserve_test_late:make", 0), nn.Flatten)
