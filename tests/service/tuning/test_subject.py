"""What a server says of the model under measurement."""

from collections.abc import Iterator

import pytest

from service.artifact.signature import TensorSpec
from service.errors import StartError
from service.tuning.subject import Subject, Version, ask
from tests.service import zoo
from tests.service.servers import Server, server


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    models = tmp_path_factory.mktemp("models")
    narrow = zoo.manifest_document() | {"precision": PRECISION}
    zoo.put(models, "brightness", 1, zoo.brightness_classifier())
    zoo.put(models, "brightness", 2, zoo.brightness_classifier(**narrow))
    zoo.put(models, "doubler", 1, zoo.doubler())
    zoo.put(models, "doubler", 2, zoo.doubler(shape=("batch", "width")))
    broken = models / "doubler" / "3" / "model.onnx"
    broken.parent.mkdir()
    broken.write_bytes(b"no graph")
    (models / "broken" / "1").mkdir(parents=True)
    with server(models) as started:
        yield started


PRECISION = {
    "kind": "int8",
    "top1_agreement": None,
    "accuracy_before": None,
    "accuracy_after": None,
    "samples": 1,
    "split": None,
    "calibration": None,
    "size_before": 2,
    "size_after": 1,
}


def test_versions_have_the_precision_and_the_image_of_their_manifest(running: Server) -> None:
    pixels = (TensorSpec("input", "FP32", (None, 1, 4, 4)),)
    found = ask(running.port, "brightness")
    assert [(each.number, each.precision) for each in found.versions] == [
        ("1", "fp32"),
        ("2", "int8"),
    ]
    assert found.versions[0].inputs == pixels
    assert tuple(found.versions[0].value_range or ()) == (0, 255)
    assert found.versions[0].image_shape == (1, 4, 4)


def test_without_a_manifest_the_graph_alone_speaks(running: Server) -> None:
    found = ask(running.port, "doubler")
    assert found.versions == (
        Version("1", "-", (TensorSpec("x", "FP32", (None, 3)),)),
        Version("2", "-", (TensorSpec("x", "FP32", (None, None)),)),
    )
    assert found.default == "2"


def test_a_version_that_cannot_answer_is_left_out_with_its_reason(running: Server) -> None:
    ((number, reason),) = ask(running.port, "doubler").left_out
    assert number == "3"
    assert reason


def test_one_version_can_be_asked_for(running: Server) -> None:
    found = ask(running.port, "doubler", "1")
    assert isinstance(found, Subject)
    assert [each.number for each in found.versions] == ["1"]
    assert found.left_out == ()


@pytest.mark.parametrize(
    ("name", "version", "message"),
    [
        ("nothing", None, "there is no model of this name"),
        ("doubler", "7", "model doubler has no version 7"),
        ("doubler", "3", "model doubler cannot be served: "),
        ("broken", None, "model broken cannot be served: "),
    ],
)
def test_what_cannot_be_measured_is_refused(
    name: str, version: str | None, message: str, running: Server
) -> None:
    with pytest.raises(StartError, match=message):
        ask(running.port, name, version)
