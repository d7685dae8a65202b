"""``.keras`` files become graphs that have every batch norm, and nothing in one is run."""

import json
import os
import subprocess
import sys
import warnings
import zipfile
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch

from export import reference, runtime
from export.errors import SourceError, UsageError
from export.folding.recognition import batch_norms
from export.sources import keras_file
from export.sources.keras import read_keras
from export.sources.keras_layers import outputs_of
from export.sources.options import SourceOptions
from export.sources.original import ImageInput, Original, TensorInput
from tests.export import keras_networks
from tests.export.archives import DAMAGES
from tests.export.graphs import relative_error
from tests.export.keras_networks import keras, randomize, saved, serialized

# Keras 3.15 itself, where it builds and saves a model, under numpy 2.
pytestmark = [
    pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning"),
    pytest.mark.slow,
]

# A few float32 layers: some ten roundings of 6e-8 each.
FLOAT32 = 1e-6
# ONNX stores attributes such as epsilon and a slope as float32: 6e-8 of a small part of a sum.
ATTRIBUTES = 2e-8

NETWORKS: list[tuple[Callable[[], Any], int]] = [
    (keras_networks.article, 2),
    (keras_networks.residual, 3),
    (keras_networks.separable, 4),
    (keras_networks.signal, 3),
    (keras_networks.normalized, 1),
    (keras_networks.shared, 2),
    (keras_networks.volume, 1),
]


def read(model: Any, folder: Path, options: SourceOptions | None = None) -> Original:
    return read_keras(saved(model, folder), options or SourceOptions())


def feeds(original: Original, rows: int = 3) -> dict[str, Any]:
    rng = np.random.default_rng(0)
    return {
        str(value.name): rng.standard_normal(
            (rows, *(size for size in (value.shape or ())[1:] if isinstance(size, int)))
        ).astype(np.float32)
        for value in original.model.graph.inputs
    }


def error_of(original: Original) -> float:
    """Of the graph in ONNX Runtime, against Keras in float64."""
    assert original.reference is not None
    given = feeds(original)
    run = runtime.load(serialized(original.model), optimized=False)
    return relative_error(original.reference(given)[0], run(given)[0])


@pytest.mark.parametrize(
    ("make", "count"), NETWORKS, ids=lambda case: getattr(case, "__name__", "")
)
def test_a_network_keeps_its_batch_norms_and_computes_what_keras_computes(
    make: Callable[[], Any], count: int, tmp_path: Path
) -> None:
    original = read(randomize(make()), tmp_path)

    assert len(batch_norms(original.model.graph)) == count
    assert error_of(original) <= FLOAT32


def test_a_wrong_statistic_is_further_off_than_the_tolerance(tmp_path: Path) -> None:
    model = randomize(keras_networks.article())
    right = read(model, tmp_path)
    model.layers[1].moving_mean.assign(model.layers[1].moving_mean + 1e-4)
    wrong = read(model, tmp_path)

    assert right.reference is not None
    given = feeds(right)
    run = runtime.load(serialized(wrong.model), optimized=False)
    assert relative_error(right.reference(given)[0], run(given)[0]) > FLOAT32


@pytest.mark.parametrize("make", [keras_networks.article, keras_networks.signal])
def test_the_reference_computes_in_float64(make: Callable[[], Any], tmp_path: Path) -> None:
    original = read(randomize(make()), tmp_path)
    assert original.reference is not None

    given = feeds(original)
    independent = reference.in_float64(original.model)(given)
    assert relative_error(independent[0], original.reference(given)[0]) <= ATTRIBUTES


def test_keras_by_itself_does_not_even_with_float64_variables(tmp_path: Path) -> None:
    path = saved(randomize(keras_networks.article()), tmp_path)
    original = read_keras(path, SourceOptions())
    model = keras_file.load(path, "float64")

    given = feeds(original)
    independent = reference.in_float64(original.model)(given)
    with keras().device("cpu"), torch.no_grad():
        (output,) = outputs_of(keras(), model, [torch.from_numpy(given["image"]).double()])
    assert relative_error(independent[0], output.numpy()) > ATTRIBUTES


