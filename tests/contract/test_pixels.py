"""The same image file becomes the same tensor in training and in the service, to the byte."""

import functools
import io
from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnx_ir as ir
import pytest
import sklearn.datasets  # type: ignore[import-untyped]  # has no annotations
from PIL import Image

import export.input_format
import export.runtime
import service.artifact.manifest
import service.images.preprocessing
import training.inputs
import training.transforms
from export.sources.original import ImageInput, Original, Provenance
from tests.export import graphs

ALL_PIXELS = 89_000_000  # the largest bound that the service takes: none is refused here
PHOTO = Path(sklearn.datasets.__file__).parent / "images/china.jpg"
ROTATED_LEFT = 6  # the EXIF orientation of a phone that was held upright
ORIENTATION = 0x0112  # its tag


def photo() -> Image.Image:
    return Image.open(PHOTO)


def encoded(image: Image.Image, file_format: str, **options: object) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, file_format, **options)
    return buffer.getvalue()


def transparent() -> Image.Image:
    image = photo().convert("RGBA")
    image.putalpha(Image.linear_gradient("L").resize(image.size))
    return image


def palette_with_a_transparent_color() -> bytes:
    image = photo().convert("P", palette=Image.Palette.ADAPTIVE)
    return encoded(image, "PNG", transparency=0)


def upright_by_exif() -> bytes:
    exif = Image.Exif()
    exif[ORIENTATION] = ROTATED_LEFT
    return encoded(photo(), "JPEG", exif=exif)


def two_pictures() -> bytes:
    return encoded(photo(), "MPO", save_all=True, append_images=[photo().rotate(180)])


def sixteen_bit() -> bytes:
    samples = np.asarray(photo().convert("L"), dtype=np.uint16) * 257
    return encoded(Image.fromarray(samples), "PNG")


FILES: dict[str, Callable[[], bytes]] = {
    "JPEG": PHOTO.read_bytes,
    "grey JPEG": lambda: encoded(photo().convert("L"), "JPEG"),
    "progressive JPEG": lambda: encoded(photo(), "JPEG", progressive=True),
    "JPEG with whole colors": lambda: encoded(photo(), "JPEG", subsampling="4:4:4"),
    "JPEG with colors halved in width": lambda: encoded(photo(), "JPEG", subsampling="4:2:2"),
    "JPEG of odd sides": lambda: encoded(photo().crop((0, 0, 333, 201)), "JPEG"),
    "JPEG with a second picture": two_pictures,
    "CMYK JPEG": lambda: encoded(photo().convert("CMYK"), "JPEG"),
    "JPEG turned by EXIF": upright_by_exif,
    "PNG": lambda: encoded(photo(), "PNG"),
    "PNG with transparency": lambda: encoded(transparent(), "PNG"),
    "grey PNG with transparency": lambda: encoded(transparent().convert("LA"), "PNG"),
    "palette PNG": lambda: encoded(photo().convert("P"), "PNG"),
    "palette PNG with a transparent color": palette_with_a_transparent_color,
    "one-bit PNG": lambda: encoded(photo().convert("1"), "PNG"),
    "16-bit PNG": sixteen_bit,
    "WebP": lambda: encoded(photo(), "WEBP"),
    "lossless WebP with transparency": lambda: encoded(transparent(), "WEBP", lossless=True),
}
GEOMETRIES: dict[str, tuple[int, int, str, float | None]] = {
    "as it is": (427, 640, "nearest", None),
    "small": (8, 8, "bilinear", None),
    "oblong": (33, 100, "box", None),
    "larger": (500, 700, "lanczos", None),
    "ImageNet": (224, 224, "bilinear", 0.875),
    "uneven crop": (97, 61, "bicubic", 0.9),
    "crop without a border": (64, 64, "bilinear", 1.0),
}


@functools.cache
def contents(file: str) -> bytes:
    """One of the files; to write one takes longer than to read it."""
    return FILES[file]()


