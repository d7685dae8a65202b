"""The pictures: those of scikit-learn and, where it is installed, scikit-image."""

import importlib.util
import io
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from PIL import Image

# Photographs, micrographs, textures, and two scans of print, whose edges are the hardest.
_SCIKIT_LEARN = ("china.jpg", "flower.jpg")
_SCIKIT_IMAGE = (
    "astronaut.png", "coffee.png", "chelsea.png", "rocket.jpg", "hubble_deep_field.jpg",
    "retina.jpg", "ihc.png", "motorcycle_left.png", "brick.png", "gravel.png", "grass.png",
    "page.png", "text.png",
)  # fmt: skip


def photographs() -> Iterator[tuple[str, Image.Image]]:
    """Give every picture that is there, by its name."""
    folders = {"sklearn.datasets": _SCIKIT_LEARN, "skimage.data": _SCIKIT_IMAGE}
    for module, names in folders.items():
        for name in names:
            path = _folder(module) / name
            if path.exists():
                yield path.stem, Image.open(path).convert("RGB")


def photograph(width: int, height: int) -> Image.Image:
    """A photograph of that size with detail in every pixel: repeated, where it is too small.

    What an enlargement shows is smooth, and takes a decoder half of the time.
    """
    pixels = np.asarray(Image.open(_folder("sklearn.datasets") / _SCIKIT_LEARN[0]))
    upright = np.concatenate([pixels, pixels[::-1]])
    whole = np.concatenate([upright, upright[:, ::-1]], axis=1)  # no seams: each mirrors the next
    times = (-(-height // whole.shape[0]), -(-width // whole.shape[1]), 1)
    return Image.fromarray(np.tile(whole, times)[:height, :width])


def jpeg(image: Image.Image, **options: object) -> bytes:
    """A JPEG file of quality 90 with halved colors, as cameras write them."""
    buffer = io.BytesIO()
    image.save(buffer, "JPEG", **({"quality": 90, "subsampling": "4:2:0"} | options))
    return buffer.getvalue()


def _folder(module: str) -> Path:
    package, part = module.split(".")
    spec = importlib.util.find_spec(package)
    if spec is None or spec.origin is None:
        return Path("/nonexistent")
    folder = Path(spec.origin).parent / part
    return folder / "images" if package == "sklearn" else folder
