"""What a user asks of the precision step, checked."""

import math
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from export.errors import UsageError

Kind = Literal["fp16", "int8"]
Io = Literal["float32", "float16"]

# Points of top-1, of 100. Rounding alone takes less: of 8 bits 0.05 of a residual network on
# Fashion-MNIST. What takes more is a model or calibration data that does not suit them.
LARGEST_DROP = 1.0


@dataclass(frozen=True)
class PrecisionOptions:
    """Which numbers, on which data they are chosen and judged, and what they may cost.

    Attributes:
        kind: "fp16" for weights and activations of 16-bit floats, "int8" for 8-bit integers.
        io: Type of the graph's float inputs and outputs; int8 keeps them float32.
        calibration: Inputs to measure ranges on: a folder of images, an .npy or .npz file; None
            takes the samples that training left beside the checkpoint.
        held_out: Inputs to judge by, with their classes where they are known, likewise; None takes
            the samples beside the checkpoint, or a part of the calibration data.
        max_accuracy_drop: Points of top-1 that may be lost; more is refused.
    """

    kind: Kind
    io: Io = "float32"
    calibration: Path | None = None
    held_out: Path | None = None
    max_accuracy_drop: float = LARGEST_DROP

    def __post_init__(self) -> None:
        """Raise `UsageError` for what does not go together."""
        if self.io != "float32" and self.kind != "fp16":
            raise UsageError(f"--io {self.io}: goes with --precision fp16 only")
        if not (math.isfinite(self.max_accuracy_drop) and 0 <= self.max_accuracy_drop <= 100):
            raise UsageError(
                f"--max-accuracy-drop {self.max_accuracy_drop}: take points of 100, like 1"
            )


def options_of(
    kind: Kind | None,
    io: Io,
    calibration: Path | None,
    held_out: Path | None,
    max_accuracy_drop: float,
) -> PrecisionOptions | None:
    """The options as the command line has them; None if no narrower numbers are asked for.

    Raises:
        UsageError: They do not go together, or nothing uses them.
    """
    if kind is not None:
        return PrecisionOptions(kind, io, calibration, held_out, max_accuracy_drop)
    unused = {
        f"--io {io}": io != "float32",
        "--calibration": calibration is not None,
        "--max-accuracy-drop": max_accuracy_drop != LARGEST_DROP,
    }
    given = ", ".join(option for option, is_given in unused.items() if is_given)
    if given:
        raise UsageError(f"{given}: goes with --precision fp16 or int8")
    return None