def test_nodes_inputs_and_outputs_are_called_as_keras_calls_them(tmp_path: Path) -> None:
    layers = keras().layers
    parts = [keras().Input((8, 8, 3), name="image"), layers.Conv2D(4, 3, name="stem")]
    parts += [layers.BatchNormalization(name="stem_bn"), layers.Flatten()]
    model = keras().Sequential([*parts, layers.Dense(2, name="classes")])

    graph = read(model, tmp_path).model.graph

    names = {node.op_type: node.name for node in graph}
    assert (names["Conv"], names["BatchNormalization"]) == ("stem", "stem_bn")
    assert {"stem_bn.gamma", "stem_bn.running_mean"} <= graph.initializers.keys()
    (taken,), (given,) = graph.inputs, graph.outputs
    assert (taken.name, str(taken.shape)) == ("image", "[batch,8,8,3]")
    assert (given.name, str(given.shape)) == ("classes", "[batch,2]")


def test_an_output_may_be_called_as_the_convolution_inside_its_layer(tmp_path: Path) -> None:
    parts = [keras().Input((8, 8, 3)), keras().layers.Conv2D(4, 3, name="conv2d")]

    original = read(keras().Sequential(parts), tmp_path)

    assert original.model.graph.outputs[0].name == "conv2d"
    assert error_of(original) <= FLOAT32


def test_several_inputs_and_outputs_keep_their_names_and_order(tmp_path: Path) -> None:
    layers = keras().layers
    image, words = keras().Input((8, 8, 3), name="image"), keras().Input((4,), name="words")
    seen = layers.GlobalAveragePooling2D()(layers.BatchNormalization()(layers.Conv2D(4, 3)(image)))
    both = layers.Concatenate()([seen, layers.Dense(4)(words)])
    outputs = {"b": layers.Dense(2, name="wide")(both), "a": layers.Dense(3, name="high")(both)}
    model = keras().Model({"words": words, "image": image}, outputs)

    original = read(model, tmp_path)

    assert [value.name for value in original.model.graph.inputs] == ["image", "words"]
    assert [value.name for value in original.model.graph.outputs] == ["high", "wide"]
    assert error_of(original) <= FLOAT32


def test_keras_s_batch_norm_is_not_rounded_before_the_fold(tmp_path: Path) -> None:
    """Keras's own exporters multiply by gamma / sqrt(variance + epsilon) in float32."""
    model = randomize(keras_networks.article())

    graph = read(model, tmp_path).model.graph

    (first, _) = batch_norms(graph)
    assert first.attributes["epsilon"].as_float() == pytest.approx(1e-3, rel=1e-7)
    layer = model.layers[1]
    gamma = graph.initializers[f"{layer.name}.gamma"].const_value
    assert gamma is not None
    assert gamma.numpy().tolist() == layer.get_weights()[0].tolist()


@pytest.mark.parametrize("policy", ["mixed_float16", "mixed_bfloat16", "float64"])
def test_whatever_it_was_trained_in_the_graph_is_float32(policy: str, tmp_path: Path) -> None:
    layers = keras().layers
    parts = [keras().Input((8, 8, 3)), layers.Conv2D(4, 3, dtype=policy)]
    parts += [layers.BatchNormalization(dtype=policy), layers.Flatten(dtype=policy)]
    model = randomize(keras().Sequential([*parts, layers.Dense(2, dtype="float32")]))

    original = read(model, tmp_path)

    assert "Cast" not in {node.op_type for node in original.model.graph}
    assert error_of(original) <= FLOAT32


def test_where_it_came_from_is_said(tmp_path: Path) -> None:
    original = read(keras_networks.article(), tmp_path)

    assert original.provenance.kind == "keras"
    assert original.provenance.reference == "article.keras"
    assert len(original.provenance.sha256 or "") == 64
    assert original.provenance.versions.keys() == {"torch", "keras"}
    assert original.reference_name == "float64 Keras"
    assert original.input == TensorInput((24, 24, 1))


