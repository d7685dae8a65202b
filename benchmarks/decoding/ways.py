"""Ways from a JPEG file to the pixels of a model's input.

Every decoder has the service's look at the header before it, for the bounds must be held, and
Pillow's resize behind it, for no other library computes the same bytes.
"""

import importlib
from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from service.artifact.manifest import ImageInput
from service.images.image_files import open_image
from service.images.preprocessing import image_tensor

Pixels = NDArray[np.uint8]
Way = Callable[[bytes, ImageInput], NDArray[Any]]

ANY_SIZE = 89_000_000  # pixels; the largest bound that the service takes


def ways() -> dict[str, Way]:
    """Every way whose library is installed; the first is what training does."""
    found: dict[str, Way] = {
        "Pillow, exact": partial(_served, scaled=False),
        "Pillow, scaled": partial(_served, scaled=True),
    }
    for name, (module, decoder) in _OTHERS.items():
        try:
            decode = decoder(importlib.import_module(module))
        except (ImportError, RuntimeError):  # without the library that it stands on
            continue
        found[name] = partial(_resized, decode)
    return found


def _served(data: bytes, spec: ImageInput, *, scaled: bool) -> NDArray[Any]:
    return image_tensor(data, spec, ANY_SIZE, scaled=scaled)


def _resized(decode: Callable[[bytes], Pixels], data: bytes, spec: ImageInput) -> NDArray[Any]:
    open_image(data, ANY_SIZE)
    image = Image.fromarray(decode(data))
    image = image if image.mode == spec.color else image.convert(spec.color)
    resized = image.resize((spec.width, spec.height), Image.Resampling.BILINEAR)
    pixels = np.asarray(resized).reshape(spec.height, spec.width, spec.channels)
    return np.ascontiguousarray(pixels.transpose(2, 0, 1), dtype=np.float32)


def _simplejpeg(module: Any) -> Callable[[bytes], Pixels]:
    return partial(module.decode_jpeg, colorspace="RGB")


def _turbojpeg(module: Any) -> Callable[[bytes], Pixels]:
    return partial(module.TurboJPEG().decode, pixel_format=module.TJPF_RGB)


def _opencv(module: Any) -> Callable[[bytes], Pixels]:
    module.setNumThreads(1)

    def decode(data: bytes) -> Pixels:
        found: Pixels = module.imdecode(np.frombuffer(data, np.uint8), module.IMREAD_COLOR_RGB)
        return found

    return decode


_OTHERS: dict[str, tuple[str, Callable[[Any], Callable[[bytes], Pixels]]]] = {
    "simplejpeg": ("simplejpeg", _simplejpeg),
    "PyTurboJPEG": ("turbojpeg", _turbojpeg),
    "OpenCV": ("cv2", _opencv),
}
