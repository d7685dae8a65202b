"""Which reader takes a source, and what is said where its framework is not installed."""

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from export.errors import UsageError
from export.sources import read
from export.sources.options import SourceOptions
from tests.export.graphs import model, norm, normal

pytestmark = pytest.mark.slow

# A process in which a framework cannot be imported, as where only the extra `export` is installed.
WITHOUT = """
import sys
sys.modules[{missing!r}] = None
from export.errors import ExportError
from export.sources import read
from export.sources.options import SourceOptions
try:
    read({source!r}, SourceOptions(input_shape={shape!r}))
except ExportError as error:
    print(error)
"""


def refused_without(missing: str, source: str, shape: tuple[int, ...] | None, root: Path) -> str:
    script = WITHOUT.format(missing=missing, source=source, shape=shape)
    done = subprocess.run(
        [sys.executable, "-c", script], cwd=root, capture_output=True, text=True, check=True
    )
    return done.stdout


@pytest.mark.parametrize("missing", ["torch", "safetensors"])
def test_a_checkpoint_says_what_must_be_installed_to_read_it(missing: str, root: Path) -> None:
    source = "tests/contract/golden/checkpoint.safetensors"
    message = refused_without(missing, source, None, root)
    assert message.startswith(f"{source}: to read it, {missing} must be installed: pip install ")


def test_a_factory_says_that_torch_must_be_installed(root: Path) -> None:
    message = refused_without("torch", "tests.export.networks:resnet18", (3, 32, 32), root)
    assert "torch must be installed" in message


@pytest.mark.parametrize("missing", ["keras", "torch"])
def test_a_keras_file_says_that_keras_and_torch_must_be_installed(missing: str, root: Path) -> None:
    message = refused_without(missing, "model.keras", None, root)
    assert f"{missing} must be installed: pip install 'foldserve[export,training,keras]'" in message


def test_a_program_says_that_torch_must_be_installed(root: Path) -> None:
    assert "torch must be installed" in refused_without("torch", "model.pt2", None, root)


def test_an_onnx_file_needs_no_torch(root: Path) -> None:
    # The golden artifact is refused for what it is, after it was read.
    message = refused_without("torch", "tests/contract/golden/model_v1.onnx", None, root)
    assert "is an artifact of foldserve-export already" in message


def test_what_no_reader_takes_is_named() -> None:
    with pytest.raises(UsageError, match=r"model\.txt: give a checkpoint"):
        read("model.txt", SourceOptions())


BUILD = """
import sys
from pathlib import Path
from export import pipeline
from export.artifact import Place
pipeline.build(sys.argv[1], Place(Path(sys.argv[2]), "plain", 1))
print(*{name.split(".")[0] for name in sys.modules})
"""


def test_a_build_from_an_onnx_file_loads_neither_torch_nor_keras(
    tmp_path: Path, root: Path
) -> None:
    arrays = {"w": normal(3, 4, 3, 3, dtype=np.float32), **norm(3, dtype=np.float32)}
    body = """
        c = Conv(x, w)
        y = BatchNormalization(c, bn_gamma, bn_beta, bn_mean, bn_var)
    """
    source = tmp_path / "plain.onnx"
    source.write_bytes(
        model(
            body, arrays, inputs="float[n,4,6,5] x", outputs="float[n,3,4,3] y"
        ).SerializeToString()
    )
    done = subprocess.run(
        [sys.executable, "-c", BUILD, str(source), str(tmp_path)],
        cwd=root,
        capture_output=True,
        text=True,
        check=True,
    )
    assert not {"torch", "keras"} & set(done.stdout.split())