def test_an_image_goes_channels_first_into_a_network_of_channels_last(tmp_path: Path) -> None:
    """The service sends (N, C, H, W); Keras's networks mostly take (N, H, W, C)."""
    options = SourceOptions(color="L", mean=(0.5,), std=(0.25,))
    original = read(randomize(keras_networks.article()), tmp_path, options)

    assert original.input == ImageInput("L", 1, 24, 24)
    assert str(original.model.graph.inputs[0].shape) == "[batch,1,24,24]"
    assert error_of(original) <= FLOAT32


def test_sizes_that_are_free_must_be_given(tmp_path: Path) -> None:
    layers = keras().layers
    parts = [keras().Input((None, None, 3), name="image"), layers.Conv2D(4, 3)]
    parts += [layers.BatchNormalization(), layers.GlobalAveragePooling2D()]
    path = saved(keras().Sequential(parts, name="free"), tmp_path)

    with pytest.raises(UsageError, match=r"'image' is \?x\?x3: give --input"):
        read_keras(path, SourceOptions())
    with pytest.raises(UsageError, match=r"--input 3x9x9: input 'image' of .* is \?x\?x3"):
        read_keras(path, SourceOptions(input_shape=(3, 9, 9)))
    original = read_keras(path, SourceOptions(input_shape=(10, 9, 3)))
    assert str(original.model.graph.inputs[0].shape) == "[batch,10,9,3]"


def test_a_fixed_batch_is_refused(tmp_path: Path) -> None:
    parts = [keras().Input((8, 8, 3), batch_size=4, name="image"), keras().layers.Conv2D(4, 3)]

    with pytest.raises(SourceError, match="input 'image' fixes the batch to 4"):
        read(keras().Sequential(parts), tmp_path)


def test_a_model_that_was_never_built_is_refused(tmp_path: Path) -> None:
    model = keras().Sequential([keras().layers.Conv2D(4, 3)], name="unbuilt")

    with pytest.raises(SourceError, match="saved before it was built"):
        read(model, tmp_path)


def test_a_lambda_is_not_run(tmp_path: Path) -> None:
    parts = [keras().Input((3,)), keras().layers.Lambda(lambda x: x * 2)]

    with pytest.raises(SourceError, match="a Lambda layer holds Python code, which is not run"):
        read(keras().Sequential(parts), tmp_path)


def test_a_pickled_pytorch_module_is_not_loaded(tmp_path: Path) -> None:
    parts = [keras().Input((3,)), keras().layers.TorchModuleWrapper(torch.nn.Linear(3, 2))]

    with pytest.raises(SourceError, match="Keras cannot load it"):
        read(keras().Sequential(parts), tmp_path)


def test_a_layer_of_others_is_named(tmp_path: Path) -> None:
    @keras().saving.register_keras_serializable(package="mine")
    class Doubled(keras().layers.Layer):  # type: ignore[misc]  # Keras is imported when it runs
        def call(self, inputs: Any) -> Any:
            return inputs * 2

    with pytest.raises(SourceError, match="mine>Doubled is no part of Keras"):
        read(keras().Sequential([keras().Input((3,)), Doubled()]), tmp_path)


def changed(path: Path, change: Callable[[dict[str, Any]], None]) -> Path:
    """A ``.keras`` file whose config was changed by hand."""
    with zipfile.ZipFile(path) as archive:
        records = {name: archive.read(name) for name in archive.namelist()}
    config = json.loads(records["config.json"])
    change(config)
    records["config.json"] = json.dumps(config).encode()
    with zipfile.ZipFile(path, "w") as archive:
        for name, data in records.items():
            archive.writestr(name, data)
    return path


def test_a_class_of_some_installed_package_is_not_imported(tmp_path: Path) -> None:
    def point_elsewhere(config: dict[str, Any]) -> None:
        config["config"]["layers"][1] |= {"module": "subprocess", "class_name": "Popen"}

    path = changed(saved(keras_networks.article(), tmp_path), point_elsewhere)

    with pytest.raises(SourceError, match="no part of Keras"):
        read_keras(path, SourceOptions())


