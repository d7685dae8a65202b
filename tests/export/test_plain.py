"""One ONNX file to another: verified, or it is said why not; written whole, or not at all."""

from pathlib import Path

import numpy as np
import onnx
import pytest

from export import runtime
from export.errors import SourceError, UsageError
from export.plain import fold_file
from tests.export.graphs import bn, count, model, norm, normal

PICTURE = "float[n,3,6,6] x"
ROW = "float[n,a,b,c] y"


def convolution(folder: Path, body: str = f"c = Conv(x, w) {bn('c', 'y')}", **more: str) -> Path:
    """A file with a convolution and its batch norm."""
    arrays = {"w": normal(4, 3, 3, 3, dtype=np.float32), **norm(4, dtype=np.float32)}
    path = folder / "in.onnx"
    onnx.save(model(body, arrays, inputs=more.get("inputs", PICTURE), outputs=ROW), path)
    return path


def test_the_file_computes_the_same_without_its_batch_norm(tmp_path: Path) -> None:
    source, result = convolution(tmp_path), tmp_path / "out.onnx"

    done = fold_file(source, result, "safe")

    assert done.parity is not None
    assert done.parity.holds
    assert done.unverified is None
    assert count(onnx.load(result), "BatchNormalization") == 0
    x = {"x": normal(2, 3, 6, 6, dtype=np.float32)}
    before, after = (
        runtime.load(path.read_bytes(), optimized=False)(x)[0] for path in (source, result)
    )
    # Two float32 evaluations of one convolution: sums of 27 products, each rounded to 6e-8.
    assert np.abs(after - before).max() <= 1e-5 * np.abs(before).max()


def test_a_file_may_take_the_place_of_itself(tmp_path: Path) -> None:
    path = convolution(tmp_path)

    fold_file(path, path, "safe", force=True)

    assert count(onnx.load(path), "BatchNormalization") == 0
    assert [file.name for file in tmp_path.iterdir()] == ["in.onnx"]


def test_sizes_that_are_free_leave_it_unverified_and_say_so(tmp_path: Path) -> None:
    source = convolution(tmp_path, inputs="float[n,3,h,v] x")

    unknown = fold_file(source, tmp_path / "unknown.onnx", "safe")
    known = fold_file(source, tmp_path / "known.onnx", "safe", input_shape=(3, 6, 6))

    assert unknown.parity is None
    assert unknown.unverified is not None
    assert "give --input" in unknown.unverified
    assert known.parity is not None


def test_whoever_asks_for_no_samples_is_not_told_that_there_are_none(tmp_path: Path) -> None:
    done = fold_file(convolution(tmp_path), tmp_path / "out.onnx", "safe", samples=0)

    assert (done.parity, done.unverified) == (None, None)


def test_a_shape_that_is_wrong_is_refused_and_not_taken_for_an_unverified_fold(
    tmp_path: Path,
) -> None:
    source, result = convolution(tmp_path), tmp_path / "out.onnx"

    with pytest.raises(UsageError, match="--input 3x7x7: input 'x' is 3x6x6"):
        fold_file(source, result, "safe", input_shape=(3, 7, 7))
    assert not result.exists()


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("in.onnx", "exists: take another name, or --force"),
        (".", "is a folder: name the file to write"),
        ("no/such/out.onnx", "there is no folder .*no/such"),
    ],
)
def test_where_nothing_can_be_written_nothing_is_measured(
    tmp_path: Path, name: str, message: str
) -> None:
    source = tmp_path / "in.onnx"
    source.write_text("no model: whoever read it would say so")

    with pytest.raises(UsageError, match=message):
        fold_file(source, tmp_path / name)


def test_what_is_no_model_is_refused(tmp_path: Path) -> None:
    (tmp_path / "in.onnx").write_text("text")

    with pytest.raises(SourceError, match="is no ONNX model"):
        fold_file(tmp_path / "in.onnx", tmp_path / "out.onnx")
    assert not (tmp_path / "out.onnx").exists()
