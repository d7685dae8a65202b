"""Images to tensors, in the manifest's convention."""

import io
import struct
import zlib
from contextlib import suppress
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image, ImageOps

from service.artifact.manifest import ImageInput
from service.errors import ImageTooLarge, InvalidImage, ServiceError, UnsupportedImage
from service.images.preprocessing import covering_size, image_tensor
from tests.service.crafted import scanned
from tests.service.pictures import encoded, grey, image_input, noise

MAX_PIXELS = 1_000_000


def spec(height: int = 2, width: int = 3, color: str = "L", **changes: Any) -> ImageInput:
    return image_input(height, width, color, **changes)


def tensor(data: bytes, expected: ImageInput, max_pixels: int = MAX_PIXELS) -> Any:
    return image_tensor(data, expected, max_pixels)


def picture(values: Any, mode: str = "L") -> Image.Image:
    array = np.asarray(values, np.uint8)
    if mode in {"L", "P"}:
        return Image.frombytes(mode, array.shape[::-1], array.tobytes())
    return Image.frombytes(mode, array.shape[1::-1], array.tobytes())


def test_a_grey_image_of_the_right_size_is_its_pixels() -> None:
    values = [[0, 1, 2], [253, 254, 255]]
    found = tensor(encoded(picture(values)), spec())
    assert found.dtype == np.float32
    assert found.flags.c_contiguous
    assert found.tolist() == [values]


def test_a_color_image_is_channels_first_in_the_order_red_green_blue() -> None:
    data = encoded(Image.new("RGB", (3, 2), (10, 20, 30)))
    found = tensor(data, spec(color="RGB"))
    assert found.shape == (3, 2, 3)
    assert [plane.max() for plane in found] == [10, 20, 30]


@pytest.mark.parametrize(("color", "channels"), [("L", 1), ("RGB", 3)])
def test_channels_last_are_the_decoded_bytes_themselves(color: str, channels: int) -> None:
    image = noise(2, 3).convert(color)
    found = tensor(encoded(image), spec(color=color, layout="NHWC"))
    assert (found.dtype, found.shape) == (np.uint8, (2, 3, channels))
    assert found.flags.c_contiguous
    assert found.tobytes() == image.tobytes()
    assert not found.flags.owndata  # what Pillow gives out is not copied again


@pytest.mark.parametrize("kind", ["PNG", "JPEG", "WEBP"])
def test_the_allowed_formats_are_read(kind: str) -> None:
    assert tensor(grey(255, kind=kind), spec()).min() > 250  # JPEG and WebP lose a little


@pytest.mark.parametrize("kind", ["GIF", "BMP", "TIFF", "PPM", "ICO"])
def test_every_other_format_is_refused_whatever_its_content(kind: str) -> None:
    with pytest.raises(UnsupportedImage, match="not a JPEG, PNG or WebP"):
        tensor(grey(255, kind=kind), spec())


def test_text_is_not_an_image() -> None:
    with pytest.raises(UnsupportedImage):
        tensor(b"hello" * 100, spec())


def test_an_empty_body_is_named_as_such() -> None:
    with pytest.raises(InvalidImage, match="empty"):
        tensor(b"", spec())


@pytest.mark.parametrize("kind", ["PNG", "JPEG", "WEBP"])
@pytest.mark.parametrize("part", [0.5, 0.9])
def test_a_truncated_image_is_refused(kind: str, part: float) -> None:
    whole = encoded(noise(64, 64), kind)
    with pytest.raises(InvalidImage, match="truncated or damaged"):
        tensor(whole[: int(len(whole) * part)], spec())


def test_a_damaged_header_is_refused() -> None:
    whole = bytearray(encoded(noise(8, 8), "PNG"))
    whole[18] ^= 0xFF  # inside the header chunk, whose checksum now lies
    with pytest.raises((InvalidImage, UnsupportedImage)):
        tensor(bytes(whole), spec())


def test_an_image_that_is_turned_by_its_exif_stands_upright() -> None:
    exif = Image.Exif()
    exif[0x0112] = 6  # the camera was turned: rotate by 90 degrees clockwise
    lying = picture([[0, 0], [0, 0], [255, 255]])
    data = encoded(lying, "PNG", exif=exif)
    assert tensor(data, spec(2, 3)).tolist() == [[[255, 0, 0], [255, 0, 0]]]


