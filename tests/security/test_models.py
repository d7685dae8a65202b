"""Models that are not what was exported: the real server serves none of them, and the good ones on.

Each lies in the repository of one server from the start on, and is then asked to be loaded over
the control port, so that both roads are tried.
"""

import json
import os
import random
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from export import lock
from tests.service import zoo
from tests.service.artifact.test_files import model as external_model
from tests.service.artifact.test_files import numbers
from tests.service.servers import PATIENCE_S, Server, refused, server

BUNDLED = Path(__file__).resolve().parents[2] / "models/digits/1/model.onnx"
MOST_BYTES = 2 * 2**20


def folder(root: Path, name: str) -> Path:
    path = root / name / "1"
    path.mkdir(parents=True)
    return path


def bundled() -> onnx.ModelProto:
    """The model of the repository, which carries a vector of what it computes."""
    return onnx.load(BUNDLED)


def manifest_of(model: onnx.ModelProto) -> dict[str, Any]:
    (entry,) = [one for one in model.metadata_props if one.key == "foldserve.manifest"]
    found: dict[str, Any] = json.loads(entry.value)
    return found


def with_manifest(change: Callable[[dict[str, Any]], object]) -> bytes:
    model = bundled()
    document = manifest_of(model)
    change(document)
    helper.set_model_props(model, {"foldserve.manifest": json.dumps(document)})
    return bytes(model.SerializeToString())


def with_weights(change: Callable[[np.ndarray[Any, Any]], Any]) -> bytes:
    """The same network with other numbers in the weights of its last layer."""
    model = bundled()
    for tensor in model.graph.initializer:
        if tensor.name == "network.classifier.weight":
            array = np.array(change(numpy_helper.to_array(tensor).copy()), np.float32)
            tensor.CopyFrom(numpy_helper.from_array(array, tensor.name))
    return bytes(model.SerializeToString())


