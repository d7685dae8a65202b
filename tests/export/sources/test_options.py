"""What a user says about a source is checked before anything is read."""

from pathlib import Path
from typing import Any

import pytest

from export import sources
from export.errors import UsageError
from export.sources.options import (
    SourceOptions,
    describe_input,
    parse_numbers,
    parse_shape,
    read_labels,
)
from export.sources.original import ImageInput, TensorInput


def test_shapes_and_numbers_are_parsed() -> None:
    assert parse_shape("3x224x224") == (3, 224, 224)
    assert parse_shape("40") == (40,)
    assert parse_shape(None) is None
    assert parse_numbers("0.5,-1", "--mean") == (0.5, -1.0)
    assert parse_numbers(None, "--mean") is None


@pytest.mark.parametrize("text", ["", "3x", "3x-2", "3,4", "axb", "0x3", "9" * 5000])
def test_what_is_no_shape_is_refused(text: str) -> None:
    with pytest.raises(UsageError, match="write the shape of one input like 3x224x224"):
        parse_shape(text)


@pytest.mark.parametrize("text", ["", "a", "1;2", "nan", "1,inf"])
def test_what_are_no_numbers_is_refused(text: str) -> None:
    with pytest.raises(UsageError, match="--std"):
        parse_numbers(text, "--std")


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"color": "CMYK"}, "--color CMYK: take one of L, RGB"),
        ({"resize_filter": "magic"}, "--resize-filter magic: take one of nearest"),
        ({"crop_fraction": 0.0}, "--crop-fraction 0.0"),
        ({"crop_fraction": 1.5}, "--crop-fraction 1.5"),
        ({"input_shape": (3, 10**6, 10**6)}, "--input 3x1000000x1000000: more than 134217728"),
        ({"std": (0.1, 0.0)}, "--std: every number must be positive"),
    ],
)
def test_values_that_no_source_could_use_are_refused(fields: dict[str, Any], message: str) -> None:
    with pytest.raises(UsageError, match=message):
        SourceOptions(**fields)


def test_without_image_options_the_input_is_a_tensor() -> None:
    assert describe_input(SourceOptions(), (3, 8, 8)) == TensorInput((3, 8, 8))


@pytest.mark.parametrize(("channels", "color"), [(1, "L"), (3, "RGB")])
def test_the_color_follows_from_the_channels(channels: int, color: str) -> None:
    described = describe_input(SourceOptions(resize_filter="box"), (channels, 4, 5))

    assert described == ImageInput(color, channels, 4, 5, resize_filter="box")
    assert described.shape == (channels, 4, 5)


@pytest.mark.parametrize(
    ("fields", "shape", "message"),
    [
        ({"color": "L"}, (3, 8, 8), "--color L: the input 3x8x8 has 3 channels"),
        ({"mean": (0.5,)}, (4, 8, 8), "--mean: the input 4x8x8 is no image"),
        ({"mean": (0.5, 0.5)}, (3, 8, 8), "--mean: give 1 or 3 numbers, not 2"),
        ({"std": (0.5, 0.5)}, (3, 8, 8), "--std: give 1 or 3 numbers, not 2"),
        ({"color": "RGB"}, None, "unknown shape"),
    ],
)
def test_image_options_must_fit_the_input(
    fields: dict[str, Any], shape: tuple[int, ...] | None, message: str
) -> None:
    with pytest.raises(UsageError, match=message):
        describe_input(SourceOptions(**fields), shape)


def test_labels_are_one_a_line(tmp_path: Path) -> None:
    path = tmp_path / "labels.txt"
    path.write_bytes("tench\r\ngoldfish, Carassius\nzwölf\n".encode("utf-8-sig"))

    assert read_labels(path) == ("tench", "goldfish, Carassius", "zwölf")
    assert read_labels(None) is None


@pytest.mark.parametrize("content", [b"", b"\n", b"a\n\nb\n", b"a\n \n"])
def test_empty_labels_are_refused(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "labels.txt"
    path.write_bytes(content)

    with pytest.raises(UsageError, match="every line must hold one label"):
        read_labels(path)


def test_labels_that_cannot_be_read_are_refused(tmp_path: Path) -> None:
    (tmp_path / "latin.txt").write_bytes(b"\xff\xfe\xfa")

    for name in ("latin.txt", "missing.txt"):
        with pytest.raises(UsageError, match=f"{name}: cannot be read"):
            read_labels(tmp_path / name)


def test_a_source_of_no_known_form_is_refused() -> None:
    with pytest.raises(UsageError, match=r"model\.h5: give a checkpoint"):
        sources.read("model.h5", SourceOptions())


def test_an_onnx_file_takes_no_weights() -> None:
    with pytest.raises(UsageError, match="--weights: an ONNX file has its weights"):
        sources.read("model.onnx", SourceOptions(weights=Path("w.pth")))