@pytest.mark.parametrize("orientation", range(10))
def test_every_orientation_is_that_of_pillow(orientation: int) -> None:
    exif = Image.Exif()
    exif[0x0112] = orientation  # 1 to 8 mean something
    stored = noise(5, 7)
    data = encoded(stored, "PNG", exif=exif)
    upright = ImageOps.exif_transpose(Image.open(io.BytesIO(data)))
    found = tensor(data, spec(upright.height, upright.width, "RGB", layout="NHWC"))
    assert found.tobytes() == upright.tobytes()


def test_transparency_lies_over_black() -> None:
    half = encoded(Image.new("RGBA", (3, 2), (255, 255, 255, 128)))
    assert np.unique(tensor(half, spec(color="RGB"))).tolist() == [128]
    nothing = encoded(Image.new("LA", (3, 2), (255, 0)))
    assert np.unique(tensor(nothing, spec())).tolist() == [0]


@pytest.mark.parametrize("mode", ["RGBA", "LA", "P"])
@pytest.mark.parametrize("color", ["L", "RGB"])
def test_a_large_picture_is_laid_over_black_in_strips_and_no_pixel_shows_it(
    mode: str, color: str
) -> None:
    image = noise(700, 800)
    image.putalpha(noise(700, 800).convert("L"))
    image = image.convert(mode) if mode != "P" else image.convert("RGB").convert("P")
    data = encoded(image, transparency=3) if mode == "P" else encoded(image)
    over = Image.open(io.BytesIO(data)).convert("RGBA")
    black = Image.new("RGBA", over.size, (0, 0, 0, 255))
    expected = Image.alpha_composite(black, over).convert(color)
    found = tensor(data, spec(700, 800, color, layout="NHWC"))
    assert found.tobytes() == expected.tobytes()


def test_a_transparent_color_of_a_palette_is_black() -> None:
    image = picture([[0, 1, 0], [1, 0, 1]], "P")
    image.putpalette([255, 255, 255, 100, 100, 100])
    data = encoded(image, transparency=0)
    assert tensor(data, spec()).tolist() == [[[0, 100, 0], [100, 0, 100]]]


def test_a_palette_without_transparency_is_its_colors() -> None:
    image = picture([[0, 1, 0], [1, 0, 1]], "P")
    image.putpalette([255, 0, 0, 0, 0, 255])
    red = tensor(encoded(image), spec(color="RGB"))[0]
    assert red.tolist() == [[255, 0, 255], [0, 255, 0]]


def test_sixteen_bits_keep_their_high_byte() -> None:
    values = np.array([[0, 255, 256], [32768, 65535, 513]], np.uint16)
    data = encoded(Image.fromarray(values))
    assert tensor(data, spec()).tolist() == [[[0, 0, 1], [128, 255, 2]]]


def test_one_bit_is_black_or_white() -> None:
    data = encoded(picture([[0, 255, 0], [255, 0, 255]]).convert("1"))
    assert tensor(data, spec()).tolist() == [[[0, 255, 0], [255, 0, 255]]]


def test_print_colors_are_converted() -> None:
    data = encoded(Image.new("CMYK", (16, 16), (0, 0, 0, 0)), "JPEG")
    assert tensor(data, spec(16, 16, "RGB")).min() > 250  # no ink is white, but for JPEG's loss


@pytest.mark.parametrize("kind", ["PNG", "WEBP"])
def test_of_an_animation_the_first_frame_counts(kind: str) -> None:
    frames = [Image.new("RGB", (3, 2), (level,) * 3) for level in (200, 0)]
    data = encoded(frames[0], kind, save_all=True, append_images=frames[1:], lossless=True)
    assert np.unique(tensor(data, spec())).tolist() == [200]


def test_pixels_are_counted_before_anything_is_decoded() -> None:
    with pytest.raises(ImageTooLarge, match="4 x 4 are more than 15 pixels"):
        tensor(grey(0)[:60], spec(), max_pixels=15)
    assert tensor(grey(0), spec(), max_pixels=16).shape == (1, 2, 3)


