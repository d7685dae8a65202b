"""PyTorch modules, from a factory ``package.module:factory`` or handed over, as a graph.

PyTorch's exporters fold some batch norms by themselves. This reader asks for the graph as it was
traced (``dynamo=True, optimize=False``), folds constants and removes dead nodes, and counts: every
batch norm that the module calls must be there.
"""

import ast
import contextlib
import copy
import hashlib
import importlib
import logging
import sys
import warnings
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import onnx_ir as ir
import torch
from numpy.typing import NDArray
from onnx_ir.passes.common import ClearMetadataAndDocStringPass, NameFixPass, RemoveUnusedNodesPass
from torch import nn

from export.errors import SourceError, UsageError
from export.folding.engine import batch_norms
from export.folding.moves import LINEAR
from export.sources.options import SourceOptions, describe_input, read_labels
from export.sources.original import Feeds, Original, Provenance, Reference
from export.sources.pixels import normalization, prepend

INPUT, OUTPUT, BATCH = "input", "logits", "batch"
OPSET = 20  # read by every ONNX Runtime since 1.17
# Of the example that is traced: torch.export takes sizes 0 and 1 for constants.
EXAMPLE_BATCH = 2
# Elements. Constants up to this size are computed now rather than at every start; this is wide
# enough for the reparametrized weights of any convolution.
LARGEST_FOLDED_CONSTANT = 1 << 26
BATCH_NORMS = (nn.BatchNorm1d, nn.BatchNorm2d, nn.BatchNorm3d, nn.SyncBatchNorm)
REFERENCE_NAME = "float64 PyTorch"


def read_factory(reference: str, options: SourceOptions) -> Original:
    """Read a module from the callable that makes it.

    Args:
        reference: ``package.module:factory``, importable from the current folder or installed.
        options: `input_shape` is needed.

    Raises:
        SourceError: There is no such factory, it fails, or its module cannot be converted.
        UsageError: The options do not fit.
    """
    if options.input_shape is None:
        raise UsageError("--input is needed for a factory: the shape of one input, like 3x224x224")
    described = describe_input(options, options.input_shape)
    module = make_module(reference, options.seed)
    digest = load_weights(module, options.weights) if options.weights else None
    model, in_float64 = read_module(module, options.input_shape)
    steps = normalization(options.mean, options.std)
    if steps is not None:
        prepend(model, steps)
        in_float64 = steps.before(in_float64, INPUT) if in_float64 else None
    return Original(
        model=model,
        input=described,
        provenance=Provenance("torch", reference, digest, versions()),
        reference=in_float64,
        reference_name=REFERENCE_NAME,
        labels=read_labels(options.labels),
    )


def read_module(module: nn.Module, shape: tuple[int, ...]) -> tuple[ir.Model, Reference | None]:
    """Convert a module, all its batch norms kept; also return it as a function in float64.

    Args:
        module: Takes one float32 tensor (batch, *shape), gives one tensor (batch, ...).
        shape: Of one input.

    Raises:
        SourceError: It cannot be converted, or not without losing a batch norm.
    """
    module.eval()
    _check_eval(module)
    example = torch.zeros(EXAMPLE_BATCH, *shape)
    calls = _count_batch_norm_calls(module, example)
    model = _convert(module, example)
    _check_free_batch(model)
    found = len(batch_norms(model.graph))
    if found < calls:
        raise SourceError(
            f"the converted graph has {found} batch norms of the {calls} that the module calls"
        )
    return model, _in_float64(module, example)


def versions() -> dict[str, str]:
    """The version of PyTorch, for the manifest."""
    return {"torch": torch.__version__.partition("+")[0]}


def make_module(reference: str, seed: int) -> nn.Module:
    """Import a factory and call it, its random numbers seeded.

    Raises:
        SourceError: It cannot be imported, fails, or makes no module.
    """
    factory = _import(reference)
    torch.manual_seed(seed)
    try:
        module = factory()
    except Exception as error:
        raise SourceError(f"{reference}: the factory failed: {_line(error)}") from error
    if not isinstance(module, nn.Module):
        raise SourceError(f"{reference}: made a {type(module).__name__}, not a torch.nn.Module")
    return module


def load_weights(module: nn.Module, path: Path) -> str:
    """Load a state dict into a module; return the SHA-256 of the file.

    Raises:
        SourceError: The file cannot be read, or does not fit the module.
    """
    try:
        state = _read_state(path)
        digest = hashlib.sha256(path.read_bytes()).hexdigest()
        module.load_state_dict(state)
    except UsageError:
        raise
    except Exception as error:
        raise SourceError(f"--weights {path}: {_line(error)}") from error
    return digest


def _read_state(path: Path) -> dict[str, Any]:
    if path.suffix == ".safetensors":
        safetensors = importlib.import_module("safetensors.torch")
        return dict(safetensors.load_file(path))
    if path.suffix in {".pth", ".pt"}:
        # Nothing but tensors is unpickled; this is the one place that reads the format.
        loaded = torch.load(path, map_location="cpu", weights_only=True)  # noqa: TID251 - see above
        return dict(loaded.get("state_dict", loaded))
    raise UsageError(f"--weights {path}: take a .safetensors, .pth or .pt file")


