"""The data that ranges are measured on, and the data that the result is judged by.

Training leaves both beside the checkpoint, in `samples.npz`: `calibration`, inputs of the training
split, (N, *shape); `held_out`, inputs of the held-out split, (M, *shape); `targets`, their classes,
(M,) integers. A user's own file has the same names. Images are (channels, height, width) of 0..255.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
from numpy.lib.npyio import NpzFile
from numpy.typing import NDArray

from export.errors import UsageError, first_line
from export.precision import images
from export.sources.original import ImageInput, Original

BESIDE = "samples.npz"
CALIBRATION, HELD_OUT, TARGETS = "calibration", "held_out", "targets"
# Of calibration data without any to judge by, one in so many is kept back for that.
KEPT_BACK = 4
LARGEST = 1 << 32  # bytes of a file, unpacked; of more samples no range changes any more
MAGIC = (b"\x93NUMPY", b"PK\x03\x04", b"PK\x05\x06")  # an array, an archive, an empty one

Array = NDArray[Any]


@dataclass(frozen=True)
class Inputs:
    """Inputs of a network, one after the other.

    Attributes:
        values: (N, *shape), an image's channels first.
        origin: Where they are from, in words.
        targets: (N,), their classes, if they are known.
    """

    values: Array
    origin: str
    targets: NDArray[np.int64] | None = None

    def __len__(self) -> int:
        return len(self.values)


@dataclass(frozen=True)
class Samples:
    """What there is of inputs to measure ranges on, and of inputs to judge the result by."""

    calibration: Inputs | None
    held_out: Inputs | None


def gather(calibration: Path | None, held_out: Path | None, original: Original) -> Samples:
    """The samples that the user named, or that lie beside the checkpoint.

    Args:
        calibration: Names inputs to measure ranges on; None names none.
        held_out: Names inputs to judge by, likewise.
        original: What the samples are for.

    Raises:
        UsageError: A file cannot be read, or holds no inputs of this network.
    """
    named = _named(calibration, "--calibration", CALIBRATION, original)
    judged = _named(held_out, "--held-out", HELD_OUT, original)
    beside = _beside(original)
    ranges = named.get(CALIBRATION) or beside.get(CALIBRATION)
    judges = judged.get(HELD_OUT) or named.get(HELD_OUT) or beside.get(HELD_OUT)
    if ranges is not None and judges is None:
        return _divided(ranges)
    return Samples(ranges, judges)


def _divided(inputs: Inputs) -> Samples:
    """Calibration data, and the part of it that is kept back."""
    if len(inputs) < KEPT_BACK:
        raise UsageError(
            f"--calibration: {len(inputs)} inputs; give {KEPT_BACK} or more, or --held-out as well"
        )
    back = np.arange(len(inputs)) % KEPT_BACK == KEPT_BACK - 1
    targets = inputs.targets[back] if inputs.targets is not None else None
    return Samples(
        Inputs(inputs.values[~back], inputs.origin),
        Inputs(inputs.values[back], f"a kept-back quarter of {inputs.origin}", targets),
    )


def _beside(original: Original) -> Mapping[str, Inputs]:
    if original.checkpoint is None:
        return {}
    path = original.checkpoint.with_name(BESIDE)
    if not path.is_file():
        return {}
    splits = {CALIBRATION: "the training split", HELD_OUT: "the held-out split"}
    return _inputs(_arrays(path, "", str(path)), splits, str(path), original)


def _named(path: Path | None, option: str, role: str, original: Original) -> Mapping[str, Inputs]:
    """What a path holds that an option names: at least inputs for the `role` of that option."""
    if path is None:
        return {}
    where = f"{option} {path}"
    if path.is_dir():
        return {role: _folder(path, where, original)}
    origins = dict.fromkeys((CALIBRATION, HELD_OUT), path.name)
    found = _inputs(_arrays(path, role, where), origins, where, original)
    if role not in found:
        raise UsageError(f"{where}: holds no array '{role}'")
    return found


def _inputs(
    arrays: Mapping[str, Array], origins: Mapping[str, str], where: str, original: Original
) -> Mapping[str, Inputs]:
    found = {}
    for name, origin in origins.items():
        if name in arrays:
            _check_inputs(arrays[name], _natural_shape(original), f"{where}: '{name}'")
            if isinstance(original.input, ImageInput):
                _check_pixels(arrays[name], original.input, f"{where}: '{name}'")
            targets = _targets(arrays, where, original) if name == HELD_OUT else None
            found[name] = Inputs(arrays[name], origin, targets)
    return found


def _folder(path: Path, where: str, original: Original) -> Inputs:
    if not isinstance(original.input, ImageInput):
        raise UsageError(f"{where}: is a folder, and the input is no image; give an .npz file")
    pixels, classes = images.read_folder(path, original.input, original.labels, where)
    return Inputs(pixels, path.name, classes)


def _arrays(path: Path, role: str, where: str) -> Mapping[str, Array]:
    """The arrays of a file; that of an .npy file has the name `role`."""
    try:
        with path.open("rb") as file:
            _check_kind(file)
            loaded = np.load(file, allow_pickle=False)  # pickles run what they hold
            return {role: loaded} if isinstance(loaded, np.ndarray) else _unpacked(loaded)
    except Exception as error:  # numpy and zipfile raise nearly every type on damaged files
        raise UsageError(f"{where}: cannot be read ({first_line(error)})") from error


def _check_kind(file: BinaryIO) -> None:
    """Refuse what numpy would take for a pickle, and advise to trust."""
    start = file.read(max(map(len, MAGIC)))
    file.seek(0)
    if not start.startswith(MAGIC):
        raise ValueError("it is no .npy or .npz file")


def _unpacked(archive: NpzFile) -> Mapping[str, Array]:
    entries = archive.zip.infolist() if archive.zip is not None else []  # it is, until closed
    if sum(entry.file_size for entry in entries) > LARGEST:
        raise ValueError(f"more than {LARGEST} bytes when unpacked")
    wanted = (name for name in (CALIBRATION, HELD_OUT, TARGETS) if name in archive)
    return {name: np.asarray(archive[name]) for name in wanted}  # bytes, if it is no array


def _check_inputs(array: Array, shape: Sequence[int] | None, where: str) -> None:
    if array.dtype.kind not in "iuf" or array.ndim < 1 or not len(array):
        raise UsageError(f"{where}: is no array of numbers, one input after the other")
    if shape is not None and array.shape[1:] != tuple(shape):
        raise UsageError(f"{where}: has inputs of {list(array.shape[1:])}, not {list(shape)}")
    if array.dtype.kind == "f" and not np.isfinite(array).all():
        raise UsageError(f"{where}: holds numbers that are not finite")


def _check_pixels(array: Array, given: ImageInput, where: str) -> None:
    """Refuse images that were scaled or normalized already: the graph does that."""
    low, high = given.value_range
    least, most = float(array.min()), float(array.max())
    if least < low or most > high or (array.dtype.kind == "f" and most <= 1 < high):
        raise UsageError(
            f"{where}: holds numbers from {least:g} to {most:g}, pixels are {low:g} to {high:g}"
        )


def _targets(
    arrays: Mapping[str, Array], where: str, original: Original
) -> NDArray[np.int64] | None:
    targets = arrays.get(TARGETS)
    if targets is None:
        return None
    classes = len(original.labels) if original.labels is not None else None
    if targets.dtype.kind not in "iu" or targets.shape != arrays[HELD_OUT].shape[:1]:
        raise UsageError(f"{where}: '{TARGETS}' is not one class for each of '{HELD_OUT}'")
    if targets.min() < 0 or (classes is not None and targets.max() >= classes):
        raise UsageError(f"{where}: '{TARGETS}' holds classes that the model does not have")
    return targets.astype(np.int64)


def _natural_shape(original: Original) -> Sequence[int] | None:
    """Of one input as the file has it: an image's channels are first, whatever the graph takes."""
    given = original.input
    if isinstance(given, ImageInput):
        return (given.channels, given.height, given.width)
    return given.shape