def test_a_quantized_model_is_refused(tmp_path: Path) -> None:
    def quantize(config: dict[str, Any]) -> None:
        config["config"]["layers"][1]["config"]["dtype"]["class_name"] = "QuantizedDTypePolicy"

    path = changed(saved(keras_networks.article(), tmp_path), quantize)

    with pytest.raises(SourceError, match=r"quantized \(QuantizedDTypePolicy\)"):
        read_keras(path, SourceOptions())


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"no zip", "is no .keras file of Keras 3: File is not a zip file"),
        ({"weights.h5": b""}, "is no .keras file of Keras 3: .*config.json"),
        ({"config.json": b"{"}, "is no .keras file of Keras 3"),
        ({"config.json": b"[]"}, "is no .keras file of Keras 3: its config.json is no object"),
        ({"config.json": b"{}"}, "Keras cannot load it"),
    ],
)
def test_what_is_no_keras_file_is_said(
    content: bytes | dict[str, bytes], message: str, tmp_path: Path
) -> None:
    path = tmp_path / "model.keras"
    if isinstance(content, bytes):
        path.write_bytes(content)
    else:
        with zipfile.ZipFile(path, "w") as archive:
            for name, data in content.items():
                archive.writestr(name, data)

    with pytest.raises(SourceError, match=message):
        read_keras(path, SourceOptions())


@pytest.mark.parametrize("damage", DAMAGES)
def test_a_damaged_file_is_refused(damage: Callable[[Path], Path], tmp_path: Path) -> None:
    path = damage(saved(keras_networks.article(), tmp_path))

    with pytest.raises(SourceError, match=r"is no \.keras file of Keras 3"):
        read_keras(path, SourceOptions())


def test_a_file_whose_weights_alone_are_damaged_is_refused(tmp_path: Path) -> None:
    path = saved(keras_networks.article(), tmp_path)
    with zipfile.ZipFile(path) as archive:
        weights = archive.getinfo("model.weights.h5")
    data = bytearray(path.read_bytes())
    middle = weights.header_offset + weights.compress_size // 2
    data[middle : middle + 64] = b"\xff" * 64
    path.write_bytes(data)

    with pytest.raises(SourceError, match="cannot be unpacked: Bad CRC-32"):
        read_keras(path, SourceOptions())


def test_a_missing_file_and_weights_beside_it_are_refused(tmp_path: Path) -> None:
    with pytest.raises(SourceError, match="no such file"):
        read_keras(tmp_path / "none.keras", SourceOptions())
    with pytest.raises(UsageError, match=r"--weights: a \.keras file has its weights"):
        read_keras(tmp_path / "none.keras", SourceOptions(weights=Path("w.pth")))


def test_nothing_is_said_and_no_warning_gets_out(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    path = saved(keras_networks.article(), tmp_path)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        read_keras(path, SourceOptions())

    assert not caught
    assert capfd.readouterr() == ("", "")


OTHER_SETTINGS = '{"backend": "tensorflow", "floatx": "float16"}'
READ = """
import os, sys
from export.sources import read
from export.sources.options import SourceOptions
before = dict(os.environ)
read(sys.argv[1], SourceOptions())
assert dict(os.environ) == before
"""


def test_the_user_s_keras_settings_are_not_read_and_the_environment_is_left_as_it_was(
    tmp_path: Path, root: Path
) -> None:
    """Keras would write ~/.keras/keras.json, and run on what it says there."""
    path = saved(keras_networks.article(), tmp_path)
    home = tmp_path / "home"
    (home / ".keras").mkdir(parents=True)
    settings = home / ".keras" / "keras.json"
    settings.write_text(OTHER_SETTINGS)
    environment = {**os.environ, "HOME": str(home)}
    environment.pop("KERAS_HOME", None)

    subprocess.run([sys.executable, "-c", READ, str(path)], cwd=root, env=environment, check=True)

    assert [*settings.parent.iterdir()] == [settings]
    assert settings.read_text() == OTHER_SETTINGS


def test_keras_on_another_backend_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    other = SimpleNamespace(backend=SimpleNamespace(backend=lambda: "jax"))
    monkeypatch.setitem(sys.modules, "keras", other)

    with pytest.raises(UsageError, match="Keras runs on jax in this process"):
        keras_file.start()