def _import(reference: str) -> Callable[[], object]:
    name, _, attribute = reference.partition(":")
    with _importing_from_here():
        try:
            found: Any = importlib.import_module(name)
        except Exception as error:
            raise SourceError(f"{reference}: cannot import {name}: {_line(error)}") from error
    for part in attribute.split("."):
        found = getattr(found, part, None)
    if not callable(found):
        raise SourceError(f"{reference}: {name} has no callable {attribute}")
    factory: Callable[[], object] = found
    return factory


@contextlib.contextmanager
def _importing_from_here() -> Iterator[None]:
    """The current folder first on the import path, as `python -m` has it."""
    here = str(Path.cwd())
    sys.path.insert(0, here)
    try:
        yield
    finally:
        sys.path.remove(here)


def _check_eval(module: nn.Module) -> None:
    for name, part in module.named_modules():
        if part.training:
            raise SourceError(f"module '{name}' stays in training mode after eval()")


def _count_batch_norm_calls(module: nn.Module, example: torch.Tensor) -> int:
    """Run a module once and count what its graph must show."""
    calls: Counter[str] = Counter()

    def watch(name: str) -> Callable[..., None]:
        return lambda *_: calls.update([name])

    parts = dict(module.named_modules())
    handles = [part.register_forward_hook(watch(name)) for name, part in parts.items()]
    try:
        with torch.no_grad():
            output = module(example)
    except Exception as error:
        shape = "x".join(map(str, example.shape[1:]))
        raise SourceError(f"the module does not take inputs {shape}: {_line(error)}") from error
    finally:
        for handle in handles:
            handle.remove()
    if not isinstance(output, torch.Tensor) or output.shape[:1] != example.shape[:1]:
        raise SourceError("the module must put out one tensor, the batch first")
    norms = {name: part for name, part in parts.items() if isinstance(part, BATCH_NORMS)}
    for name, part in norms.items():
        if calls[name] and part.running_mean is None:
            raise SourceError(f"batch norm '{name}' has no running statistics")
    return sum(calls[name] for name in norms)


def _convert(module: nn.Module, example: torch.Tensor) -> ir.Model:
    with _quiet():
        try:
            program = torch.onnx.export(
                module,
                (example,),
                dynamo=True,
                optimize=False,
                verify=False,
                verbose=False,
                opset_version=OPSET,
                input_names=[INPUT],
                output_names=[OUTPUT],
                dynamic_shapes=({0: torch.export.Dim(BATCH)},),
            )
        except Exception as error:
            raise SourceError(f"PyTorch cannot convert the module: {_line(error)}") from error
        if program is None:  # pragma: no cover - only without dynamo
            raise SourceError("PyTorch gave no program")
        model = program.model
        _tidy(model)
    return model


def _check_free_batch(model: ir.Model) -> None:
    for value in (*model.graph.inputs, *model.graph.outputs):
        if value.shape is None or isinstance(value.shape[0], int):
            raise SourceError(f"the module fixes the batch: its {value.name} has {value.shape}")


def _tidy(model: ir.Model) -> None:
    """Fold constants, remove dead nodes, name nodes by module, drop traces of this machine."""
    optimizer = importlib.import_module("onnxscript.optimizer")
    optimizer.fold_constants(
        model,
        input_size_limit=LARGEST_FOLDED_CONSTANT,
        output_size_limit=LARGEST_FOLDED_CONSTANT,
    )
    RemoveUnusedNodesPass()(model)
    NameFixPass()(model)
    _name_by_module(model.graph)
    ClearMetadataAndDocStringPass()(model)


def _name_by_module(graph: ir.Graph) -> None:
    """Call batch norms and linear operators as the module calls them: ``layer1.0.bn1``."""
    seen: Counter[str] = Counter()
    for node in graph.all_nodes():
        if node.op_type not in LINEAR and node.op_type != "BatchNormalization":
            continue
        scopes = ast.literal_eval(node.metadata_props.get("pkg.torch.onnx.name_scopes", "[]"))
        path = scopes[-2] if len(scopes) > 1 else ""
        if path:
            seen[path] += 1
            node.name = path if seen[path] == 1 else f"{path}#{seen[path]}"


def _in_float64(module: nn.Module, example: torch.Tensor) -> Reference | None:
    """A copy of the module in float64; None where its code insists on another type."""

    def run(feeds: Feeds) -> list[NDArray[np.float64]]:
        with torch.no_grad():
            output = twin(torch.from_numpy(feeds[INPUT].astype(np.float64)))
        return [output.numpy()]

    try:
        twin = copy.deepcopy(module).double().eval()
        run({INPUT: example.numpy()})
    except Exception:  # noqa: BLE001 - then the graph itself is evaluated in float64 instead
        return None
    return run


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """Keep what the exporter says about its own insides away from the user."""
    logger = logging.getLogger("torch.onnx")
    level = logger.level
    logger.setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        logger.setLevel(level)


def _line(error: BaseException) -> str:
    """The first line of an error, without what follows for developers."""
    text = str(error).strip() or type(error).__name__
    return " ".join(text.splitlines()[:2])[:300]
