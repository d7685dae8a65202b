"""What a graph says about its tensors, in the protocol's words and without a runtime."""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from types import MappingProxyType

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.generic]
Tensors = Mapping[str, Array]
"""Arrays by the names of a graph's inputs or outputs."""
Dim = int | str | None
"""A fixed size, the name of a symbolic size, or a size that the graph leaves open."""

DATATYPES: Mapping[str, type[np.generic]] = MappingProxyType(
    {
        "BOOL": np.bool_,
        "UINT8": np.uint8,
        "UINT16": np.uint16,
        "UINT32": np.uint32,
        "UINT64": np.uint64,
        "INT8": np.int8,
        "INT16": np.int16,
        "INT32": np.int32,
        "INT64": np.int64,
        "FP16": np.float16,
        "FP32": np.float32,
        "FP64": np.float64,
        "BYTES": np.object_,
    }
)
"""The Open Inference Protocol's datatypes that travel as JSON, with numpy's."""


@dataclass(frozen=True)
class TensorSpec:
    """One input or output of a graph."""

    name: str
    datatype: str
    shape: tuple[Dim, ...]

    # Cached, as each is asked for once a request; a frozen dataclass keeps them beside its fields.

    @cached_property
    def dtype(self) -> np.dtype[np.generic]:
        """Numpy's type of the elements."""
        return np.dtype(DATATYPES[self.datatype])

    @cached_property
    def wire_dtype(self) -> np.dtype[np.generic]:
        """The same, in the order of bytes that binary tensors have: little-endian."""
        return self.dtype.newbyteorder("<")

    @cached_property
    def wire_shape(self) -> tuple[int, ...]:
        """The shape as the protocol writes it: -1 for a size that is not fixed."""
        return tuple(dim if isinstance(dim, int) else -1 for dim in self.shape)


@dataclass(frozen=True)
class Signature:
    """The inputs and outputs of a graph, in its order."""

    inputs: tuple[TensorSpec, ...]
    outputs: tuple[TensorSpec, ...]

    @cached_property
    def inputs_by_name(self) -> Mapping[str, TensorSpec]:
        """The inputs by their names."""
        return MappingProxyType({spec.name: spec for spec in self.inputs})

    @cached_property
    def outputs_by_name(self) -> Mapping[str, TensorSpec]:
        """The outputs by their names."""
        return MappingProxyType({spec.name: spec for spec in self.outputs})

    @cached_property
    def batches(self) -> bool:
        """Whether there is a row out for each row in.

        Only where one symbolic dimension leads every input and every output: then the
        graph itself says so.
        """
        leads = {spec.shape[0] if spec.shape else None for spec in self.inputs + self.outputs}
        return len(leads) == 1 and isinstance(leads.pop(), str)
