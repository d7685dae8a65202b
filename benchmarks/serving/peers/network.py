"""The network that every peer serves, in the same way: one thread a run, Pillow for pictures.

`SERVED_MODEL` names the ONNX file, `SERVED_PORT` the port, `SERVED_BATCH` the most rows of one run,
`SERVED_THREADS` the threads of one, where 0 leaves that to ONNX Runtime. Where they are set, and a
server knows of such, `SERVED_TIMEOUT_S` is how long a request may take, and `SERVED_REQUESTS` how
many may be in the server at once.
"""

import io
import os
from typing import Any

import numpy as np
import numpy.typing as npt
import onnxruntime  # type: ignore[import-untyped]  # it has no types
from PIL import Image

Array = npt.NDArray[np.float32]
PORT = int(os.environ.get("SERVED_PORT", "8000"))
BATCH = int(os.environ.get("SERVED_BATCH", "32"))
THREADS = int(os.environ.get("SERVED_THREADS", "1"))
TIMEOUT_S = float(os.environ.get("SERVED_TIMEOUT_S", "0")) or None
REQUESTS = int(os.environ.get("SERVED_REQUESTS", "0")) or None
WORKERS = 2  # of one thread each, on two cores
TOP = 5
MODES = {1: "L", 3: "RGB"}  # Pillow's name for so many channels


class Network:
    """One session of ONNX Runtime; the model's one input is (N, channels, height, width)."""

    def __init__(self) -> None:
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = options.inter_op_num_threads = THREADS
        self.session = onnxruntime.InferenceSession(
            os.environ["SERVED_MODEL"], options, providers=["CPUExecutionProvider"]
        )
        (declared,) = self.session.get_inputs()
        self.name: str = declared.name
        self.shape: tuple[int, int, int] = tuple(declared.shape[1:])

    def __reduce__(self) -> tuple[type["Network"], tuple[()]]:
        """Travels to another process as a wish for one: a session cannot."""
        return Network, ()

    @property
    def byte_count(self) -> int:
        """Bytes of one input."""
        return 4 * int(np.prod(self.shape))

    def run(self, batch: Array) -> Array:
        """Logits (N, classes) of inputs (N, channels, height, width)."""
        logits: Array = self.session.run(None, {self.name: batch})[0]
        return logits

    def run_each(self, inputs: list[Array]) -> list[Array]:
        """Logits (classes,) of each of some inputs, in one run."""
        return list(self.run(np.stack(inputs)))

    def from_numbers(self, numbers: Any) -> Array:
        """One input from a list of numbers."""
        return np.asarray(numbers, np.float32).reshape(self.shape)

    def from_bytes(self, data: bytes) -> Array:
        """One input from its float32 values."""
        return np.frombuffer(data, np.float32).reshape(self.shape)

    def from_image(self, data: bytes) -> Array:
        """One input from an encoded picture."""
        return self.from_picture(Image.open(io.BytesIO(data)))

    def from_picture(self, picture: Image.Image) -> Array:
        """One input from an opened picture."""
        channels, height, width = self.shape
        resized = picture.convert(MODES[channels]).resize(
            (width, height), Image.Resampling.BILINEAR
        )
        pixels = np.asarray(resized, np.float32)
        return np.ascontiguousarray(pixels.reshape(height, width, channels).transpose(2, 0, 1))


def ranked(logits: Array) -> list[dict[str, float]]:
    """The likeliest classes, likeliest first."""
    odds = np.exp(logits - logits.max())
    odds /= odds.sum()
    best = np.argsort(odds)[::-1][:TOP]
    return [{"index": int(index), "probability": float(odds[index])} for index in best]
