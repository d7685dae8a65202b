"""PyTorch factories: ``package.module:factory``, a callable that makes an `nn.Module`."""

import contextlib
import hashlib
import importlib
import sys
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from pickle import UnpicklingError
from typing import Any

import torch
from torch import nn

from export.errors import ExportError, SourceError, UsageError, first_line
from export.sources.inputs import described
from export.sources.module import REFERENCE_NAME, read_module
from export.sources.options import SourceOptions, read_labels
from export.sources.original import Original, Provenance
from export.sources.tracing import versions

# Under which training scripts keep the state dict beside an epoch and an optimizer.
STATE_KEYS = frozenset({"state_dict", "model_state_dict", "model"})
WRAPPER_PREFIXES = ("module.", "_orig_mod.")  # DataParallel's and torch.compile's


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
    module = make_module(reference, options.seed)
    digest = load_weights(module, options.weights) if options.weights else None
    model, in_float64 = read_module(module, options.input_shape)
    description, in_float64 = described(model, options, in_float64)
    return Original(
        model=model,
        input=description,
        provenance=Provenance("torch", reference, digest, versions()),
        reference=in_float64,
        reference_name=REFERENCE_NAME,
        labels=read_labels(options.labels),
    )


def make_module(reference: str, seed: int) -> nn.Module:
    """Import a factory and call it, its random numbers seeded.

    Raises:
        SourceError: It cannot be imported, fails, or makes no module.
    """
    with _importing_from_here():  # a factory may import only when it is called
        factory = _import(reference)
        torch.manual_seed(seed)
        try:
            module = factory()
        except (Exception, SystemExit) as error:
            raise SourceError(f"{reference}: the factory failed: {first_line(error)}") from error
    if not isinstance(module, nn.Module):
        raise SourceError(f"{reference}: made a {type(module).__name__}, not a torch.nn.Module")
    if isinstance(module, torch.jit.ScriptModule):
        raise SourceError(f"{reference}: made a TorchScript module, give the one it was made of")
    return _unwrapped(module)


def load_weights(module: nn.Module, path: Path) -> str:
    """Load a state dict into a module; return the SHA-256 of the file.

    Raises:
        SourceError: The file cannot be read, or does not fit the module.
    """
    try:
        state = _read_state(path)
        digest = hashlib.sha256(path.read_bytes()).hexdigest()
        module.load_state_dict(_named_as(module, state))
    except ExportError:
        raise
    except Exception as error:
        raise SourceError(f"--weights {path}: {first_line(error)}") from error
    return digest


def _read_state(path: Path) -> dict[str, Any]:
    if path.suffix == ".safetensors":
        safetensors = importlib.import_module("safetensors.torch")
        return dict(safetensors.load_file(path))
    if path.suffix in {".pth", ".pt"}:
        return _read_pickled(path)
    raise UsageError(f"--weights {path}: take a .safetensors, .pth or .pt file")


def _read_pickled(path: Path) -> dict[str, Any]:
    try:
        # Nothing but tensors is unpickled; this is the one place that reads the format.
        loaded = torch.load(path, map_location="cpu", weights_only=True)  # noqa: TID251 - see above
    except UnpicklingError as error:
        raise SourceError(
            f"--weights {path}: holds something else than tensors, which is not read; "
            "save the state dict alone"
        ) from error
    while isinstance(loaded, Mapping) and (inner := STATE_KEYS & loaded.keys()):
        loaded = loaded[min(inner)]
    if not isinstance(loaded, Mapping):
        raise SourceError(f"--weights {path}: holds a {type(loaded).__name__}, not a state dict")
    return dict(loaded)


def _named_as(module: nn.Module, state: dict[str, Any]) -> dict[str, Any]:
    """A state dict without the prefix of a wrapper that the module itself does not have."""
    if module.state_dict().keys().isdisjoint(state):
        for prefix in WRAPPER_PREFIXES:
            nn.modules.utils.consume_prefix_in_state_dict_if_present(state, prefix)
    return state


def _unwrapped(module: nn.Module) -> nn.Module:
    """The network inside what only spreads it over devices or compiles it."""
    while isinstance(module, nn.DataParallel | nn.parallel.DistributedDataParallel):
        module = module.module
    inner = getattr(module, "_orig_mod", module)  # torch.compile's wrapper, of no public class
    return inner if isinstance(inner, nn.Module) else module


def _import(reference: str) -> Callable[[], object]:
    name, _, attribute = reference.partition(":")
    try:
        found: Any = importlib.import_module(name)
    except (Exception, SystemExit) as error:
        raise SourceError(f"{reference}: cannot import {name}: {first_line(error)}") from error
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
