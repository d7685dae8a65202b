"""A Keras network as a PyTorch module whose graph still has its batch norms.

Keras writes a batch norm as Sub, Mul and Add, with a factor that it rounds to float32 first. Here
each one is traced as PyTorch's own operator, from the statistics as they were trained, and every
layer as a module of its name, so that the graph's nodes are called as the layers are.
"""

from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.overrides import TorchFunctionMode

Call = Callable[..., Any]


class KerasNetwork(nn.Module):
    """A Keras model of given weights, which takes and gives tensors one by one.

    The model is changed: its layers are called through this module from now on.

    Attributes:
        calls: How often batch norms were called.
    """

    def __init__(self, keras: Any, model: Any) -> None:
        super().__init__()
        self._keras, self._model = keras, model
        self.calls: Counter[str] = Counter()
        for layer in _layers(model):
            self._take(layer)
        self.eval()

    def forward(self, *inputs: Tensor) -> tuple[Tensor, ...]:
        """Outputs in order, of inputs in order."""
        return outputs_of(self._keras, self._model, inputs)

    def _take(self, layer: Any) -> None:
        is_norm = type(layer) is self._keras.layers.BatchNormalization
        scope = _BatchNorm(layer, self.calls) if is_norm else _Layer(layer)
        self.add_module(free_name(layer.name, self._modules), scope)
        layer.call = _through(scope)


def outputs_of(keras: Any, model: Any, inputs: Sequence[Tensor]) -> tuple[Tensor, ...]:
    """What a Keras model puts out at inference, in order, of inputs in order."""
    structure = getattr(model, "input", None)  # a Sequential has none, and one input
    nested = inputs[0]
    if structure is not None:
        nested = keras.tree.pack_sequence_as(structure, list(inputs))
    return tuple(keras.tree.flatten(model(nested, training=False)))


class InFloat64(TorchFunctionMode):
    """PyTorch with float64 wherever float32 is asked for.

    Keras on PyTorch computes sums of two tensors, and batch norms, in float32 at most, even where
    all its variables are float64.
    """

    def __torch_function__(
        self, func: Call, types: Any, args: Sequence[Any] = (), kwargs: Any = None
    ) -> Any:
        """Call `func` with one type in place of the other."""
        del types
        named = {name: _widened(value) for name, value in (kwargs or {}).items()}
        return func(*map(_widened, args), **named)


def _widened(value: Any) -> Any:
    return torch.float64 if value is torch.float32 else value


class _Layer(nn.Module):
    """A layer's own call."""

    def __init__(self, layer: Any) -> None:
        super().__init__()
        self._call: Call = layer.call

    def forward(self, *args: Any, **kwargs: Any) -> Any:
        return self._call(*args, **kwargs)


class _BatchNorm(nn.Module):
    """Keras's batch norm at inference, as PyTorch's operator."""

    gamma: Tensor | None
    beta: Tensor | None
    running_mean: Tensor
    running_var: Tensor

    def __init__(self, layer: Any, calls: Counter[str]) -> None:
        super().__init__()
        self._axis, self._eps = layer.axis, layer.epsilon
        self._name, self._calls = layer.name, calls
        for name, variable in _statistics(layer).items():
            self.register_buffer(name, None if variable is None else variable.value.detach())

    def forward(self, inputs: Tensor, training: bool = False, mask: Any = None) -> Tensor:
        """Normalize along the layer's axis; `training` and `mask` matter in training only."""
        del training, mask
        self._calls.update([self._name])
        axis = self._axis % inputs.dim()
        x = inputs if axis == 1 else inputs.movedim(axis, 1)
        x = functional.batch_norm(
            x, self.running_mean, self.running_var, self.gamma, self.beta, eps=self._eps
        )
        return x if axis == 1 else x.movedim(1, axis)


def _through(module: nn.Module) -> Call:
    """A function, for Keras would take a module for state of the layer."""

    def call(*args: Any, **kwargs: Any) -> Any:
        return module(*args, **kwargs)

    return call


def _statistics(layer: Any) -> Mapping[str, Any]:
    return {
        "running_mean": layer.moving_mean,
        "running_var": layer.moving_variance,
        "gamma": layer.gamma,
        "beta": layer.beta,
    }


def _layers(model: Any) -> Iterator[Any]:
    """Every layer once, those of inner models and in wrappers too; not the model itself."""
    seen: set[int] = set()
    waiting = list(_parts(model))
    while waiting:
        layer = waiting.pop(0)
        if id(layer) not in seen:
            seen.add(id(layer))
            yield layer
            waiting.extend(_parts(layer))


def _parts(layer: Any) -> Iterator[Any]:
    yield from getattr(layer, "layers", ())  # a model's
    if (wrapped := getattr(layer, "layer", None)) is not None:  # TimeDistributed's
        yield wrapped


def free_name(wanted: str, taken: Mapping[str, Any]) -> str:
    """A name that PyTorch allows, with a number behind it if it is taken already."""
    wanted = name = wanted.replace(".", "_") or "layer"
    number = 1
    while name in taken:
        number += 1
        name = f"{wanted}_{number}"
    return name