def served(
    data: bytes,
    color: str,
    geometry: tuple[int, int, str, float | None],
    layout: str = "NCHW",
    *,
    scaled: bool = False,
) -> np.ndarray:
    height, width, resize_filter, crop_fraction = geometry
    channels = {"L": 1, "RGB": 3}[color]
    spec = service.artifact.manifest.ImageInput.model_validate(
        {
            "name": "input",
            "kind": "image",
            "layout": layout,
            "color": color,
            "channels": channels,
            "height": height,
            "width": width,
            "value_range": (0.0, 255.0),
            "resize_filter": resize_filter,
            "crop_fraction": crop_fraction,
        }
    )
    return service.images.preprocessing.image_tensor(data, spec, ALL_PIXELS, scaled=scaled)


def trained(data: bytes, color: str, geometry: tuple[int, int, str, float | None]) -> np.ndarray:
    height, width, resize_filter, crop_fraction = geometry
    spec = training.inputs.ImageInput.model_validate(
        {
            "color": color,
            "channels": {"L": 1, "RGB": 3}[color],
            "height": height,
            "width": width,
            "resize_filter": resize_filter,
            "crop_fraction": crop_fraction,
        }
    )
    return training.transforms.evaluation(io.BytesIO(data), spec)


@functools.cache
def front(color: str, shape: tuple[int, int, int]) -> export.runtime.Runner:
    """What an artifact that takes bytes begins with, and nothing behind it."""
    sizes = ",".join(map(str, shape))
    proto = graphs.model(
        "y = Identity(x)", {}, inputs=f"float[n,{sizes}] x", outputs=f"float[n,{sizes}] y"
    )
    original = Original(ir.from_proto(proto), ImageInput(color, *shape), Provenance("onnx", "x"))
    model = export.input_format.with_format(original, "image-uint8").model
    return export.runtime.load(ir.to_proto(model).SerializeToString(), optimized=True)


@pytest.mark.parametrize("color", ["L", "RGB"])
@pytest.mark.parametrize("file", FILES)
@pytest.mark.parametrize("geometry", GEOMETRIES)
def test_training_and_service_see_the_same_tensor(file: str, color: str, geometry: str) -> None:
    data = contents(file)
    expected = trained(data, color, GEOMETRIES[geometry])
    actual = served(data, color, GEOMETRIES[geometry])
    assert (actual.dtype, actual.shape) == (expected.dtype, expected.shape)
    assert actual.flags.c_contiguous
    np.testing.assert_array_equal(actual, expected)


@pytest.mark.parametrize("color", ["L", "RGB"])
@pytest.mark.parametrize("file", FILES)
@pytest.mark.parametrize("geometry", GEOMETRIES)
def test_the_bytes_that_the_service_hands_on_become_that_tensor_in_the_graph(
    file: str, color: str, geometry: str
) -> None:
    data = contents(file)
    expected = trained(data, color, GEOMETRIES[geometry])
    given = served(data, color, GEOMETRIES[geometry], layout="NHWC")
    assert given.dtype == np.uint8
    assert given.flags.c_contiguous
    (actual,) = front(color, expected.shape)({"x": given[np.newaxis]})
    assert actual.dtype == expected.dtype
    np.testing.assert_array_equal(actual[0], expected)


@pytest.mark.parametrize(
    "other",
    [(224, 224, "bicubic", 0.875), (224, 224, "bilinear", 0.9), (224, 224, "bilinear", None)],
    ids=["filter", "crop", "no crop"],
)
def test_the_comparison_sees_another_filter_and_another_crop(
    other: tuple[int, int, str, float | None],
) -> None:
    data = PHOTO.read_bytes()
    expected = trained(data, "RGB", GEOMETRIES["ImageNet"])
    assert not np.array_equal(served(data, "RGB", other), expected)


@pytest.mark.parametrize("color", ["L", "RGB"])
@pytest.mark.parametrize("geometry", ["small", "ImageNet", "uneven crop"])
def test_scaled_decoding_is_within_a_grey_level_of_training_and_is_not_the_default(
    color: str, geometry: str
) -> None:
    data = encoded(photo().resize((2400, 1801), Image.Resampling.LANCZOS), "JPEG", quality=90)
    expected = trained(data, color, GEOMETRIES[geometry])
    np.testing.assert_array_equal(served(data, color, GEOMETRIES[geometry]), expected)
    difference = np.abs(served(data, color, GEOMETRIES[geometry], scaled=True) - expected)
    assert 0 < difference.mean() < 1.0  # stated in service.scaled_decoding
    assert difference.max() <= 20  # there, too
