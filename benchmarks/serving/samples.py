"""What is sent to the servers, and what they have to answer.

A sample is a photograph; as a tensor it is what Pillow makes of it. The answers expected are those
of `session.run` on that tensor.
"""

import io
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import onnxruntime  # type: ignore[import-untyped]  # it has no types
from PIL import Image
from sklearn.datasets import load_sample_images  # type: ignore[import-untyped]  # it has no types

from benchmarks.serving.models import ServedModel

Array = npt.NDArray[np.float32]
SIZE = (640, 480)
QUALITY = 90
MODES = {1: "L", 3: "RGB"}  # Pillow's name for so many channels
# What is cut out of a photograph, as shares of its width and height: left, top, right, bottom.
CUTS = ((0, 0, 1, 1), (0.1, 0, 0.8, 0.8), (0, 0.2, 0.6, 1), (0.4, 0.1, 1, 0.9))


@dataclass(frozen=True)
class Sample:
    """One input of a model.

    Attributes:
        tensor: Shape (channels, height, width), contiguous.
        jpeg: The photograph, 640 x 480.
        logits: The model's answer, shape (classes,).
    """

    tensor: Array
    jpeg: bytes
    logits: Array


def samples(model: ServedModel) -> list[Sample]:
    """Several inputs of a model, and its answers."""
    session = onnxruntime.InferenceSession(model.path, providers=["CPUExecutionProvider"])
    made = []
    for jpeg in photographs():
        tensor = from_jpeg(jpeg, model.shape)
        logits = session.run(None, {model.input: tensor[None]})[0][0]
        made.append(Sample(tensor, jpeg, logits))
    return made


def photographs() -> list[bytes]:
    """Photographs of 640 x 480 as JPEG files."""
    originals = [Image.fromarray(pixels) for pixels in load_sample_images().images]
    return [_jpeg(original, cut) for original in originals for cut in CUTS]


def from_jpeg(jpeg: bytes, shape: tuple[int, int, int]) -> Array:
    """A photograph as the input of a model: float32 pixels of 0 to 255, channels first."""
    channels, height, width = shape
    picture = Image.open(io.BytesIO(jpeg)).convert(MODES[channels])
    resized = picture.resize((width, height), Image.Resampling.BILINEAR)
    pixels = np.asarray(resized, np.float32).reshape(height, width, channels)
    return np.ascontiguousarray(pixels.transpose(2, 0, 1))


def _jpeg(original: Image.Image, cut: tuple[float, float, float, float]) -> bytes:
    left, top, right, bottom = cut
    width, height = original.size
    box = (int(left * width), int(top * height), int(right * width), int(bottom * height))
    file = io.BytesIO()
    original.crop(box).resize(SIZE).save(file, "JPEG", quality=QUALITY)
    return file.getvalue()