@pytest.mark.parametrize("side", [10_000, 65_000])
def test_a_bomb_is_refused_by_its_header(side: int) -> None:
    header = struct.pack(">IIBBBBB", side, side, 1, 0, 0, 0, 0)
    chunk = b"IHDR" + header
    data = b"\x89PNG\r\n\x1a\n" + struct.pack(">I", 13) + chunk
    data += struct.pack(">I", zlib.crc32(chunk)) + b"\0\0\0\0IDAT" + b"\0" * 20
    with pytest.raises(ImageTooLarge):
        tensor(data, spec())


def test_a_sliver_may_not_grow_into_a_bomb() -> None:
    sliver = grey(0, (1, 10_000))
    with pytest.raises(ImageTooLarge):
        tensor(sliver, spec(224, 224, crop_fraction=0.875))
    assert tensor(sliver, spec(2, 2)).shape == (1, 2, 2), "without a crop it is only squeezed"


def test_without_a_crop_the_aspect_is_not_kept() -> None:
    image = noise(10, 20)
    expected = image.convert("L").resize((3, 2), Image.Resampling.BILINEAR)
    assert np.array_equal(tensor(encoded(image), spec())[0], np.asarray(expected, np.float32))


@pytest.mark.parametrize(
    ("size", "covering"),
    [
        ((640, 480), (341, 256)),
        ((480, 640), (256, 341)),
        ((256, 256), (256, 256)),
        ((1, 1), (256, 256)),
    ],
)
def test_the_crop_covers_the_input_with_the_aspect_kept(
    size: tuple[int, int], covering: tuple[int, int]
) -> None:
    assert covering_size(size, spec(224, 224), 0.875) == covering


@pytest.mark.parametrize("name", ["nearest", "box", "bilinear", "bicubic", "lanczos"])
def test_the_evaluation_transform_of_imagenet_is_resize_then_centre_crop(name: str) -> None:
    image = noise(48, 64)
    small = image.resize((43, 32), Image.Resampling[name.upper()])
    left, top = (43 - 28) // 2, (32 - 28) // 2
    expected = np.asarray(small.crop((left, top, left + 28, top + 28)), np.float32)
    found = tensor(encoded(image), spec(28, 28, "RGB", crop_fraction=0.875, resize_filter=name))
    assert np.array_equal(found, expected.transpose(2, 0, 1))


def test_the_filter_makes_a_difference() -> None:
    data = encoded(noise(48, 64))
    assert not np.array_equal(
        tensor(data, spec(resize_filter="nearest")), tensor(data, spec(resize_filter="lanczos"))
    )


def test_an_image_that_is_right_already_is_only_cropped() -> None:
    image = noise(4, 4)
    found = tensor(encoded(image), spec(2, 2, "RGB", crop_fraction=0.5))
    assert np.array_equal(found, np.asarray(image, np.float32)[1:3, 1:3].transpose(2, 0, 1))


def test_the_bytes_are_read_and_not_kept_open() -> None:
    data = encoded(noise(8, 8))
    again = io.BytesIO(data)
    assert np.array_equal(tensor(again.getvalue(), spec()), tensor(data, spec()))


SEEDS = [encoded(noise(9, 9), kind) for kind in ("PNG", "JPEG", "WEBP")]


@given(st.sampled_from(SEEDS), st.lists(st.tuples(st.floats(0, 1), st.binary(max_size=4))))
def test_whatever_the_bytes_the_answer_is_a_tensor_or_an_error_of_ours(
    seed: bytes, changes: list[tuple[float, bytes]]
) -> None:
    data = bytearray(seed)
    for place, piece in changes:
        start = int(place * len(data))
        data[start : start + 2] = piece
    with suppress(ServiceError):
        assert tensor(bytes(data), spec()).shape == (1, 2, 3)


def test_a_jpeg_that_passes_over_its_pixels_without_end_is_refused_before_it_is_decoded() -> None:
    assert (tensor(scanned(64), spec()) == 7).all()
    with pytest.raises(InvalidImage, match="more than 64 scans"):
        tensor(scanned(65), spec())


def test_the_scans_of_a_jpeg_with_two_pictures_are_bounded_too() -> None:
    pictures = [Image.new("L", (16, 16), level) for level in (7, 9)]
    data = encoded(pictures[0], "MPO", save_all=True, append_images=pictures[1:])
    assert (tensor(data, spec()) == 7).all(), "the first counts"
    scan = data[data.index(b"\xff\xda") : data.index(b"\xff\xd9")]
    with pytest.raises(InvalidImage, match="more than 64 scans"):
        tensor(data + 63 * scan, spec())