def one_wrong(weights: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
    weights[3, 5] += 1
    return weights


def with_metadata(text: str) -> bytes:
    metadata = {"foldserve.manifest": text}
    return bytes(zoo.doubler(metadata=metadata).SerializeToString())


def with_operator(domain: str, operator: str) -> bytes:
    model = zoo.doubler()
    model.graph.node[0].op_type, model.graph.node[0].domain = operator, domain
    if domain:
        model.opset_import.add(domain=domain, version=1)
    return bytes(model.SerializeToString())


FILES: Mapping[str, tuple[Callable[[], bytes], str]] = {
    "garbage": (lambda: random.Random(0).randbytes(5000), "no ONNX model"),  # noqa: S311
    "empty": (lambda: b"", "the model's file is empty"),
    "cut": (lambda: BUNDLED.read_bytes()[:-1000], "no ONNX model"),
    "pickle": (lambda: b"\x80\x04cos\nsystem\n(S'true'\ntR.", "no ONNX model"),
    "too-large": (
        lambda: bytes(zoo.spread(MOST_BYTES // 4 + 1).SerializeToString()),
        f"more than FOLDSERVE_MAX_MODEL_BYTES={MOST_BYTES}",
    ),
    "unknown-operator": (lambda: with_operator("", "NoSuch"), "does not load it"),
    "python-operator": (lambda: with_operator("ai.onnx.contrib", "PyOp"), "does not load it"),
    "one-weight": (lambda: with_weights(one_wrong), "does not compute on this machine"),
    "no-weights": (lambda: with_weights(np.zeros_like), "does not compute on this machine"),
    "nan-weights": (lambda: with_weights(lambda w: w * np.nan), "does not compute on this"),
    "turned-weights": (lambda: with_weights(lambda w: w[::-1]), "does not compute on this machine"),
    "unknown-version": (lambda: with_manifest(lambda d: d.update(format_version=99)), "99"),
    "unknown-field": (lambda: with_manifest(lambda d: d.update(more=1)), "manifest's more"),
    "missing-field": (lambda: with_manifest(lambda d: d.pop("vector")), "manifest's vector"),
    "wrong-type": (lambda: with_manifest(lambda d: d.update(version="1")), "manifest's version"),
    "no-json": (lambda: with_metadata("{"), "the manifest is not JSON"),
    "no-object": (lambda: with_metadata("[]"), "the manifest is not a JSON object"),
    "deep-json": (lambda: with_metadata("[" * 100_000), "the manifest is not JSON"),
    "other-input": (
        lambda: with_manifest(lambda d: d["input"].update(name="other")),
        "the manifest's input 'other' is not in the graph",
    ),
    "other-size": (
        lambda: with_manifest(lambda d: d["input"].update(height=9)),
        "one image of the manifest is",
    ),
    "other-labels": (lambda: with_manifest(lambda d: d["labels"].pop()), "9 labels for an output"),
    "huge-input": (lambda: with_manifest(lambda d: d["input"].update(height=10**9)), "height"),
    "other-vector": (
        lambda: with_manifest(lambda d: d["vector"]["outputs"][0]["values"].__setitem__(0, 7.5)),
        "does not compute on this machine",
    ),
    "huge-vector": (
        lambda: with_manifest(lambda d: d["vector"]["inputs"][0].update(shape=[2**30, 1, 8, 8])),
        "the inputs have more than",
    ),
}


def elsewhere(root: Path, name: str, location: str) -> Path:
    """A model whose weights lie in another file; return its folder."""
    path = folder(root, name)
    (path / "model.onnx").write_bytes(external_model(location).SerializeToString())
    return path


def links(root: Path) -> dict[str, str]:
    """Put models whose external data is not theirs; return the reasons."""
    outside = numbers(root.parent / "weights.bin")
    elsewhere(root, "above", "../../../weights.bin")
    elsewhere(root, "absolute", str(outside))
    elsewhere(root, "host", "/etc/passwd")
    elsewhere(root, "backslash", "..\\..\\weights.bin")
    elsewhere(root, "neighbour", "../../good/1/w.bin")
    (elsewhere(root, "link", "w.bin") / "w.bin").symlink_to(outside)
    (elsewhere(root, "hard-link", "w.bin") / "w.bin").hardlink_to(outside)
    (elsewhere(root, "linked-folder", "deep/w.bin") / "deep").symlink_to(root.parent)
    os.mkfifo(elsewhere(root, "pipe", "w.bin") / "w.bin")
    (elsewhere(root, "device", "w.bin") / "w.bin").symlink_to("/dev/zero")
    elsewhere(root, "missing", "w.bin")
    (folder(root, "link-out") / "model.onnx").symlink_to(outside)
    outside_names = ("above", "absolute", "host", "backslash", "neighbour")
    return {
        **dict.fromkeys(outside_names, "the external data of 'w' lies outside the model's folder"),
        **dict.fromkeys(("link", "linked-folder", "device"), "is a link"),
        "hard-link": "is a hard link",
        "pipe": "is no plain file",
        "missing": "is missing",
        "link-out": "leads out of the repository",
    }


class Mixed:
    """A server of good models and of others."""

    def __init__(self, running: Server, root: Path, reasons: Mapping[str, str]) -> None:
        self.running = running
        self.root = root
        self.reasons = reasons

    def post(self, path: str, **request: Any) -> httpx.Response:
        return httpx.post(path, timeout=PATIENCE_S, **request)

    def infer(self, model: str) -> httpx.Response:
        tensor = {"name": "x", "shape": [1, 3], "datatype": "FP32", "data": [1, 2, 3]}
        return self.post(f"{self.running.url}/v2/models/{model}/infer", json={"inputs": [tensor]})

    def load(self, model: str) -> httpx.Response:
        return self.post(f"{self.running.control}/v2/repository/models/{model}/load")


@pytest.fixture(scope="module")
def mixed(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Mixed]:
    root = tmp_path_factory.mktemp("root") / "models"
    (folder(root, "digits") / "model.onnx").write_bytes(BUNDLED.read_bytes())
    numbers(elsewhere(root, "good", "w.bin") / "w.bin")
    for name, (make, _) in FILES.items():
        (folder(root, name) / "model.onnx").write_bytes(make())
    reasons = {name: reason for name, (_, reason) in FILES.items()} | links(root)
    choices = {"CONTROL_PORT": 0, "MAX_MODEL_BYTES": MOST_BYTES, "WORKERS": 2}
    with server(root, **choices, LOG_LEVEL="error", ACCESS_LOG="none") as running:
        running.control  # noqa: B018 -- the line is read before it is asked for
        yield Mixed(running, root, reasons)
        assert running.stop() == 0


def test_no_model_is_served_that_is_not_what_was_exported(
    mixed: Mixed, figure: Callable[..., None]
) -> None:
    models = httpx.get(f"{mixed.running.url}/models", timeout=PATIENCE_S).json()["models"]
    found = {each["name"]: each["versions"][0] for each in models}
    assert found.keys() == {"digits", "good", *mixed.reasons}
    for name, reason in mixed.reasons.items():
        assert found[name]["state"] == "failed", name
        assert reason in found[name]["reason"], name
        assert mixed.infer(name).status_code == 503
    figure("Models that are not what was exported", models=len(mixed.reasons), served=0)


def test_nor_is_one_that_a_command_asks_for_and_no_path_is_told(mixed: Mixed) -> None:
    for name, reason in mixed.reasons.items():
        answer = mixed.load(name)
        assert answer.status_code == 500, name
        told = answer.json()["error"]
        assert reason in told, name
        assert str(mixed.root.parent) not in told
        assert "passwd" not in told
    listed = httpx.get(f"{mixed.running.url}/models", timeout=PATIENCE_S).text
    assert str(mixed.root.parent) not in listed


def test_the_good_ones_are_served_beside_them(mixed: Mixed, root: Path) -> None:
    picture = (root / "tests/data/digit_7.png").read_bytes()
    answer = mixed.post(f"{mixed.running.url}/models/digits/predict", content=picture)
    assert answer.json()["predictions"][0]["label"] == "7"
    assert mixed.infer("good").json()["outputs"][0]["data"] == [2, 3, 4]


def test_one_that_is_put_right_is_served(mixed: Mixed) -> None:
    """What was refused is not refused for its name."""
    path = mixed.root / "one-weight" / "1" / "model.onnx"
    wrong = path.read_bytes()
    path.write_bytes(BUNDLED.read_bytes())
    assert mixed.load("one-weight").status_code == 200
    path.write_bytes(wrong)
    assert mixed.load("one-weight").status_code == 500
    ready = httpx.get(f"{mixed.running.url}/v2/models/one-weight/ready", timeout=PATIENCE_S)
    assert ready.status_code == 200  # the one before stays


def locked(root: Path) -> Path:
    """A repository of two models with the lock that export writes."""
    zoo.put(root, "m", 1, zoo.doubler())
    numbers(elsewhere(root, "external", "w.bin") / "w.bin")
    lock.lock(root)
    return root


def test_with_a_lock_another_file_is_not_served_whatever_it_says(
    tmp_path: Path, figure: Callable[..., None]
) -> None:
    root = locked(tmp_path / "models")
    zoo.put(root, "foreign", 1, zoo.doubler())
    choices = {"CONTROL_PORT": 0, "REQUIRE_LOCK": "yes", "ACCESS_LOG": "none"}
    with server(root, LOG_LEVEL="error", **choices) as running:
        mixed = Mixed(running, root, {})
        assert mixed.infer("m").json()["outputs"][0]["data"] == [2, 4, 6]
        assert mixed.infer("external").json()["outputs"][0]["data"] == [2, 3, 4]
        assert mixed.infer("foreign").status_code == 503
        # Another model, valid in itself, and other weights beside one that has not changed.
        (root / "m/1/model.onnx").write_bytes(zoo.identity(TensorProto.FLOAT).SerializeToString())
        np.zeros(3, np.float32).tofile(root / "external/1/w.bin")
        for name in ("m", "external", "foreign"):
            answer = mixed.load(name)
            assert answer.status_code == 500, name
            assert "lock.json" in answer.json()["error"]
        assert mixed.infer("m").json()["outputs"][0]["data"] == [2, 4, 6]  # what was before
        lock.lock(root)
        for name in ("m", "external", "foreign"):
            assert mixed.load(name).status_code == 200
        assert mixed.infer("m").json()["outputs"][0]["data"] == [1, 2, 3]
        assert running.stop() == 0
    figure("Files that are not the lock's", models=3, served=0)


@pytest.mark.parametrize("text", [None, b"{}", b"", b"[" * 100_000, b" " * (4 * 2**20 + 1)])
def test_without_a_lock_that_can_be_read_nothing_starts(tmp_path: Path, text: bytes | None) -> None:
    root = locked(tmp_path / "models")
    (root / "lock.json").unlink()
    if text is not None:
        (root / "lock.json").write_bytes(text)
    line = refused(root, REQUIRE_LOCK="yes")
    assert "lock.json" in line
    assert "no model can be served" in line
